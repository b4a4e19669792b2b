//! Rows in memory, kept as plainly as can be: the reference that every store is compared with.
//!
//! Queries are scans, so that there is nothing to get wrong; this is for tests and simulation, not for work.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use crate::command::{Answer, Command, IDEMPOTENCY_KEPT, Idempotency};
use crate::event::Event;
use crate::id::{LaneKey, SubtaskKey, TaskId, TaskKey, WorkerId, WorkerKey};
use crate::ledger::{self, Effects, Remembered, Rows, SubtaskText};
use crate::plan::Json;
use crate::routing::Lane;
use crate::subtask::{Attempt, State, SubtaskRow};
use crate::task::{NewTask, TaskRow, TaskText};
use crate::time::Timestamp;
use crate::words::TaskStatus;
use crate::worker::{Registration, SAMPLE_EVERY, SAMPLES_KEPT, Sample, WorkerRow};

/// Everything a store keeps, in maps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Tasks.
    pub tasks: BTreeMap<TaskKey, (TaskRow, TaskText)>,
    /// Subtasks.
    pub subtasks: BTreeMap<SubtaskKey, (SubtaskRow, SubtaskText)>,
    /// Results.
    pub outputs: BTreeMap<SubtaskKey, Json>,
    /// Attempts that ended without completing, in order.
    pub attempts: BTreeMap<SubtaskKey, Vec<Attempt>>,
    /// Events of each task, in order of their numbers.
    pub events: BTreeMap<TaskKey, Vec<Event>>,
    /// Workers on the list, with their `system_info`.
    pub workers: BTreeMap<WorkerKey, (WorkerRow, Json)>,
    /// Workers that were removed.
    pub removed: BTreeMap<WorkerKey, WorkerId>,
    /// Figures of workers.
    pub samples: BTreeMap<WorkerKey, Vec<Sample>>,
    /// Lanes; the key is the place plus one.
    pub lanes: Vec<Lane>,
    /// Idempotency keys by scope and key.
    pub keys: BTreeMap<(Arc<str>, Arc<str>), Remembered>,
    last_task: i64,
    last_worker: i64,
}

impl Memory {
    /// Gives no task a key up to this one any more: a database's sequence has keys that were taken and never used.
    pub fn skip_task_keys(&mut self, last: i64) {
        self.last_task = self.last_task.max(last);
    }

    /// Applies one command as a transaction of its own.
    pub fn apply(&mut self, now: Timestamp, command: &Command) -> (Answer, Effects) {
        let mut effects = Effects::default();
        let Ok(answer) = ledger::apply(self, &mut effects, now, command);
        let Ok(()) = effects.seal(self, now);
        for event in &effects.events {
            self.events.entry(event.task.key).or_default().push(event.clone());
        }
        self.keys.retain(|_, made| now - made.at < IDEMPOTENCY_KEPT);
        (answer, effects)
    }

    /// Subtasks of a task, in order of position.
    pub fn subtasks_of(&self, task: TaskKey) -> impl Iterator<Item = &SubtaskRow> {
        self.subtasks.range(task.subtask(0)..TaskKey(task.0 + 1).subtask(0)).map(|(_, (row, _))| row)
    }

    fn keys_where(&self, wanted: impl Fn(&SubtaskRow) -> bool) -> Vec<SubtaskKey> {
        self.subtasks.iter().filter(|(_, (row, _))| wanted(row)).map(|(&key, _)| key).collect()
    }
}

/// A row that the ledger asked for without having seen that it is there: a fault of the ledger.
const MISSING: &str = "the ledger asks only for rows it has found";

impl Rows for Memory {
    type Error = Infallible;

    fn find_task(&mut self, id: TaskId) -> Result<Option<TaskKey>, Infallible> {
        Ok(self.tasks.iter().find(|(_, (row, _))| row.head.id == id).map(|(&key, _)| key))
    }

    fn task(&mut self, key: TaskKey) -> Result<&TaskRow, Infallible> {
        Ok(&self.tasks.get(&key).expect(MISSING).0)
    }

    fn task_mut(&mut self, key: TaskKey) -> Result<&mut TaskRow, Infallible> {
        Ok(&mut self.tasks.get_mut(&key).expect(MISSING).0)
    }

