//! From a store's commits to the bus: the one path on which everything leaves the store.

use std::sync::Arc;

use regatta_bus::Bus;
use regatta_model::ledger::ProgressChange;
use regatta_store::{Committed, Sink};

use crate::recorder::Recorder;

/// What a store must be opened with, so that its commits reach the bus and the figures.
pub struct CommitSink {
    bus: Arc<dyn Bus>,
    recorder: Arc<Recorder>,
}

impl CommitSink {
    /// A sink that feeds `bus`.
    pub fn new(bus: Arc<dyn Bus>) -> Arc<Self> {
        Arc::new(Self { bus, recorder: Arc::default() })
    }

    pub(crate) fn recorder(&self) -> Arc<Recorder> {
        self.recorder.clone()
    }

    pub(crate) fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }
}

impl Sink for CommitSink {
    fn progressed(&self, changes: &[ProgressChange]) {
        self.bus.put_progress(changes);
    }

    fn committed(&self, effects: Committed) {
        self.recorder.record(&effects);
        self.bus.publish(effects);
    }
}
