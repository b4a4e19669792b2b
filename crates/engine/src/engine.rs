//! The handle: everything that callers share.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use parking_lot::Mutex;
use regatta_bus::Bus;
use regatta_model::command::Operation;
use regatta_model::routing::Lane;
use regatta_model::subtask::{State, SubtaskRow};
use regatta_model::task::TaskRow;
use regatta_model::{LaneKey, Span, TaskStatus, Timestamp};
use regatta_store::{Queued, Store, StoreExt};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::dispatcher::Rounds;
use crate::fleet::{Changes, Fleet};
use crate::recorder::Recorder;
use crate::{CommitSink, Options, Result, Service, Surroundings, timing};

/// The engine's handle; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub options: Options,
    pub store: Arc<dyn Store>,
    pub bus: Arc<dyn Bus>,
    pub world: Arc<dyn Surroundings>,
    pub clock: Clock,
    pub recorder: Arc<Recorder>,
    pub fleet: Mutex<Fleet>,
    /// How often the fleet changed.
    pub changes: Changes,
    /// Something may be leased.
    pub work: Notify,
    pub rounds: Rounds,
    /// Nothing is leased before this: what was given after a backup that was restored must have ended.
    pub held_until: Timestamp,
    connections: AtomicU64,
}

impl Engine {
    /// Reads what the store knows of workers and lanes, and gives leases the time in which nothing was up.
    pub(crate) async fn start(
        options: Options,
        world: Arc<dyn Surroundings>,
        store: Arc<dyn Store>,
        sink: &CommitSink,
    ) -> Result<(Self, Service)> {
        let last_sweep = store.last_sweep().await?;
        let clock = Clock::start(world.clone(), last_sweep);
        // However the wall's clock was set since, no longer than a lease.
        let held_until = match store.restored_at().await? {
            Some(at) => at.min(clock.now()) + options.lease(),
            None => Timestamp::default(),
        };
        let changes = Changes::default();
        let inner = Inner {
            fleet: Mutex::new(Fleet::new(options.routing, changes.clone())),
            changes,
            options,
            store,
            bus: sink.bus(),
            clock,
            world,
            recorder: sink.recorder(),
            work: Notify::new(),
            rounds: Rounds::default(),
            held_until,
            connections: AtomicU64::new(1),
        };
        let engine = Self { inner: Arc::new(inner) };
        // From here on news of workers are kept for the service, whenever it is run.
        let service = Service::new(engine.clone(), last_sweep);
        engine.load_workers().await?;
        engine.load_lanes().await?;
        Ok((engine, service))
    }

    /// The engine's time: the wall's, but never running backwards.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The store under it.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The bus under it.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.inner.bus
    }

    /// How it is set up.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Chance for the backoffs of one command.
    pub(crate) fn jitter(&self) -> u16 {
        self.inner.world.random() as u16
    }

    pub(crate) fn lease(&self) -> Span {
        self.inner.options.lease()
    }

    /// A number no other connection of this process has.
    pub(crate) fn connection(&self) -> u64 {
        self.inner.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Does a command and books its time.
    pub(crate) async fn run<O: Operation>(&self, operation: O) -> Result<O::Answer> {
        Ok(timing::book(self.inner.store.run(self.now(), operation).await?))
    }

    /// The same, and `meanwhile` as soon as the store has the command, which is before it is done.
    pub(crate) async fn run_and<O: Operation>(&self, operation: O, meanwhile: impl FnOnce()) -> Result<O::Answer> {
        let mut done = pin!(self.inner.store.run(self.now(), operation));
        let timed = match poll_fn(|context| Poll::Ready(done.as_mut().poll(context))).await {
            Poll::Ready(done) => done?,
            Poll::Pending => {
                meanwhile();
                done.await?
            }
        };
        Ok(timing::book(timed))
    }

    /// What a lane asks of workers; `None` for one that is not known here yet.
    pub fn lane(&self, key: LaneKey) -> Option<Arc<Lane>> {
        self.inner.fleet.lock().lane(key)
    }

    /// Why a subtask that is queued does not run, in words that say what to do; `None` when it is not queued.
    pub fn waiting_for(&self, row: &SubtaskRow) -> Option<String> {
        matches!(row.state, State::Ready | State::Backoff).then(|| self.why_queued(&row.into()))?
    }

    fn why_queued(&self, queued: &Queued) -> Option<String> {
        let now = self.now();
        match queued.state {
            State::Ready if now < self.inner.held_until => Some(format!(
                "the end, at {}, of what workers were given after the backup that was restored",
                self.inner.held_until
            )),
            State::Ready => Some(match queued.avoid_until {
                Some(until) if now < until => format!(
                    "another worker that may run it; where it was rejected it is not offered again before {until}"
                ),
                _ => self.inner.fleet.lock().explain(queued.lane, now).to_string(),
            }),
            State::Backoff => {
                let until = queued.due_at?;
                let why = queued.error.as_deref().unwrap_or("it failed");
                Some(format!(
                    "its next attempt, at {until} (attempt {} failed, {} of {} allowed: {why})",
                    queued.attempt, queued.failures, queued.max_attempts
                ))
            }
            _ => None,
        }
    }

    /// Why a task does not move, given its first queued subtask when nothing of it runs.
    pub fn task_waiting_for(&self, row: &TaskRow, first_queued: Option<&Queued>) -> Option<String> {
        match (row.status, row.start_at) {
            (TaskStatus::Pending, Some(at)) => Some(format!("its start at {at}")),
            (TaskStatus::Pending, None) => {
                Some(format!("someone to start it: POST /api/v1/tasks/{}/decompose", row.head.id))
            }
            (TaskStatus::InProgress, _) => first_queued.and_then(|queued| self.why_queued(queued)),
            _ => None,
        }
    }
}
