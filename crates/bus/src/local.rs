//! The bus of a single node: everything stays in this process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regatta_model::TaskId;
use regatta_model::ledger::{Effects, ProgressChange};
use regatta_model::task::Progress;

use crate::bus::{Bus, BusHealth};
use crate::hub::Hub;
use crate::node::{NodeListener, Nodes};
use crate::progress::{DEFAULT_ENTRIES, ProgressCache};
use crate::subscriber::Subscriber;

/// The built-in bus: delivers before `publish` returns, and cannot fail.
pub struct LocalBus {
    hub: Arc<Hub>,
    nodes: Nodes,
    progress: ProgressCache,
}

impl LocalBus {
    /// A bus with a progress cache of [`DEFAULT_ENTRIES`].
    pub fn new() -> Self {
        Self::with_cache(DEFAULT_ENTRIES)
    }

    /// A bus whose progress cache holds about `entries` tasks.
    pub fn with_cache(entries: usize) -> Self {
        Self { hub: Hub::new(), nodes: Nodes::default(), progress: ProgressCache::new(entries) }
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn publish(&self, effects: Arc<Effects>) {
        // Nodes first: work that became ready should not wait for the fan-out to watchers.
        self.nodes.publish(&effects);
        self.hub.publish(&effects);
    }

    fn subscribe(&self, capacity: usize) -> Subscriber {
        self.hub.subscribe(capacity)
    }

    fn nodes(&self) -> NodeListener {
        self.nodes.listen()
    }

    async fn progress(&self, task: TaskId) -> Option<Progress> {
        self.progress.get(task)
    }

    fn put_progress(&self, changes: &[ProgressChange]) {
        self.progress.put(changes);
    }

    fn watchers(&self, task: TaskId) -> usize {
        self.hub.watchers(task)
    }

    async fn health(&self) -> BusHealth {
        BusHealth { connected: true, latency: Some(Duration::ZERO) }
    }
}
