//! How the engine is set up.

use std::sync::Arc;
use std::time::Duration;

use regatta_model::Span;
use regatta_model::routing::Weights;
use regatta_store::Store;
use serde::{Deserialize, Serialize};

use crate::{CommitSink, Engine, Error, RealWorld, Service, Surroundings};

/// The engine's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How long a lease lasts without renewal, in seconds.
    pub lease_seconds: u32,
    /// How often leases, time-outs and backoffs are looked at, in milliseconds.
    pub sweep_milliseconds: u64,
    /// How often the store is asked for ready lanes even when no wake-up came, in milliseconds.
    pub poll_milliseconds: u64,
    /// Forgets tasks so many days after they ended, with all that is kept of them; `None` keeps them.
    pub retain_days: Option<u32>,
    /// Forgets the oldest of those that ended when there are more of them than this; `None` keeps them.
    pub retain_tasks: Option<u64>,
    /// What the routing score weighs how much.
    pub routing: Weights,
    /// Subtasks leased in one transaction, at most.
    pub claim_batch: u32,
    /// Frames that may wait for one worker's line.
    pub line_queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease_seconds: 90,
            sweep_milliseconds: 500,
            poll_milliseconds: 1_000,
            retain_days: None,
            retain_tasks: None,
            routing: Weights::default(),
            claim_batch: 256,
            line_queue: 2_048,
        }
    }
}

impl Options {
    /// Builds the engine over a store that was opened with this `sink`. Nothing runs until [`Service::run`]; calls that need no
    /// dispatching work at once.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn build(self, store: Arc<dyn Store>, sink: &CommitSink) -> Result<(Engine, Service), Error> {
        self.build_in(Arc::new(RealWorld::default()), store, sink).await
    }

    /// [`Options::build`] with time and chance of the caller's, for simulations.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn build_in(
        self,
        world: Arc<dyn Surroundings>,
        store: Arc<dyn Store>,
        sink: &CommitSink,
    ) -> Result<(Engine, Service), Error> {
        Engine::start(self, world, store, sink).await
    }

    pub(crate) fn lease(&self) -> Span {
        Span::seconds(i64::from(self.lease_seconds))
    }

    pub(crate) fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_milliseconds.max(10))
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_milliseconds.max(10))
    }
}
