//! How often the fleet changed in what is told of it: why something waits, who is there, how many slots are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regatta_model::Timestamp;
use regatta_model::worker::{SILENCE, WorkerRow};

use super::Fleet;

/// The number of changes, which can be read without the fleet's lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<AtomicU64>);

impl Changes {
    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts one. To be called under the fleet's lock.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// When a worker falls silent that is not offline yet.
fn silent_at(row: &WorkerRow, now: Timestamp) -> Option<Timestamp> {
    (!row.is_offline(now)).then(|| row.last_heartbeat + SILENCE)
}

impl Fleet {
    /// The number of changes as of `now`, and until when no worker falls silent, which is a change as well.
    pub fn settle(&mut self, now: Timestamp) -> (u64, Timestamp) {
        if now >= self.silent_at {
            self.changes.count();
            let members = self.members.values();
            let next = members.filter_map(|member| silent_at(&member.row, now)).min();
            self.silent_at = next.unwrap_or(Timestamp(i64::MAX));
        }
        self.settled_at = self.settled_at.max(now);
        (self.changes.get(), self.silent_at)
    }

    /// Notes that a worker's row is replaced.
    pub(super) fn note_update(&mut self, new: &WorkerRow) {
        let old = self.members.get(&new.key).map(|member| &member.row);
        let told_the_same = old.is_some_and(|old| {
            // One that may have been told to be offline for its silence is back.
            let back = self.settled_at >= old.last_heartbeat + SILENCE;
            !back
                && old.session == new.session
                && (old.used, old.said, old.draining, old.unregistered)
                    == (new.used, new.said, new.draining, new.unregistered)
                && old.profile == new.profile
        });
        if !told_the_same {
            self.changes.count();
        }
        // A later heartbeat leaves the old time standing: that is early, and found out when it comes.
        self.silent_at = self.silent_at.min(new.last_heartbeat + SILENCE);
    }
}