    fn insert_task(&mut self, task: &NewTask, now: Timestamp) -> Result<TaskKey, Infallible> {
        self.last_task += 1;
        let key = TaskKey(self.last_task);
        let row = task.first_row(key, now);
        self.tasks.insert(key, (row, task.text.clone()));
        Ok(key)
    }

    fn tasks_after(&mut self, after: TaskKey, limit: u32) -> Result<Vec<TaskKey>, Infallible> {
        Ok(self.tasks.keys().filter(|&&key| key > after).take(limit as usize).copied().collect())
    }

    fn delete_task(&mut self, key: TaskKey) -> Result<(), Infallible> {
        self.delete_subtasks(key)?;
        self.tasks.remove(&key);
        self.events.remove(&key);
        Ok(())
    }

    fn delete_subtasks(&mut self, key: TaskKey) -> Result<(), Infallible> {
        self.subtasks.retain(|subtask, _| subtask.task() != key);
        self.outputs.retain(|subtask, _| subtask.task() != key);
        self.attempts.retain(|subtask, _| subtask.task() != key);
        Ok(())
    }

    fn drop_deferred_steps(&mut self, key: TaskKey) -> Result<(), Infallible> {
        if let Some((_, text)) = self.tasks.get_mut(&key) {
            text.deferred_steps = None;
        }
        Ok(())
    }

    fn tasks_to_start(&mut self, now: Timestamp, limit: u32) -> Result<Vec<TaskId>, Infallible> {
        let mut due: Vec<_> = self
            .tasks
            .values()
            .filter(|(row, _)| row.status == TaskStatus::Pending)
            .filter_map(|(row, _)| row.start_at.filter(|&at| at <= now).map(|at| (at, row.head.key, row.head.id)))
            .collect();
        due.sort();
        Ok(due.into_iter().take(limit as usize).map(|(_, _, id)| id).collect())
    }

    fn subtask(&mut self, key: SubtaskKey) -> Result<Option<&SubtaskRow>, Infallible> {
        Ok(self.subtasks.get(&key).map(|(row, _)| row))
    }

    fn subtask_mut(&mut self, key: SubtaskKey) -> Result<&mut SubtaskRow, Infallible> {
        Ok(&mut self.subtasks.get_mut(&key).expect(MISSING).0)
    }

    fn insert_subtask(&mut self, row: SubtaskRow, text: SubtaskText) -> Result<(), Infallible> {
        let before = self.subtasks.insert(row.head.key, (row, text));
        assert!(before.is_none(), "a subtask is written once");
        Ok(())
    }

    fn set_output(&mut self, key: SubtaskKey, output: Json) -> Result<(), Infallible> {
        self.outputs.insert(key, output);
        Ok(())
    }

    fn subtask_text(&mut self, key: SubtaskKey) -> Result<SubtaskText, Infallible> {
        Ok(self.subtasks.get(&key).expect(MISSING).1.clone())
    }

    fn context(&mut self, task: TaskKey, dependencies: &[u16]) -> Result<Json, Infallible> {
        let outputs = dependencies.iter().map(|&position| {
            let key = task.subtask(position);
            let name = self.subtasks.get(&key).expect(MISSING).0.head.name.clone();
            (name, self.outputs.get(&key).cloned().unwrap_or_else(|| "{}".into()))
        });
        Ok(ledger::context_json(outputs))
    }

