//! The dispatcher: this node feeds its own workers.
//!
//! It offers the free slots of connected workers for the lanes that may have work; the store leases what is
//! ready in one transaction, and the assignments go out over the workers' lines. It is woken by news from
//! the bus (lanes with work, workers with slots) and, as a safety net, by a slow poll of the store.
//!
//! Where the store has one writer, a claim that is queued right behind a submission is in the same transaction, and
//! whoever waits for work waits for one commit and not for two: [`Engine::expect_work`] claims then, and
//! [`Engine::expect_slot`] has the dispatcher do so for a slot that a result frees. News of the commit wake the
//! dispatcher as well, so nothing hangs on these.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use regatta_model::command::{Claim, slack};
use regatta_model::{LaneKey, Span, WorkerId, WorkerKey};
use regatta_store::StoreError;
use tokio::sync::oneshot;

use crate::fleet::{Handed, Round};
use crate::{Engine, Result, timing};

/// What rounds there are and who waits for one.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Those who wait for a round that begins after they asked.
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    /// Whether the dispatcher runs.
    open: AtomicBool,
    /// Whether a claim is on its way.
    claiming: AtomicBool,
}

/// The dispatcher runs while this lives.
struct Open<'a>(&'a Rounds);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
    }
}

/// A claim is on its way while this lives.
struct Claiming(Engine);

impl Claiming {
    fn begin(engine: &Engine) -> Option<Self> {
        let before = engine.inner.rounds.claiming.swap(true, Ordering::AcqRel);
        (!before).then(|| Self(engine.clone()))
    }
}

impl Drop for Claiming {
    fn drop(&mut self) {
        self.0.inner.rounds.claiming.store(false, Ordering::Release);
    }
}

/// A slot that a result frees, while the result is on its way.
pub(crate) struct ExpectedSlot<'a> {
    engine: &'a Engine,
    worker: WorkerId,
}

impl Drop for ExpectedSlot<'_> {
    fn drop(&mut self) {
        self.engine.inner.fleet.lock().expect_slot_no_more(self.worker);
    }
}

/// Pause after the store refused a claim.
const PAUSE: Duration = Duration::from_millis(20);

/// What is left of a lease that was asked for so long ago: the store counts it from then, its worker from when it hears of it.
/// What the worker keeps in hand covers a little. After more than a quarter its worker's heartbeats may have left it out twice
/// already, and somebody else have it.
fn left_of(length: Span, took: Span) -> Option<Span> {
    if took <= slack(length) {
        return Some(length);
    }
    (took.0 <= length.0 / 4).then(|| Span::micros(length.0 - took.0))
}

impl Engine {
    /// Has the dispatcher look at the store and give away what can be given, and waits for it.
    pub(crate) async fn dispatch_now(&self) {
        let (done, wait) = oneshot::channel();
        self.inner.rounds.waiting.lock().push(done);
        self.inner.work.notify_one();
        let _ = wait.await; // an error: the dispatcher has stopped, there is nothing to wait for
    }

    /// Reads the lanes that the store knows and this node does not.
    pub(crate) async fn load_lanes(&self) -> Result<()> {
        let after = self.inner.fleet.lock().last_lane();
        let lanes = self.inner.store.lanes(after).await?;
        let mut fleet = self.inner.fleet.lock();
        for (key, lane) in lanes {
            fleet.add_lane(key, lane);
        }
        Ok(())
    }

