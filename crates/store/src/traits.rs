//! The trait that every store implements, and what goes with it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regatta_model::command::{Answer, Command, Operation};
use regatta_model::ledger::{Effects, ProgressChange};
use regatta_model::task::Progress;
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::{LaneKey, Span, SubtaskId, TaskId, Timestamp, TokenId, WorkerId, routing::Lane};
use uuid::Uuid;

use crate::query::{
    Counters, EventPage, LogPage, LogQuery, StoreHealth, SubtaskDetail, SubtaskSummary, TaskDetail, TaskPage,
    TaskQuery, WorkerDetail, WorkerPage, WorkerQuery,
};

/// Why a store could not do what it was asked. Nothing was changed, except after [`StoreError::Unknown`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// More is waiting than the store takes; try again after a moment.
    #[error("the store has too much to write; try again in a moment")]
    Overloaded,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// The connection was lost at the commit: whether it was done is not known.
    #[error("whether it was written is not known: {0}")]
    Unknown(String),
    /// What the database stands on is full or fails: its disk, its file, the memory. An operator must look at it, and
    /// what is asked again after that may be done.
    #[error("the database failed: {0}")]
    Failing(String),
    /// The database refused, for a reason that is a fault of ours.
    #[error("the database failed: {0}")]
    Database(String),
    /// The database cannot be opened as it is.
    #[error("{0}")]
    Open(String),
}

/// Where the time of a call went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Waiting for the writer.
    pub queue: Duration,
    /// Waiting for a connection.
    pub pool: Duration,
    /// Statements.
    pub db: Duration,
    /// The commit.
    pub commit: Duration,
}

/// An answer and where its time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed<T> {
    /// The answer.
    pub value: T,
    /// Where the time went.
    pub timing: Timing,
}

/// What a committed transaction brought about; shared, because several listeners read it.
pub type Committed = Arc<Effects>;

/// What one node does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Ending leases, time-outs and backoffs; starting tasks at their time.
    Sweep,
    /// Forgetting what ended long ago.
    Retention,
}

impl Duty {
    /// The word a store keeps for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Retention => "retention",
        }
    }
}

/// Told of every commit, by the thread that made it: it must be quick and never wait.
pub trait Sink: Send + Sync + 'static {
    /// After the commit and *before* any of its answers: what a read after an acknowledged change must see.
    fn progressed(&self, changes: &[ProgressChange]);
    /// After the answers, in the order of commits: events to publish, lanes to wake, processes to stop.
    fn committed(&self, effects: Committed);
}

/// A durable store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What kind it is: `sqlite`, `postgres` or `memory`.
    fn kind(&self) -> &'static str;
    /// The id of what is stored, made with it: a worker's undelivered result belongs to one cluster.
    fn cluster_id(&self) -> Uuid;

    /// Does one command, durably. Commands of one caller are done in the order in which they are given.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn execute(&self, now: Timestamp, command: Command) -> Result<Timed<Answer>, StoreError>;

    /// A task with its texts and all its subtasks.
    async fn task(&self, id: TaskId) -> Result<Timed<Option<TaskDetail>>, StoreError>;
    /// A task's counters.
    async fn progress(&self, id: TaskId) -> Result<Timed<Option<Progress>>, StoreError>;
    /// A page of tasks, the newest first.
    async fn tasks(&self, query: TaskQuery) -> Result<Timed<TaskPage>, StoreError>;
    /// A subtask with everything.
    async fn subtask(&self, id: SubtaskId) -> Result<Timed<Option<SubtaskDetail>>, StoreError>;
    /// Subtasks of a task from `first` (a position) on, in order of position; `None` without such a task.
    /// With `ready_only` just those that can be claimed or are in backoff.
    async fn subtasks(
        &self,
        id: TaskId,
        first: u16,
        limit: u32,
        ready_only: bool,
    ) -> Result<Timed<Option<Vec<SubtaskSummary>>>, StoreError>;
    /// Events of a task with numbers above `after`, logs among them, in order; `None` without such a task.
    async fn events(&self, id: TaskId, after: u64, limit: u32) -> Result<Timed<Option<EventPage>>, StoreError>;
    /// Log lines of a task, in order; `None` without such a task.
    async fn logs(&self, id: TaskId, query: LogQuery) -> Result<Timed<Option<LogPage>>, StoreError>;
    /// A page of workers, the newest registered first. Status is worked out as of `now`.
    async fn workers(&self, query: WorkerQuery, now: Timestamp) -> Result<Timed<WorkerPage>, StoreError>;
    /// A worker with everything.
    async fn worker(&self, id: WorkerId, now: Timestamp) -> Result<Timed<Option<WorkerDetail>>, StoreError>;
    /// How many there are of what; cheap.
    async fn counters(&self, now: Timestamp) -> Result<Timed<Counters>, StoreError>;
    /// Lanes with a key above `after`, in order.
    async fn lanes(&self, after: LaneKey) -> Result<Vec<(LaneKey, Lane)>, StoreError>;
    /// Lanes in which something is ready now, with how many.
    async fn ready_lanes(&self) -> Result<Vec<(LaneKey, u64)>, StoreError>;
    /// The time of the last sweep, before this process too; `None` in a fresh store.
    async fn last_sweep(&self) -> Result<Option<Timestamp>, StoreError>;

    /// When a backup was last put in its place; `None` when none ever was.
    async fn restored_at(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// A number that every commit raises before it is answered: what was read after asking for it still is so as
    /// long as it is the same. `None` when others write too, of whom this process does not hear.
    fn version(&self) -> Option<u64> {
        None
    }

    /// Whether other nodes use it too, now or at any time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether this node is the one that does a duty of which one node is enough, for so long from now on. A node that
    /// has it keeps it by asking again in time; after its end another one gets it.
    async fn take_duty(&self, _duty: Duty, _length: Span) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Keeps a new token, durably. Its id and hash are new; one that is there already is an error.
    async fn add_token(&self, token: TokenRow) -> Result<(), StoreError>;
    /// Revokes a token, durably; whether there was one that counted until now.
    async fn revoke_token(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError>;
    /// All tokens, in order of id (the oldest first), revoked ones too.
    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError>;
    /// The token whose secret has this hash, revoked or not.
    async fn token(&self, hash: TokenHash) -> Result<Option<TokenRow>, StoreError>;

    /// Whether it answers, how fast, and how its pools stand.
    async fn health(&self) -> StoreHealth;
    /// Takes no more commands, finishes those it has, and closes. Idempotent.
    async fn close(&self);
}

/// Typed calls on top of [`Store::execute`].
#[async_trait]
pub trait StoreExt: Store {
    /// Does one command and returns the answer of its type.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn run<O: Operation>(&self, now: Timestamp, operation: O) -> Result<Timed<O::Answer>, StoreError> {
        let name = std::any::type_name::<O>();
        let Timed { value, timing } = self.execute(now, operation.into_command()).await?;
        match O::from_answer(value) {
            Some(value) => Ok(Timed { value, timing }),
            None => Err(StoreError::Database(format!("the answer to {name} was another command's"))),
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
