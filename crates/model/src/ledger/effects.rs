//! What follows from commands once they are committed: events to publish, dispatchers to wake, processes to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Event, LogRecord, Stop, SubtaskRecord, What};
use crate::id::{LaneKey, Lease, TaskId, TaskKey, WorkerId, WorkerKey};
use crate::ledger::Rows;
use crate::subtask::SubtaskHead;
use crate::task::{Progress, TaskRow};
use crate::time::Timestamp;
use crate::worker::WorkerRow;

/// A task's counters after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressChange {
    /// Which task.
    pub task: TaskId,
    /// `None` when it was deleted.
    pub progress: Option<Progress>,
}

/// What the commands of one transaction brought about. Nothing of it may be acted on before the commit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// In the order in which they happened; per task in the order of their numbers.
    pub events: Vec<Event>,
    /// Lanes in which something became ready.
    pub lanes: BTreeSet<LaneKey>,
    /// Processes that must stop.
    pub stops: Vec<Stop>,
    /// New counters of tasks, filled in by [`Effects::seal`].
    pub progress: Vec<ProgressChange>,
    /// Workers whose row changed, as they are now; filled in by [`Effects::seal`].
    pub workers: Vec<WorkerRow>,
    /// Workers that were taken off the list.
    pub removed_workers: Vec<WorkerId>,
    /// Tasks that changed, and whether clients are to be told by an event.
    #[serde(skip)]
    touched_tasks: BTreeMap<TaskKey, bool>,
    #[serde(skip)]
    touched_workers: BTreeSet<WorkerKey>,
}

impl Effects {
    fn number(task: &mut TaskRow, at: Timestamp, what: What) -> Event {
        task.seq += 1;
        Event { task: task.head.clone(), seq: task.seq, at, what }
    }

    pub(super) fn subtask_event(
        &mut self,
        task: &mut TaskRow,
        at: Timestamp,
        head: Arc<SubtaskHead>,
        record: SubtaskRecord,
    ) {
        self.events.push(Self::number(task, at, What::Subtask(head, record)));
    }

    pub(super) fn log_event(&mut self, task: &mut TaskRow, at: Timestamp, record: LogRecord) -> u64 {
        let event = Self::number(task, at, What::Log(record));
        let seq = event.seq;
        self.events.push(event);
        seq
    }

    /// A task's counters changed, but nothing that lists show.
    pub(super) fn task_counted(&mut self, key: TaskKey) {
        self.touched_tasks.entry(key).or_insert(false);
    }

    /// A task's row in lists changed.
    pub(super) fn task_changed(&mut self, key: TaskKey) {
        self.touched_tasks.insert(key, true);
    }

    /// A task was deleted.
    pub(super) fn task_deleted(&mut self, key: TaskKey, id: TaskId) {
        self.touched_tasks.remove(&key);
        self.progress.push(ProgressChange { task: id, progress: None });
    }

    pub(super) fn worker_changed(&mut self, key: WorkerKey) {
        self.touched_workers.insert(key);
    }

    pub(super) fn worker_removed(&mut self, key: WorkerKey, id: WorkerId) {
        self.touched_workers.remove(&key);
        self.removed_workers.push(id);
    }

    pub(super) fn woke(&mut self, lane: LaneKey) {
        self.lanes.insert(lane);
    }

    pub(super) fn stop(&mut self, worker: WorkerId, lease: Lease, reason: Arc<str>) {
        self.stops.push(Stop { worker, lease, reason });
    }

    /// Ends a transaction: one event for each task that changed, however many of its subtasks did, and
    /// the state in which tasks and workers are left.
    ///
    /// # Errors
    /// Those of the rows.
    pub fn seal<R: Rows>(&mut self, rows: &mut R, now: Timestamp) -> Result<(), R::Error> {
        for (key, tell) in std::mem::take(&mut self.touched_tasks) {
            let task = rows.task_mut(key)?;
            task.updated_at = now;
            if tell {
                let record = (&*task).into();
                self.events.push(Self::number(task, now, What::Task(record)));
            }
            self.progress.push(ProgressChange { task: task.head.id, progress: Some(task.counters()) });
        }
        for key in std::mem::take(&mut self.touched_workers) {
            self.workers.push(rows.worker(key)?.clone());
        }
        Ok(())
    }

    /// Whether nothing follows.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
