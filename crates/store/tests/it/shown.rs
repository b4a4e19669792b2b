//! What may be kept of a page, and for how long.

use std::collections::BTreeMap;

use regatta_model::event::SubtaskRecord;
use regatta_model::ledger::Effects;
use regatta_model::memory::Memory;
use regatta_model::subtask::State;
use regatta_model::task::TaskRow;
use regatta_model::*;
use regatta_store::Queued;

/// What a task's page shows of its rows.
type Page = (TaskRow, Vec<(SubtaskRecord, Option<Queued>)>);

/// What pages showed, and at which version.
#[derive(Default)]
pub struct Shown {
    versions: BTreeMap<TaskId, u64>,
    shown: BTreeMap<TaskKey, (Option<u64>, Page)>,
}

impl Shown {
    /// What the page of a task that has ended shows changes only with the version of its counters, by which it is
    /// kept.
    pub fn check(&mut self, memory: &Memory, effects: &Effects) {
        for change in &effects.progress {
            if let Some(progress) = change.progress {
                self.versions.insert(change.task, progress.version);
            }
        }
        self.shown.retain(|key, _| memory.tasks.contains_key(key));
        for (&key, (row, _)) in &memory.tasks {
            if !row.status.is_ended() {
                self.shown.remove(&key);
                continue;
            }
            let subtasks = memory.subtasks_of(key).map(|row| {
                let queued = matches!(row.state, State::Ready | State::Backoff).then(|| Queued::from(row));
                (SubtaskRecord::from(row), queued)
            });
            // Lines of log are numbered too, and are on another page.
            let shown = (TaskRow { seq: 0, ..row.clone() }, subtasks.collect());
            let version = self.versions.get(&row.head.id).copied();
            if let Some(before) = self.shown.insert(key, (version, shown)) {
                let now = &self.shown[&key];
                assert!(before.0 != now.0 || before.1 == now.1, "{before:?} became {now:?}");
            }
        }
    }
}
