//! What can be read from a store, and how it is asked for.

use std::sync::Arc;
use std::time::Duration;

use regatta_model::event::{Event, LogRecord};
use regatta_model::plan::Json;
use regatta_model::subtask::{Attempt, State, SubtaskRow};
use regatta_model::task::{TaskRow, TaskText};
use regatta_model::worker::{Sample, WorkerRow};
use regatta_model::{
    LaneKey, SubtaskId, SubtaskKey, SubtaskStatus, TaskId, TaskKey, TaskStatus, TaskType, Timestamp, WorkerKey,
    WorkerStatus,
};

/// Most rows that a search counts; beyond it only `capped` is known.
pub const SEARCH_COUNT_CAP: u64 = 10_000;

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<K> {
    /// So many rows from the front; the page carries a total.
    Offset(u64),
    /// After the row with this key; costs the same on every page, and there is no total.
    After(K),
}

/// Which tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskQuery {
    /// Only these.
    pub status: Option<TaskStatus>,
    /// Only these.
    pub task_type: Option<TaskType>,
    /// Only those whose description contains this, whatever the case of ASCII letters; `%` and `_` are themselves.
    pub search: Option<String>,
    /// Where the page begins.
    pub start: Start<TaskKey>,
    /// How many rows.
    pub limit: u32,
}

/// How many rows match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The number, at most [`SEARCH_COUNT_CAP`] for a search.
    pub count: u64,
    /// Whether there are more than were counted.
    pub capped: bool,
}

/// A task as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSummary {
    /// The row.
    pub row: TaskRow,
    /// When it is in progress and nothing of it runs: the queued subtask that is first in rank, to say what it waits for.
    pub first_queued: Option<Queued>,
}

/// What of a queued subtask says why it does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Which subtask.
    pub key: SubtaskKey,
    /// Who may run it.
    pub lane: LaneKey,
    /// Ready or in backoff.
    pub state: State,
    /// When its backoff ends.
    pub due_at: Option<Timestamp>,
    /// Until when a worker that rejected it is not offered it again.
    pub avoid_until: Option<Timestamp>,
    /// Number of the last claim.
    pub attempt: u32,
    /// Attempts that failed or timed out.
    pub failures: u32,
    /// How many of these it may have.
    pub max_attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<Arc<str>>,
}

impl From<&SubtaskRow> for Queued {
    fn from(row: &SubtaskRow) -> Self {
        Self {
            key: row.head.key,
            lane: row.head.lane,
            state: row.state,
            due_at: row.due_at,
            avoid_until: row.avoid.map(|(_, until)| until),
            attempt: row.attempt,
            failures: row.failures,
            max_attempts: row.head.max_attempts,
            error: row.error.clone(),
        }
    }
}

/// A page of tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPage {
    /// The rows.
    pub tasks: Vec<TaskSummary>,
    /// With [`Start::Offset`].
    pub total: Option<Total>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<TaskKey>,
}

/// A task with everything.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    /// The row.
    pub row: TaskRow,
    /// Its texts.
    pub text: TaskText,
    /// Its subtasks, in order of position.
    pub subtasks: Vec<SubtaskSummary>,
}

/// A subtask as its task's page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct SubtaskSummary {
    /// The row.
    pub row: SubtaskRow,
}

/// A subtask with everything.
#[derive(Debug, Clone, PartialEq)]
pub struct SubtaskDetail {
    /// The row.
    pub row: SubtaskRow,
    /// What to do.
    pub description: Arc<str>,
    /// A JSON object.
    pub input: Option<Json>,
    /// Its result, once it completed (of a failed attempt: none).
    pub output: Option<Json>,
    /// Outputs of its direct dependencies that have completed, by name.
    pub context: Json,
    /// All attempts, the running and the completed one too, in order.
    pub attempts: Vec<Attempt>,
}

/// Events of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// In order.
    pub events: Vec<Event>,
    /// The task's last event number as of this read: everything up to it was seen by it.
    pub last_seq: u64,
}

/// Which log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogQuery {
    /// Those with numbers above `seq`, at most `limit`, the first first.
    After {
        /// The number.
        seq: u64,
        /// How many.
        limit: u32,
    },
    /// The last so many, in order.
    Last(u32),
}

/// Log lines of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// Number, time and line, in order.
    pub lines: Vec<(u64, Timestamp, LogRecord)>,
    /// The task's last event number as of this read.
    pub last_seq: u64,
    /// Whether there are more lines.
    pub more: bool,
}

/// Which workers.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerQuery {
    /// Only those shown as this.
    pub status: Option<WorkerStatus>,
    /// Only those that offer this tool.
    pub tool: Option<String>,
    /// Only those that carry this label with this value.
    pub label: Option<(String, String)>,
    /// Where the page begins.
    pub start: Start<WorkerKey>,
    /// How many rows.
    pub limit: u32,
}

/// A page of workers.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerPage {
    /// The rows.
    pub workers: Vec<WorkerRow>,
    /// With [`Start::Offset`].
    pub total: Option<Total>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<WorkerKey>,
}

/// A worker with everything.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerDetail {
    /// The row.
    pub row: WorkerRow,
    /// A JSON object.
    pub system_info: Json,
    /// What it holds leases of: subtask, task, name.
    pub current: Vec<(SubtaskId, TaskId, Arc<str>)>,
    /// Figures of the last hour, the oldest first.
    pub history: Vec<Sample>,
}

/// How many there are of what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks by status, those with none left out.
    pub tasks: Vec<(TaskStatus, u64)>,
    /// Subtasks by status, those with none left out.
    pub subtasks: Vec<(SubtaskStatus, u64)>,
    /// Workers by shown status, those with none left out.
    pub workers: Vec<(WorkerStatus, u64)>,
}

/// How a store is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoreHealth {
    /// Whether it answered.
    pub connected: bool,
    /// Why not.
    pub error: Option<String>,
    /// How long a trivial read took.
    pub latency: Duration,
    /// Connections, where there is a pool: size, in use, waiting.
    pub pools: Vec<Pool>,
    /// Commands waiting for the writer.
    pub queued: u64,
}

/// A pool of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What it is for.
    pub name: String,
    /// Connections there may be.
    pub size: u64,
    /// Connections in use.
    pub in_use: u64,
    /// Callers waiting.
    pub waiting: u64,
}

/// A pattern that finds exactly this text.
pub(crate) fn like(search: &str) -> String {
    let mut pattern = String::with_capacity(search.len() + 2);
    pattern.push('%');
    for c in search.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_themselves() {
        assert_eq!(like(r"50%_\"), r"%50\%\_\\%");
    }
}
