//! The trait that every bus implements. What is promised here is tested once, in `tests/it/conformance`,
//! and run on every bus.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regatta_model::ledger::{Effects, ProgressChange};
use regatta_model::task::Progress;
use regatta_model::{TaskId, Timestamp, WorkerId};

use crate::node::NodeListener;
use crate::subscriber::Subscriber;

/// Carries what was committed to watchers and nodes, and caches the progress of tasks.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// What kind of bus it is, in the word that `/health` shows: `embedded` or `redis`.
    fn kind(&self) -> &'static str;

    /// Tells what one transaction brought about: events and workers to subscribers, lanes, stops and workers to
    /// every [`NodeListener`]. To be called after the commit and in the order of commits. It never waits for a
    /// reader; it costs time for each subscriber reached, and almost none when nobody listens.
    ///
    /// It leaves the progress cache alone: counters must be in there *before* a result is acknowledged, events
    /// are told after it, see [`Bus::put_progress`].
    fn publish(&self, effects: Arc<Effects>);

    /// A subscriber without topics whose queue holds up to `capacity` notices (at least one).
    fn subscribe(&self, capacity: usize) -> Subscriber;

    /// What this node's engine must react to, from now on.
    fn nodes(&self) -> NodeListener;

    /// Tells other nodes that a worker has opened a line or a poll at this one, at that time: an older one elsewhere is over.
    fn line_opened(&self, _worker: WorkerId, _at: Timestamp) {}

    /// The counters of a task, when the cache has them.
    async fn progress(&self, task: TaskId) -> Option<Progress>;

    /// Puts counters into the cache. A newer version that is there stays; a deleted task never comes back.
    fn put_progress(&self, changes: &[ProgressChange]);

    /// How many subscribers of this node have [`Topic::Task`](crate::Topic::Task) of `task`, without those that are
    /// [uncounted](Subscriber::uncounted).
    fn watchers(&self, task: TaskId) -> usize;

    /// Whether the bus works. When it does not, everything goes on, only later.
    async fn health(&self) -> BusHealth;
}

/// How a bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusHealth {
    /// Whether other nodes can be reached through it.
    pub connected: bool,
    /// How long a round trip takes; `None` when it does not answer.
    pub latency: Option<Duration>,
}
