//! What can be asked of the ledger, and what it answers. Commands carry all they need, chance included;
//! only the time is given beside them.

use std::sync::Arc;

use crate::id::{LaneKey, Lease, SubtaskId, TaskId, TaskKey, WorkerId, WorkerKey};
use crate::plan::{Json, NewSteps};
use crate::routing::Resources;
use crate::task::{NewPlan, NewTask};
use crate::time::{Span, Timestamp};
use crate::token::TokenId;
use crate::words::{LogLevel, SubtaskStatus, TaskStatus, WorkerStatus};
use crate::worker::{Registration, WorkerRow};

/// A caller's key for "do this once".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Whose key it is.
    pub scope: Arc<str>,
    /// The key.
    pub key: Arc<str>,
    /// A hash of the parsed body.
    pub body: u64,
}

/// How long an idempotency key is kept.
pub const IDEMPOTENCY_KEPT: Span = Span::seconds(24 * 3_600);

/// Makes tasks, all or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Submit {
    /// At least one.
    pub tasks: Vec<NewTask>,
    /// With this key only once.
    pub idempotency: Option<Idempotency>,
}

/// Answer to [`Submit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// They were made.
    Made,
    /// The key was used before with the same body; these were made then.
    Before(Vec<TaskId>),
    /// The key was used before with another body.
    OtherBody,
}

/// Adds a chunk to the plan of a task that is `initializing`.
#[derive(Debug, Clone, PartialEq)]
pub struct AddSteps {
    /// The task.
    pub task: TaskId,
    /// The chunk.
    pub steps: NewSteps,
    /// Whether the plan is whole with it.
    pub last: bool,
}

/// Plans a task that is `pending`.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanTask {
    /// The task.
    pub task: TaskId,
    /// Its plan, or the first chunk of it.
    pub plan: NewPlan,
}

/// Answer to [`PlanTask`] and [`AddSteps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// It is written down.
    Done,
    /// It had a plan already, or a chunk before this one is missing; nothing was changed.
    Already,
    /// It was cancelled before; nothing was changed.
    Cancelled,
    /// There is no such task.
    Unknown,
}

/// A worker that may be given work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The worker.
    pub worker: WorkerKey,
    /// The session its line or poll belongs to.
    pub session: i64,
    /// How many subtasks it may be given.
    pub free: u32,
}

/// Who may take subtasks of a lane.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneOffer {
    /// The lane.
    pub lane: LaneKey,
    /// Places in [`Claim::seats`], the best first, each with the tool it would use. An entry is good for one
    /// subtask; a worker that should get several stands here several times.
    pub takers: Vec<(u32, Arc<str>)>,
}

/// Leases what is ready to workers with free slots.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Workers.
    pub seats: Vec<Seat>,
    /// Lanes that these can serve.
    pub lanes: Vec<LaneOffer>,
    /// At most so many subtasks.
    pub limit: u32,
    /// The configured length of a lease.
    pub lease: Span,
    /// Random; goes into the epochs.
    pub nonce: u32,
}

/// A subtask that was leased, with all that its worker needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Who got it.
    pub worker: WorkerId,
    /// The lease.
    pub lease: Lease,
    /// Its step's name.
    pub name: Arc<str>,
    /// What to do.
    pub description: Arc<str>,
    /// With which tool.
    pub tool: Arc<str>,
    /// A JSON object.
    pub input: Option<Json>,
    /// A JSON object: the outputs of its direct dependencies by step name.
    pub context: Json,
    /// 1..=5.
    pub complexity: u8,
    /// As the caller gave it.
    pub priority: i32,
    /// Number of this claim.
    pub attempt: u32,
    /// Length of the lease.
    pub lease_length: Span,
    /// How long it may run, in seconds.
    pub timeout_seconds: u32,
}