    /// Makes sure that these lanes are known here, so that what is said of their subtasks is whole.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn learn_lanes(&self, mut keys: impl Iterator<Item = LaneKey> + Send) -> Result<()> {
        let unknown = {
            let fleet = self.inner.fleet.lock();
            keys.any(|key| !fleet.knows_lane(key))
        };
        if unknown { self.load_lanes().await } else { Ok(()) }
    }

    /// Notes lanes that may have work, and reads those that are new.
    pub(crate) async fn wake_lanes(&self, keys: impl Iterator<Item = LaneKey> + Clone) -> Result<()> {
        let unknown = {
            let mut fleet = self.inner.fleet.lock();
            let mut unknown = false;
            for key in keys.clone() {
                unknown |= !fleet.knows_lane(key);
                fleet.wake(key);
            }
            unknown
        };
        if unknown {
            self.load_lanes().await?;
        }
        Ok(())
    }

    /// The dispatcher's loop; ends only with its task.
    pub(crate) async fn dispatch(self) {
        let mut poll = tokio::time::interval(self.inner.options.poll());
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.inner.rounds.open.store(true, Ordering::Release);
        let _open = Open(&self.inner.rounds);
        loop {
            // In this order, so that a busy node is polled too, and the same way every time.
            let polled = tokio::select! {
                biased;
                _ = poll.tick() => true,
                () = self.inner.work.notified() => false,
            };
            let waiting = std::mem::take(&mut *self.inner.rounds.waiting.lock());
            if (polled || !waiting.is_empty())
                && let Err(error) = self.look_for_work().await
            {
                tracing::warn!(%error, "the store could not be asked for ready work; it is asked again");
            }
            // Held back, the lanes stay awake, and the next poll after it finds them.
            while let Some(round) = self.next_round() {
                // One that is on its way already is no reason to wait: the store has the last word on every slot.
                let _claiming = Claiming::begin(&self);
                self.claim(round).await;
            }
            for done in waiting {
                let _ = done.send(());
            }
        }
    }

    fn next_round(&self) -> Option<Round> {
        if self.now() < self.inner.held_until {
            return None;
        }
        self.inner.fleet.lock().round(self.inner.options.claim_batch)
    }

    /// Whether a claim can come into the transaction of what is queued before it.
    fn claims_early(&self) -> bool {
        self.inner.rounds.open.load(Ordering::Acquire) && !self.inner.store.is_shared()
    }

    /// Work was just given to the store: claims it for who is free. See the module.
    pub(crate) fn expect_work(&self) {
        if !self.claims_early() || !self.inner.fleet.lock().expect_work() {
            return;
        }
        let Some(claiming) = Claiming::begin(self) else {
            // Behind the claim that is on its way.
            self.inner.work.notify_one();
            return;
        };
        let Some(round) = self.next_round() else { return };
        let engine = self.clone();
        let mut claim = Box::pin(async move {
            let _claiming = claiming;
            engine.claim(round).await;
            // For what was to be claimed meanwhile.
            engine.inner.work.notify_one();
        });
        // The first look at it puts it into the store's queue, before the store has woken for what it is behind.
        if claim.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(claim);
        }
    }

    /// A worker's result was just given to the store: has the slot that it frees offered. See the module; to be held
    /// until it is known what became of the result.
    pub(crate) fn expect_slot(&self, worker: WorkerId) -> Option<ExpectedSlot<'_>> {
        let expected = self.claims_early() && self.inner.fleet.lock().expect_slot(worker);
        expected.then(|| {
            self.inner.work.notify_one();
            ExpectedSlot { engine: self, worker }
        })
    }

    async fn look_for_work(&self) -> Result<()> {
        let ready = self.inner.store.ready_lanes().await?;
        self.wake_lanes(ready.iter().map(|&(lane, _)| lane)).await
    }

    /// One claim and its assignments.
    async fn claim(&self, round: Round) {
        let lanes: Vec<LaneKey> = round.lanes.iter().map(|offer| offer.lane).collect();
        let seats: HashMap<WorkerKey, (i64, u64)> = round
            .seats
            .iter()
            .zip(&round.updates)
            .map(|(seat, &updates)| (seat.worker, (seat.session, updates)))
            .collect();
        let claim = Claim {
            seats: round.seats,
            lanes: round.lanes,
            limit: self.inner.options.claim_batch,
            lease: self.lease(),
            nonce: self.inner.world.random(),
        };
        let claimed_at = self.now();
        let assignments = match regatta_store::StoreExt::run(&*self.inner.store, claimed_at, claim).await {
            Ok(timed) => timing::book(timed),
            Err(error) => {
                if !matches!(error, StoreError::Overloaded) {
                    tracing::warn!(%error, "nothing could be leased; it is tried again");
                }
                self.inner.fleet.lock().wake_round(&lanes);
                tokio::time::sleep(PAUSE).await;
                return;
            }
        };
        let given = assignments.len() as u32;
        let took = self.now() - claimed_at;
        let mut fleet = self.inner.fleet.lock();
        let (mut undelivered, mut too_late) = (Vec::new(), Vec::new());
        for mut assignment in assignments {
            match left_of(assignment.lease_length, took) {
                Some(left) => assignment.lease_length = left,
                None => {
                    too_late.push(assignment);
                    continue;
                }
            }
            let seat = fleet.row(assignment.worker).and_then(|row| seats.get(&row.key));
            let (session, updates) = seat.copied().unwrap_or_default();
            if let Handed::NotHere(assignment) = fleet.hand(assignment, session, updates, claimed_at) {
                undelivered.push(assignment);
            }
        }
        // It ended for want of seats in the round, not of work. Where it ended for want of slots, which may be taken
        // without the fleet knowing it yet, the news of the next free slot wakes the lane (`Fleet::wake_free`).
        if given >= round.wanted {
            fleet.wake_round(&lanes);
        }
        drop(fleet);
        for assignment in undelivered {
            self.give_back_soon(*assignment, "its worker's line was closed before it was given");
        }
        for assignment in too_late {
            self.give_back_soon(assignment, "the store took so long that its lease may be over");
        }
    }
}
