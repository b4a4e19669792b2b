//! Subtasks: the steps of a plan once they are written down, and the attempts at them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{LaneKey, Lease, SubtaskId, SubtaskKey, WorkerId, WorkerKey};
use crate::time::{Span, Timestamp};
use crate::words::{AttemptOutcome, SubtaskStatus};

/// What of a subtask never changes and is shown in lists and events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtaskHead {
    /// Its key in the store.
    pub key: SubtaskKey,
    /// Its id.
    pub id: SubtaskId,
    /// Its step's name.
    pub name: Arc<str>,
    /// Positions of the subtasks it waits for.
    pub dependencies: Box<[u16]>,
    /// Positions of the subtasks that wait for it.
    pub dependents: Box<[u16]>,
    /// 1..=5.
    pub complexity: u8,
    /// As the caller gave it.
    pub priority: i32,
    /// How long an attempt may run, in seconds.
    pub timeout_seconds: u32,
    /// Attempts that may fail.
    pub max_attempts: u32,
    /// Who may run it.
    pub lane: LaneKey,
    /// For its priority, see [`crate::rank`].
    pub head_start: Span,
}

/// Where a subtask stands inside a store; finer than [`SubtaskStatus`], so that what is claimable has a
/// state of its own for an index to be partial on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Waits for dependencies.
    Waiting = 0,
    /// Can be claimed.
    Ready = 1,
    /// Will be ready at `due_at`.
    Backoff = 2,
    /// Leased; the lease or the time-out ends at `due_at`.
    Leased = 3,
    /// Ended well.
    Completed = 4,
    /// Failed for good.
    Failed = 5,
    /// Cancelled.
    Cancelled = 6,
}

impl State {
    const ALL: [State; 7] = [
        State::Waiting,
        State::Ready,
        State::Backoff,
        State::Leased,
        State::Completed,
        State::Failed,
        State::Cancelled,
    ];

    /// The small integer a store keeps for it.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The state of a stored code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// As clients see it.
    pub const fn status(self) -> SubtaskStatus {
        match self {
            Self::Waiting => SubtaskStatus::Pending,
            Self::Ready | Self::Backoff => SubtaskStatus::Queued,
            Self::Leased => SubtaskStatus::InProgress,
            Self::Completed => SubtaskStatus::Completed,
            Self::Failed => SubtaskStatus::Failed,
            Self::Cancelled => SubtaskStatus::Cancelled,
        }
    }

    /// Whether nothing more will happen unless the task is retried.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Who holds or last held a subtask.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// The worker.
    pub worker: WorkerKey,
    /// Its id.
    pub id: WorkerId,
    /// Its session at the claim or at the registration that kept the lease.
    pub session: i64,
    /// The tool it was given.
    pub tool: Arc<str>,
}

/// What of a subtask changes.
#[derive(Debug, Clone, PartialEq)]
pub struct SubtaskRow {
    /// What does not.
    pub head: Arc<SubtaskHead>,
    /// Where it stands.
    pub state: State,
    /// Dependencies that have not completed.
    pub deps_left: u32,
    /// Bytes of output of the dependencies that have completed.
    pub context_bytes: u64,
    /// Orders what is ready, see [`crate::rank`].
    pub rank: i64,
    /// Claims so far.
    pub attempt: u32,
    /// Attempts that failed or timed out since the last retry.
    pub failures: u32,
    /// Leases lost since the last retry.
    pub losses: u32,
    /// Epoch of the last claim, see [`Lease`].
    pub epoch: i64,
    /// Who holds it, or held it last.
    pub holder: Option<Holder>,
    /// End of the lease, while leased.
    pub lease_expires_at: Option<Timestamp>,
    /// When a sweep must look at it: lease end or time-out, or end of the backoff.
    pub due_at: Option<Timestamp>,
    /// Heartbeats in a row that left it out.
    pub missed: u8,
    /// A worker that rejected it, and until when it is not offered there.
    pub avoid: Option<(WorkerKey, Timestamp)>,
    /// 0..=100, as the worker said.
    pub progress: u8,
    /// When it first became ready.
    pub queued_at: Option<Timestamp>,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was cancelled.
    pub error: Option<Arc<str>>,
    /// Exit code of the last attempt, where its tool is a process.
    pub exit_code: Option<i32>,
    /// Seconds the worker said the last attempt took.
    pub execution_time: f64,
    /// Whether the last result was simulated.
    pub simulated: bool,
}

impl SubtaskRow {
    /// The fencing token of the current or last claim.
    pub fn lease(&self) -> Lease {
        Lease { subtask: self.head.id, epoch: self.epoch }
    }

    /// End of the time-out of the current attempt, by which the server ends it when the worker has not.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.started_at.map(|at| at + Span::seconds(i64::from(self.head.timeout_seconds)) + DEADLINE_GRACE)
    }
}

/// The worker enforces time-outs first and reports what it saw; the server only when that did not come.
pub const DEADLINE_GRACE: Span = Span::seconds(5);

/// One claim and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Number of the claim.
    pub attempt: u32,
    /// Who made it.
    pub worker: WorkerId,
    /// With what.
    pub tool: Arc<str>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How.
    pub outcome: AttemptOutcome,
    /// Why.
    pub error: Option<Arc<str>>,
    /// Exit code, where the tool is a process.
    pub exit_code: Option<i32>,
}
