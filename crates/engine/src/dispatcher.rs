//! The dispatcher: this node feeds its own workers.
//!
//! It offers the free slots of connected workers for the lanes that may have work; the store leases what is
//! ready in one transaction, and the assignments go out over the workers' lines. It is woken by news from
//! the bus (lanes with work, workers with slots) and, as a safety net, by a slow poll of the store.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use regatta_model::command::Claim;
use regatta_model::{LaneKey, WorkerKey};
use regatta_store::StoreError;
use tokio::sync::oneshot;

use crate::fleet::{Handed, Round};
use crate::{Engine, Result, timing};

/// Those who wait for a round that begins after they asked.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

/// Pause after the store refused a claim.
const PAUSE: Duration = Duration::from_millis(20);

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
            while self.now() >= self.inner.held_until
                && let Some(round) = self.next_round()
            {
                self.claim(round).await;
            }
            for done in waiting {
                let _ = done.send(());
            }
        }
    }

    fn next_round(&self) -> Option<Round> {
        self.inner.fleet.lock().round(self.inner.options.claim_batch)
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
        let mut fleet = self.inner.fleet.lock();
        let mut undelivered = Vec::new();
        for assignment in assignments {
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
    }
}
