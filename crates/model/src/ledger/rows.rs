//! What the ledger needs of whoever keeps the rows: lookups, inserts, and the few queries that an index serves.

use std::sync::Arc;

use crate::command::Idempotency;
use crate::id::{LaneKey, SubtaskKey, TaskId, TaskKey, WorkerId, WorkerKey};
use crate::plan::Json;
use crate::routing::Lane;
use crate::subtask::{Attempt, SubtaskRow};
use crate::task::{NewTask, TaskRow};
use crate::time::Timestamp;
use crate::worker::{Registration, Sample, WorkerRow};

/// The texts of a subtask that only its worker and its own page need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtaskText {
    /// What to do.
    pub description: Arc<str>,
    /// A JSON object.
    pub input: Option<Json>,
}

/// What was made under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Hash of the body it came with.
    pub body: u64,
    /// The tasks that were made.
    pub tasks: Vec<TaskId>,
    /// When.
    pub at: Timestamp,
}

/// The rows under the ledger. A store loads them on demand, keeps what `*_mut` handed out as changed, and
/// writes it back at the end of its transaction; queries must see changes that are not written back yet.
pub trait Rows {
    /// Why a row could not be read or written.
    type Error;

    /// The key of a task.
    fn find_task(&mut self, id: TaskId) -> Result<Option<TaskKey>, Self::Error>;
    /// A task that exists.
    fn task(&mut self, key: TaskKey) -> Result<&TaskRow, Self::Error>;
    /// The same, to be changed.
    fn task_mut(&mut self, key: TaskKey) -> Result<&mut TaskRow, Self::Error>;
    /// Writes a new task down, `pending` and without a plan, and gives it its key.
    fn insert_task(&mut self, task: &NewTask, now: Timestamp) -> Result<TaskKey, Self::Error>;
    /// The first `limit` tasks above a key, in order of key.
    fn tasks_after(&mut self, after: TaskKey, limit: u32) -> Result<Vec<TaskKey>, Self::Error>;
    /// Forgets a task and everything of it.
    fn delete_task(&mut self, key: TaskKey) -> Result<(), Self::Error>;
    /// Forgets the subtasks of a task whose plan was never whole.
    fn delete_subtasks(&mut self, key: TaskKey) -> Result<(), Self::Error>;
    /// Forgets the caller's steps of a task that is planned now.
    fn drop_deferred_steps(&mut self, key: TaskKey) -> Result<(), Self::Error>;
    /// Tasks that are pending with a `start_at` that has come, the earliest first.
    fn tasks_to_start(&mut self, now: Timestamp, limit: u32) -> Result<Vec<TaskId>, Self::Error>;

    /// A subtask, if there is one.
    fn subtask(&mut self, key: SubtaskKey) -> Result<Option<&SubtaskRow>, Self::Error>;
    /// A subtask that exists, to be changed.
    fn subtask_mut(&mut self, key: SubtaskKey) -> Result<&mut SubtaskRow, Self::Error>;
    /// Writes a new subtask down.
    fn insert_subtask(&mut self, row: SubtaskRow, text: SubtaskText) -> Result<(), Self::Error>;
    /// Keeps the result of a subtask.
    fn set_output(&mut self, key: SubtaskKey, output: Json) -> Result<(), Self::Error>;
    /// Texts of a subtask that exists.
    fn subtask_text(&mut self, key: SubtaskKey) -> Result<SubtaskText, Self::Error>;
    /// A JSON object with the outputs of `dependencies` by step name, in that order.
    fn context(&mut self, task: TaskKey, dependencies: &[u16]) -> Result<Json, Self::Error>;
    /// Subtasks of a task that have not ended, in order of position.
    fn unfinished(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>, Self::Error>;
    /// Subtasks of a task that failed or were cancelled, in order of position.
    fn restartable(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>, Self::Error>;
    /// Subtasks that a worker holds a lease of, in order of key.
    fn leased_by(&mut self, worker: WorkerKey) -> Result<Vec<SubtaskKey>, Self::Error>;
    /// The first `limit` ready subtasks of each of `lanes` together, in order of (rank, key), cut to `limit`.
    fn ready(&mut self, lanes: &[LaneKey], limit: u32) -> Result<Vec<SubtaskKey>, Self::Error>;
    /// Subtasks whose `due_at` has come, in order of (due_at, key).
    fn due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<SubtaskKey>, Self::Error>;
    /// The earliest `due_at` there is.
    fn next_due(&mut self) -> Result<Option<Timestamp>, Self::Error>;
    /// All leased subtasks, in order of key.
    fn leased(&mut self) -> Result<Vec<SubtaskKey>, Self::Error>;
    /// Keeps how an attempt ended that did not complete.
    fn record_attempt(&mut self, key: SubtaskKey, attempt: Attempt) -> Result<(), Self::Error>;

    /// The key of a worker that is on the list.
    fn find_worker(&mut self, id: WorkerId) -> Result<Option<WorkerKey>, Self::Error>;
    /// The key of the worker of a machine.
    fn find_machine(&mut self, machine_id: &str) -> Result<Option<WorkerKey>, Self::Error>;
    /// Whether a worker with this key is on the list.
    fn knows_worker(&mut self, key: WorkerKey) -> Result<bool, Self::Error>;
    /// A worker that exists.
    fn worker(&mut self, key: WorkerKey) -> Result<&WorkerRow, Self::Error>;
    /// The same, to be changed.
    fn worker_mut(&mut self, key: WorkerKey) -> Result<&mut WorkerRow, Self::Error>;
    /// Writes a new worker down, in its first session and with nothing leased.
    fn insert_worker(&mut self, registration: &Registration, now: Timestamp) -> Result<WorkerKey, Self::Error>;
    /// Replaces what a known worker registered; its row's `profile` is changed likewise.
    fn update_registration(&mut self, key: WorkerKey, registration: &Registration) -> Result<(), Self::Error>;
    /// Takes a worker off the list; its id stays known to the attempts it made.
    fn remove_worker(&mut self, key: WorkerKey) -> Result<(), Self::Error>;
    /// Keeps a worker's figures, unless the last ones kept are younger than [`crate::worker::SAMPLE_EVERY`].
    fn add_sample(&mut self, key: WorkerKey, sample: Sample) -> Result<(), Self::Error>;

    /// The key of a lane, given one when it is new.
    fn lane(&mut self, lane: &Lane) -> Result<LaneKey, Self::Error>;

    /// What was made under a key.
    fn remembered(&mut self, key: &Idempotency) -> Result<Option<Remembered>, Self::Error>;
    /// Keeps what was made under a key, in place of what was.
    fn remember(&mut self, key: &Idempotency, made: Remembered) -> Result<(), Self::Error>;
}