/// A worker's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Of which subtask.
    pub subtask: SubtaskId,
    /// Under which lease; older agents send none.
    pub lease: Option<Lease>,
    /// The worker that speaks, where that is known; without a lease it must be the holder.
    pub by: Option<WorkerId>,
    /// The worker's token that speaks, where one does: the holder must have registered under it.
    pub bound: Option<TokenId>,
    /// How it went.
    pub result: Result<(), Arc<str>>,
    /// A JSON object.
    pub output: Json,
    /// Seconds, as the worker measured.
    pub execution_time: f64,
    /// Where the tool is a process.
    pub exit_code: Option<i32>,
    /// Whether it was pretended.
    pub simulated: bool,
    /// Random; spreads the backoff.
    pub jitter: u16,
}

/// Answer to [`Report`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reported {
    /// It was taken.
    Accepted {
        /// Where the subtask stands now; `queued` when it will be tried again.
        status: SubtaskStatus,
        /// The task's percent.
        progress: u8,
        /// Subtasks that became ready by it.
        newly_ready: u32,
    },
    /// This lease completed it before; nothing was changed.
    Repeated {
        /// The task's percent.
        progress: u8,
    },
    /// The lease is another's, over, or has reported a failure; nothing was changed.
    Stale(StaleLease),
    /// There is no such subtask.
    Unknown,
}

/// Why a lease does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleLease {
    /// The subtask does not run.
    NotRunning(SubtaskStatus),
    /// It runs under a newer lease.
    Superseded,
    /// Its holder uses leases, and none was given.
    LeaseNeeded,
    /// It runs at another worker.
    OtherWorker,
}

/// A worker's word on how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct SetProgress {
    /// Of which subtask.
    pub subtask: SubtaskId,
    /// Under which lease.
    pub lease: Option<Lease>,
    /// The worker that speaks, where known.
    pub by: Option<WorkerId>,
    /// The worker's token that speaks, where one does: the holder must have registered under it.
    pub bound: Option<TokenId>,
    /// 0..=100.
    pub progress: u8,
    /// A line for the log.
    pub message: Option<Arc<str>>,
}

/// Answer to [`SetProgress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressSet {
    /// It was taken.
    Accepted,
    /// Nothing was changed.
    Stale(StaleLease),
    /// There is no such subtask.
    Unknown,
}

/// A log line.
#[derive(Debug, Clone, PartialEq)]
pub struct AppendLog {
    /// Of which subtask.
    pub subtask: SubtaskId,
    /// Under which lease; without one it is always taken.
    pub lease: Option<Lease>,
    /// Who wrote it; where absent, the holder.
    pub worker: Option<WorkerId>,
    /// The worker's token that speaks, where one does: the present or last holder must have registered under it.
    pub bound: Option<TokenId>,
    /// How heavy.
    pub level: LogLevel,
    /// The line.
    pub message: Arc<str>,
    /// A JSON object.
    pub metadata: Option<Json>,
}

/// Answer to [`AppendLog`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// It was kept.
    Kept {
        /// Its number.
        seq: u64,
        /// Whether its lease was no longer live.
        stale: bool,
    },
    /// The token that speaks is not that of the present or last holder; nothing was changed.
    NotHolder,
    /// There is no such subtask.
    Unknown,
}

/// Which known workers a registration may take over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TakeOver {
    /// Any: its caller may do everything.
    #[default]
    Any,
    /// Those that its own token registered, and those that nobody's did.
    Own,
    /// These, and those that this token registered, which was revoked since.
    From(TokenId),
}

/// A worker comes in, or comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    /// Who and what; its profile names the owner.
    pub registration: Registration,
    /// Which worker it may be, where the machine is known.
    pub take_over: TakeOver,
    /// What it still runs; without it, it runs nothing.
    pub running: Option<Vec<Lease>>,
    /// The configured length of a lease.
    pub lease: Span,
}

/// Answer to [`Register`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub worker: WorkerId,
    /// Its key.
    pub key: WorkerKey,
    /// The new session.
    pub session: i64,
    /// Whether the machine was known.
    pub known: bool,
}

/// The machine's worker was registered under this token, and the caller's may not take it over; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedBy(pub TokenId);

