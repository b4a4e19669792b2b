//! The cache of tasks' counters: bounded, and by version, so that a late writer cannot set the clock back.

use lru::LruCache;
use parking_lot::Mutex;
use regatta_model::TaskId;
use regatta_model::ledger::ProgressChange;
use regatta_model::task::Progress;

const SHARDS: usize = 16;

/// Entries of a cache whose owner names no other number; about 10 MB when full.
pub const DEFAULT_ENTRIES: usize = 100_000;

/// The counters of the tasks that were used last.
///
/// An older version never replaces a newer one, and a deleted task leaves a mark that no late version replaces
/// (ids are never used twice). A mark is an entry like any other, so both promises hold for as long as
/// `entries` other tasks have not been used since; writers are late by milliseconds.
pub struct ProgressCache {
    shards: Vec<Mutex<LruCache<TaskId, Option<Progress>>>>,
    per_shard: usize,
}

impl ProgressCache {
    /// A cache for about `entries` tasks. Memory is taken as it fills.
    pub fn new(entries: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::unbounded())).collect();
        Self { shards, per_shard: entries.div_ceil(SHARDS).max(1) }
    }

    /// The counters of a task, when they are here.
    pub fn get(&self, task: TaskId) -> Option<Progress> {
        self.shard(task).lock().get(&task).copied().flatten()
    }

    /// Takes what is newer than what is here.
    pub fn put(&self, changes: &[ProgressChange]) {
        for change in changes {
            let mut shard = self.shard(change.task).lock();
            match (shard.get_mut(&change.task), change.progress) {
                (Some(entry), None) => *entry = None,
                (Some(Some(known)), Some(new)) if known.version <= new.version => *known = new,
                (Some(_), Some(_)) => {}
                (None, new) => {
                    shard.push(change.task, new);
                    if shard.len() > self.per_shard {
                        shard.pop_lru();
                    }
                }
            }
        }
    }

    fn shard(&self, task: TaskId) -> &Mutex<LruCache<TaskId, Option<Progress>>> {
        &self.shards[(task.uuid().as_u128() >> 14) as usize % SHARDS]
    }
}

impl Default for ProgressCache {
    fn default() -> Self {
        Self::new(DEFAULT_ENTRIES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_model::TaskStatus;
    use uuid::Uuid;

    fn task(number: u128) -> TaskId {
        TaskId::from_random(Uuid::from_u128(number << 14))
    }

    fn change(number: u128, version: u64) -> ProgressChange {
        let progress =
            Progress { version, status: TaskStatus::InProgress, total: 4, completed: 1, running: 2, failed: 0 };
        ProgressChange { task: task(number), progress: Some(progress) }
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let cache = ProgressCache::new(160);
        cache.put(&[change(0, 1)]);
        for number in 1..10_000 {
            cache.put(&[change(number, 1)]);
            assert!(cache.get(task(0)).is_some(), "used just now, and yet dropped after {number} others");
        }
        let kept = (0..10_000).filter(|number| cache.get(task(*number)).is_some()).count();
        assert_eq!(kept, 160);
    }

    #[test]
    fn versions_only_grow() {
        let cache = ProgressCache::new(100);
        for (put, there) in [(5, 5), (3, 5), (6, 6), (1, 6), (7, 7)] {
            cache.put(&[change(1, put)]);
            assert_eq!(cache.get(task(1)).map(|progress| progress.version), Some(there));
        }
    }
}