    fn unfinished(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>, Infallible> {
        Ok(self.keys_where(|row| row.head.key.task() == task && !row.state.is_ended()))
    }

    fn restartable(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>, Infallible> {
        Ok(self.keys_where(|row| row.head.key.task() == task && matches!(row.state, State::Failed | State::Cancelled)))
    }

    fn leased_by(&mut self, worker: WorkerKey) -> Result<Vec<SubtaskKey>, Infallible> {
        Ok(self.keys_where(|row| {
            row.state == State::Leased && row.holder.as_ref().is_some_and(|holder| holder.worker == worker)
        }))
    }

    fn ready(&mut self, lanes: &[LaneKey], limit: u32) -> Result<Vec<SubtaskKey>, Infallible> {
        let mut ready: Vec<(i64, SubtaskKey)> = self
            .subtasks
            .values()
            .filter(|(row, _)| row.state == State::Ready && lanes.contains(&row.head.lane))
            .map(|(row, _)| (row.rank, row.head.key))
            .collect();
        ready.sort();
        Ok(ready.into_iter().take(limit as usize).map(|(_, key)| key).collect())
    }

    fn due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<SubtaskKey>, Infallible> {
        let mut due: Vec<_> = self
            .subtasks
            .values()
            .filter_map(|(row, _)| row.due_at.filter(|&at| at <= now).map(|at| (at, row.head.key)))
            .collect();
        due.sort();
        Ok(due.into_iter().take(limit as usize).map(|(_, key)| key).collect())
    }

    fn next_due(&mut self) -> Result<Option<Timestamp>, Infallible> {
        Ok(self.subtasks.values().filter_map(|(row, _)| row.due_at).min())
    }

    fn leased(&mut self) -> Result<Vec<SubtaskKey>, Infallible> {
        Ok(self.keys_where(|row| row.state == State::Leased))
    }

    fn record_attempt(&mut self, key: SubtaskKey, attempt: Attempt) -> Result<(), Infallible> {
        self.attempts.entry(key).or_default().push(attempt);
        Ok(())
    }

    fn find_worker(&mut self, id: WorkerId) -> Result<Option<WorkerKey>, Infallible> {
        Ok(self.workers.values().find(|(row, _)| row.id == id).map(|(row, _)| row.key))
    }

    fn find_machine(&mut self, machine_id: &str) -> Result<Option<WorkerKey>, Infallible> {
        Ok(self.workers.values().find(|(row, _)| &*row.profile.machine_id == machine_id).map(|(row, _)| row.key))
    }

    fn knows_worker(&mut self, key: WorkerKey) -> Result<bool, Infallible> {
        Ok(self.workers.contains_key(&key))
    }

    fn worker(&mut self, key: WorkerKey) -> Result<&WorkerRow, Infallible> {
        Ok(&self.workers.get(&key).expect(MISSING).0)
    }

    fn worker_mut(&mut self, key: WorkerKey) -> Result<&mut WorkerRow, Infallible> {
        Ok(&mut self.workers.get_mut(&key).expect(MISSING).0)
    }

    fn insert_worker(&mut self, registration: &Registration, now: Timestamp) -> Result<WorkerKey, Infallible> {
        self.last_worker += 1;
        let key = WorkerKey(self.last_worker);
        let row = registration.first_row(key, now);
        self.workers.insert(key, (row, registration.system_info.clone()));
        Ok(key)
    }

    fn update_registration(&mut self, key: WorkerKey, registration: &Registration) -> Result<(), Infallible> {
        let (row, info) = self.workers.get_mut(&key).expect(MISSING);
        row.profile = registration.profile.clone();
        *info = registration.system_info.clone();
        Ok(())
    }

    fn remove_worker(&mut self, key: WorkerKey) -> Result<(), Infallible> {
        if let Some((row, _)) = self.workers.remove(&key) {
            self.removed.insert(key, row.id);
        }
        self.samples.remove(&key);
        Ok(())
    }

    fn add_sample(&mut self, key: WorkerKey, sample: Sample) -> Result<(), Infallible> {
        let kept = self.samples.entry(key).or_default();
        if kept.last().is_none_or(|last| sample.at - last.at >= SAMPLE_EVERY) {
            kept.push(sample);
            kept.retain(|old| sample.at - old.at < SAMPLES_KEPT);
        }
        Ok(())
    }

    fn lane(&mut self, lane: &Lane) -> Result<LaneKey, Infallible> {
        let place = match self.lanes.iter().position(|known| known == lane) {
            Some(place) => place,
            None => {
                self.lanes.push(lane.clone());
                self.lanes.len() - 1
            }
        };
        Ok(LaneKey(place as i64 + 1))
    }

    fn remembered(&mut self, key: &Idempotency) -> Result<Option<Remembered>, Infallible> {
        Ok(self.keys.get(&(key.scope.clone(), key.key.clone())).cloned())
    }

    fn remember(&mut self, key: &Idempotency, made: Remembered) -> Result<(), Infallible> {
        self.keys.insert((key.scope.clone(), key.key.clone()), made);
        Ok(())
    }
}
