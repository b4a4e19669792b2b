//! What really happens: which process runs for which subtask, and what was promised to whom.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use regatta_model::{AttemptOutcome, Lease, SubtaskId};

use super::store::Durable;

/// The processes of all agents, seen from above.
#[derive(Default)]
pub struct Floor {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    running: BTreeMap<SubtaskId, BTreeSet<i64>>,
    accepted: BTreeMap<SubtaskId, i64>,
    started: BTreeSet<(SubtaskId, i64)>,
    kills: u64,
    stale: u64,
}

impl Floor {
    /// A process starts under `lease`. No other may run for its subtask, unless a person took the other's lease
    /// away and the word of it is still on its way.
    pub fn start(&self, lease: Lease, durable: &Durable) {
        let mut inner = self.inner.lock();
        assert!(inner.started.insert((lease.subtask, lease.epoch)), "one lease, one process: {lease:?}");
        let others = inner.running.entry(lease.subtask).or_default();
        for &epoch in others.iter() {
            let how = durable.outcome(lease.subtask, epoch);
            let taken_away = matches!(
                how,
                None | Some(AttemptOutcome::Cancelled | AttemptOutcome::Unregistered | AttemptOutcome::TimedOut)
            );
            assert!(taken_away, "two processes run for {}: {epoch:x} ({how:?}) and {:x}", lease.subtask, lease.epoch);
        }
        others.insert(lease.epoch);
    }

    pub fn end(&self, lease: Lease) {
        if let Some(running) = self.inner.lock().running.get_mut(&lease.subtask) {
            running.remove(&lease.epoch);
        }
    }

    /// The server said that it has this result.
    pub fn accepted(&self, lease: Lease) {
        let before = self.inner.lock().accepted.insert(lease.subtask, lease.epoch);
        assert!(before.is_none_or(|epoch| epoch == lease.epoch), "{} was completed twice", lease.subtask);
    }

    pub fn refused(&self) {
        self.inner.lock().stale += 1;
    }

    pub fn killed(&self) {
        self.inner.lock().kills += 1;
    }

    pub fn kills(&self) -> u64 {
        self.inner.lock().kills
    }

    pub fn stale(&self) -> u64 {
        self.inner.lock().stale
    }

    /// Every result that was acknowledged, with the epoch of its lease.
    pub fn results(&self) -> BTreeMap<SubtaskId, i64> {
        self.inner.lock().accepted.clone()
    }
}