/// A worker's sign of life.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// Whose.
    pub worker: WorkerId,
    /// What it says of itself.
    pub said: WorkerStatus,
    /// Figures, where it sends them.
    pub resources: Option<Resources>,
    /// A JSON object of the other numbers among them.
    pub figures: Option<Json>,
    /// What it says it works on.
    pub current_task: Option<Arc<str>>,
    /// What it really runs.
    pub running: Option<Vec<Lease>>,
    /// The configured length of a lease.
    pub lease: Span,
    /// Whether it waited so long for the store that leases may be newer than it: what it leaves out says nothing. A store
    /// that kept it waiting sets this.
    pub late: bool,
}

/// How late something may be that is said of leases of this length, and count as said in time.
pub fn slack(lease: Span) -> Span {
    Span::micros(lease.0 / 12).min(Span::seconds(5))
}

impl Heartbeat {
    /// How long it may wait for the store before it is late. A worker that gets no answer waits longer than this before it says
    /// it again, so of two that were said before a lease was given, and come after it, only one counts; and one is not enough.
    pub fn may_wait(&self) -> Span {
        slack(self.lease)
    }
}

/// Answer to what a worker says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was taken.
    Yes,
    /// It has unregistered; it must register first.
    Unregistered,
    /// There is no such worker.
    Unknown,
}

/// Coalesced signs of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Who was heard when.
    pub heard: Vec<(WorkerId, Timestamp)>,
}

/// A worker tells over a fresh line what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Who.
    pub worker: WorkerId,
    /// The session of the line.
    pub session: i64,
    /// When the line was opened: it concerns only leases given before.
    pub connected_at: Timestamp,
    /// What it runs.
    pub running: Vec<Lease>,
    /// The configured length of a lease.
    pub lease: Span,
}

/// Answer to [`Resume`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Live leases, renewed.
    pub kept: Vec<Lease>,
    /// Leases that are over; what runs under them must stop.
    pub dropped: Vec<Lease>,
}

/// A worker has shown a lease, so it knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledge {
    /// Who.
    pub worker: WorkerId,
}

/// A worker goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unregister {
    /// Who.
    pub worker: WorkerId,
}

/// No new work for a worker, or new work again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetDraining {
    /// Which.
    pub worker: WorkerId,
    /// Whether it drains.
    pub draining: bool,
}

/// Takes a worker that is offline off the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveWorker {
    /// Which.
    pub worker: WorkerId,
}

/// Answer to [`RemoveWorker`] and [`DeleteTask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Yes,
    /// It is still at work; nothing was changed.
    InUse,
    /// There was none.
    Unknown,
}

/// A worker will not take what it was given, or gives it back.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// What.
    pub subtask: SubtaskId,
    /// Under which lease; older agents send none.
    pub lease: Option<Lease>,
    /// Who.
    pub worker: WorkerId,
    /// Why; a reason that begins with `drain` is a drain.
    pub reason: Arc<str>,
}

/// Cancels a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelTask {
    /// Which.
    pub task: TaskId,
    /// Why.
    pub reason: Option<Arc<str>>,
}

/// Answer to [`CancelTask`] and [`RetryTask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It stands so now.
    To(TaskStatus),
    /// It stood so, and that does not allow it; nothing was changed.
    Refused(TaskStatus),
    /// There is no such task.
    Unknown,
}

/// Sends back what failed or was cancelled in a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryTask {
    /// Which.
    pub task: TaskId,
}

/// Forgets a task that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteTask {
    /// Which.
    pub task: TaskId,
}

/// Rows (subtasks and events) from which on a task is too long to be forgotten whole in one transaction: it is gone for
/// everyone at once, and a store lets its rows go in pieces.
pub const LONG_TASK: u64 = 500;

