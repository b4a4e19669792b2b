//! What happened, numbered: the events of a task, in the order in which clients see them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Lease, SubtaskId, WorkerId};
use crate::plan::Json;
use crate::subtask::{State, SubtaskHead, SubtaskRow};
use crate::task::{TaskHead, TaskRow};
use crate::time::Timestamp;
use crate::words::{LogLevel, SubtaskStatus, TaskStatus};

/// One event of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Of which task.
    pub task: Arc<TaskHead>,
    /// Its number: contiguous from 1 over all kinds of the task's events.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: What,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// The task changed to this.
    Task(TaskRecord),
    /// A subtask changed to this.
    Subtask(Arc<SubtaskHead>, SubtaskRecord),
    /// A line was logged.
    Log(LogRecord),
}

/// The changing part of a task, as an event keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Where it stands.
    #[serde(rename = "s")]
    pub status: TaskStatus,
    /// Percent completed.
    #[serde(rename = "p")]
    pub progress: u8,
}

/// The changing part of a subtask, as an event keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtaskRecord {
    /// Where it stands.
    #[serde(rename = "s")]
    pub status: SubtaskStatus,
    /// 0..=100.
    #[serde(rename = "p")]
    pub progress: u8,
    /// Number of the last claim.
    #[serde(rename = "a")]
    pub attempt: u32,
    /// Who holds it, or held it when it ended; nobody while it waits.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// With what tool.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Arc<str>>,
    /// Why the last attempt failed.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Arc<str>>,
    /// When it first became ready.
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Timestamp>,
    /// When the last attempt began.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Whether its result was simulated.
    #[serde(rename = "m", default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Of which subtask.
    pub subtask: SubtaskId,
    /// How heavy.
    pub level: LogLevel,
    /// The line.
    pub message: Arc<str>,
    /// Who wrote it.
    pub worker: Option<WorkerId>,
    /// A JSON object.
    pub metadata: Option<Json>,
    /// Written under a lease that was no longer live.
    pub stale: bool,
}

impl From<&TaskRow> for TaskRecord {
    fn from(row: &TaskRow) -> Self {
        Self { status: row.status, progress: row.progress() }
    }
}

impl From<&SubtaskRow> for SubtaskRecord {
    fn from(row: &SubtaskRow) -> Self {
        // What waits is nobody's: who had it before stands among its attempts.
        let waits = matches!(row.state, State::Waiting | State::Ready | State::Backoff);
        let holder = row.holder.as_ref().filter(|_| !waits);
        Self {
            status: row.state.status(),
            progress: row.progress,
            attempt: row.attempt,
            worker: holder.map(|holder| holder.id),
            tool: holder.map(|holder| holder.tool.clone()),
            error: row.error.clone(),
            queued_at: row.queued_at,
            started_at: row.started_at,
            completed_at: row.completed_at,
            simulated: row.simulated,
        }
    }
}

/// A process that must be told to stop, because its lease was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Who runs it.
    pub worker: WorkerId,
    /// Under which lease.
    pub lease: Lease,
    /// Why, for people.
    pub reason: Arc<str>,
}
