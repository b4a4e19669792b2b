//! [`Rows`] for the ledger, each call handed to the file that knows its table.

use regatta_model::command::Idempotency;
use regatta_model::ledger::{Remembered, Rows, SubtaskText};
use regatta_model::plan::Json;
use regatta_model::routing::Lane;
use regatta_model::subtask::{Attempt, SubtaskRow};
use regatta_model::task::{NewTask, TaskRow};
use regatta_model::worker::{Registration, Sample, WorkerRow};
use regatta_model::{LaneKey, SubtaskKey, TaskId, TaskKey, Timestamp, WorkerId, WorkerKey};

use super::PostgresRows;
use crate::postgres::error::DbError;
use crate::postgres::link::Result;

impl Rows for PostgresRows {
    type Error = DbError;

    fn find_task(&mut self, id: TaskId) -> Result<Option<TaskKey>> {
        self.task_key(id)
    }
    fn task(&mut self, key: TaskKey) -> Result<&TaskRow> {
        self.task_row(key)
    }
    fn task_mut(&mut self, key: TaskKey) -> Result<&mut TaskRow> {
        self.change_task(key)
    }
    fn insert_task(&mut self, task: &NewTask, now: Timestamp) -> Result<TaskKey> {
        self.add_task(task, now)
    }
    fn tasks_after(&mut self, after: TaskKey, limit: u32) -> Result<Vec<TaskKey>> {
        self.find_tasks_after(after, limit)
    }
    fn delete_task(&mut self, key: TaskKey) -> Result<()> {
        self.forget_task(key)
    }
    fn delete_subtasks(&mut self, key: TaskKey) -> Result<()> {
        self.keep_heads_in_events(key)?;
        self.forget_subtasks(key)
    }
    fn drop_deferred_steps(&mut self, key: TaskKey) -> Result<()> {
        self.forget_deferred_steps(key)
    }
    fn tasks_to_start(&mut self, now: Timestamp, limit: u32) -> Result<Vec<TaskId>> {
        self.find_tasks_to_start(now, limit)
    }

    fn subtask(&mut self, key: SubtaskKey) -> Result<Option<&SubtaskRow>> {
        self.subtask_row(key)
    }
    fn subtask_mut(&mut self, key: SubtaskKey) -> Result<&mut SubtaskRow> {
        self.change_subtask(key)
    }
    fn insert_subtask(&mut self, row: SubtaskRow, text: SubtaskText) -> Result<()> {
        self.add_subtask(row, text);
        Ok(())
    }
    fn set_output(&mut self, key: SubtaskKey, output: Json) -> Result<()> {
        self.keep_output(key, output)
    }
    fn subtask_text(&mut self, key: SubtaskKey) -> Result<SubtaskText> {
        self.text(key)
    }
    fn context(&mut self, task: TaskKey, dependencies: &[u16]) -> Result<Json> {
        self.outputs_of(task, dependencies)
    }
    fn unfinished(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>> {
        self.find_unfinished(task)
    }
    fn restartable(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>> {
        self.find_restartable(task)
    }
    fn leased_by(&mut self, worker: WorkerKey) -> Result<Vec<SubtaskKey>> {
        self.find_leased_by(worker)
    }
    fn ready(&mut self, lanes: &[LaneKey], limit: u32) -> Result<Vec<SubtaskKey>> {
        self.find_ready(lanes, limit)
    }
    fn due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<SubtaskKey>> {
        Ok(self.find_due(now, limit))
    }
    fn next_due(&mut self) -> Result<Option<Timestamp>> {
        self.find_next_due()
    }
    fn leased(&mut self) -> Result<Vec<SubtaskKey>> {
        self.find_leased()
    }
    fn record_attempt(&mut self, key: SubtaskKey, attempt: Attempt) -> Result<()> {
        self.keep_attempt(key, attempt);
        Ok(())
    }

    fn find_worker(&mut self, id: WorkerId) -> Result<Option<WorkerKey>> {
        self.worker_key(id)
    }
    fn find_machine(&mut self, machine_id: &str) -> Result<Option<WorkerKey>> {
        self.machine_key(machine_id)
    }
    fn knows_worker(&mut self, key: WorkerKey) -> Result<bool> {
        self.is_worker(key)
    }
    fn worker(&mut self, key: WorkerKey) -> Result<&WorkerRow> {
        self.worker_row(key)
    }
    fn worker_mut(&mut self, key: WorkerKey) -> Result<&mut WorkerRow> {
        self.change_worker(key)
    }
    fn insert_worker(&mut self, registration: &Registration, now: Timestamp) -> Result<WorkerKey> {
        self.add_worker(registration, now)
    }
    fn update_registration(&mut self, key: WorkerKey, registration: &Registration) -> Result<()> {
        self.change_registration(key, registration)
    }
    fn remove_worker(&mut self, key: WorkerKey) -> Result<()> {
        self.forget_worker(key)
    }
    fn add_sample(&mut self, key: WorkerKey, sample: Sample) -> Result<()> {
        self.keep_sample(key, sample);
        Ok(())
    }

    fn lane(&mut self, lane: &Lane) -> Result<LaneKey> {
        self.lane_key(lane)
    }

    fn remembered(&mut self, key: &Idempotency) -> Result<Option<Remembered>> {
        self.find_remembered(key)
    }
    fn remember(&mut self, key: &Idempotency, made: Remembered) -> Result<()> {
        self.keep_remembered(key, &made);
        Ok(())
    }
}