/// Forgets tasks that ended long ago or are too many, the first submitted first, as far as one transaction should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forget {
    /// Those that ended before this.
    pub ended_before: Option<Timestamp>,
    /// Besides, so many of those that ended, whenever that was.
    pub excess: u64,
    /// Looks at tasks above this key.
    pub after: TaskKey,
    /// Looks at no more tasks than these.
    pub look: u32,
    /// Forgets no more rows than these, a task longer than [`LONG_TASK`] counted as one of that length; at least one task.
    pub rows: u64,
}

/// Answer to [`Forget`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Tasks that were forgotten.
    pub tasks: u32,
    /// Above which key to go on; `None` when there is nothing more to forget.
    pub next: Option<TaskKey>,
}

/// Looks at what is due: leases and time-outs that ended, backoffs that are over, tasks to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// At most so many subtasks.
    pub limit: u32,
    /// Random; spreads backoffs.
    pub jitter: u16,
}

/// Answer to [`Sweep`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Subtasks that were due.
    pub handled: u32,
    /// Tasks whose time to start has come; they must be planned.
    pub to_start: Vec<TaskId>,
    /// When the next subtask is due.
    pub next_due: Option<Timestamp>,
}

/// Gives every lease more time: that in which no node was up to renew it. A time-out that ended meanwhile is not enforced
/// before the lease ends, so that a result that was ready in time finds its subtask running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendLeases {
    /// How much.
    pub by: Span,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident -> $answer:ty),+ $(,)?) => {
        /// Any command.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Command { $($(#[$doc])* $name($name)),+ }

        /// The answer to the command of the same name.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Answer { $($(#[$doc])* $name($answer)),+ }

        $(impl Operation for $name {
            type Answer = $answer;
            fn into_command(self) -> Command { Command::$name(self) }
            fn from_answer(answer: Answer) -> Option<$answer> {
                match answer { Answer::$name(answer) => Some(answer), _ => None }
            }
        })+

        impl Command {
            /// Its name, for metrics and logs.
            pub const fn name(&self) -> &'static str {
                match self { $(Command::$name(_) => stringify!($name)),+ }
            }
        }
    };
}

/// A command with the type of its answer.
pub trait Operation: Send + 'static {
    /// What it is answered with.
    type Answer: Send + 'static;
    /// Itself among all commands.
    fn into_command(self) -> Command;
    /// Its answer from among all; `None` when it is another command's, which is an error of the store.
    fn from_answer(answer: Answer) -> Option<Self::Answer>;
}

operations! {
    /// See [`struct@Submit`].
    Submit -> Submitted,
    /// See [`struct@AddSteps`].
    AddSteps -> Planned,
    /// See [`struct@PlanTask`].
    PlanTask -> Planned,
    /// See [`struct@Claim`].
    Claim -> Vec<Assignment>,
    /// See [`struct@Report`].
    Report -> Reported,
    /// See [`struct@SetProgress`].
    SetProgress -> ProgressSet,
    /// See [`struct@AppendLog`].
    AppendLog -> Logged,
    /// See [`struct@Register`].
    Register -> Result<Registered, OwnedBy>,
    /// See [`struct@Heartbeat`].
    Heartbeat -> Heard,
    /// See [`struct@Touch`].
    Touch -> (),
    /// See [`struct@Resume`].
    Resume -> Option<Resumed>,
    /// See [`struct@Acknowledge`].
    Acknowledge -> (),
    /// See [`struct@Unregister`].
    Unregister -> Heard,
    /// See [`struct@SetDraining`].
    SetDraining -> Option<WorkerRow>,
    /// See [`struct@RemoveWorker`].
    RemoveWorker -> Removed,
    /// See [`struct@Reject`].
    Reject -> bool,
    /// See [`struct@CancelTask`].
    CancelTask -> Changed,
    /// See [`struct@RetryTask`].
    RetryTask -> Changed,
    /// See [`struct@DeleteTask`].
    DeleteTask -> Removed,
    /// See [`struct@Forget`].
    Forget -> Forgotten,
    /// See [`struct@Sweep`].
    Sweep -> Swept,
    /// See [`struct@ExtendLeases`].
    ExtendLeases -> (),
}
