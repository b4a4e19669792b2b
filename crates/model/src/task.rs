//! Tasks: what is submitted, what never changes, and what does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{TaskId, TaskKey};
use crate::plan::{Json, NewSteps};
use crate::time::Timestamp;
use crate::words::{CheckpointFrequency, Priority, Privacy, TaskStatus, TaskType};

/// Characters of a description that lists show.
pub const SUMMARY_CHARS: usize = 200;

/// What of a task never changes and is shown in lists and events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskHead {
    /// Its key in the store.
    pub key: TaskKey,
    /// Its id.
    pub id: TaskId,
    /// Who made it.
    pub user: Arc<str>,
    /// The first [`SUMMARY_CHARS`] characters of the description.
    pub summary: Arc<str>,
    /// Its type.
    pub task_type: TaskType,
    /// Its priority.
    pub priority: Priority,
    /// When it was submitted.
    pub created_at: Timestamp,
}

/// The texts of a task, read only when one task is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskText {
    /// What the caller wants, whole.
    pub description: Arc<str>,
    /// A JSON object.
    pub requirements: Option<Json>,
    /// A JSON object.
    pub metadata: Option<Json>,
    /// How often to stop for a person.
    pub checkpoint_frequency: CheckpointFrequency,
    /// Whether it may leave the house.
    pub privacy: Privacy,
    /// Tools to try first, as a JSON array of names.
    pub tool_preferences: Json,
    /// Labels required of workers, as a JSON object.
    pub requires: Json,
    /// The caller's own steps as JSON, kept while the task is not planned.
    pub deferred_steps: Option<Json>,
}

impl TaskText {
    /// A description, and everything else as where a caller names nothing.
    pub fn plain(description: impl Into<Arc<str>>) -> Self {
        Self {
            description: description.into(),
            requirements: None,
            metadata: None,
            checkpoint_frequency: CheckpointFrequency::Medium,
            privacy: Privacy::Normal,
            tool_preferences: "[]".into(),
            requires: "{}".into(),
            deferred_steps: None,
        }
    }
}

/// When a task is planned and begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// In the same transaction.
    Now,
    /// When someone asks to decompose it.
    OnRequest,
    /// At that time, or when asked before.
    At(Timestamp),
}

/// A task as it is submitted, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Made by the caller of the store, never used before.
    pub id: TaskId,
    /// Who makes it.
    pub user: Arc<str>,
    /// Its type.
    pub task_type: TaskType,
    /// Its priority.
    pub priority: Priority,
    /// Its texts.
    pub text: TaskText,
    /// When it starts; with [`Start::Now`] the plan must be there.
    pub start: Start,
    /// The plan, or its first chunk.
    pub plan: Option<NewPlan>,
}

impl NewTask {
    /// Its row when it is written down at `now` under `key`: pending and without a plan.
    pub fn first_row(&self, key: TaskKey, now: Timestamp) -> TaskRow {
        let head = TaskHead {
            key,
            id: self.id,
            user: self.user.clone(),
            summary: summary(&self.text.description),
            task_type: self.task_type,
            priority: self.priority,
            created_at: now,
        };
        TaskRow {
            head: Arc::new(head),
            status: TaskStatus::Pending,
            total: 0,
            completed: 0,
            failed: 0,
            cancelled: 0,
            running: 0,
            seq: 0,
            started_at: None,
            completed_at: None,
            updated_at: now,
            error: None,
            start_at: match self.start {
                Start::At(at) => Some(at),
                Start::Now | Start::OnRequest => None,
            },
        }
    }
}

/// A plan on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPlan {
    /// The steps from position 0 on.
    pub steps: NewSteps,
    /// How many steps the whole plan has; when more than are here, the rest follows in chunks and the task
    /// is `initializing` until then.
    pub total: u32,
}

/// What of a task changes.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// What does not.
    pub head: Arc<TaskHead>,
    /// Where it stands.
    pub status: TaskStatus,
    /// Subtasks in its plan; 0 while not planned.
    pub total: u32,
    /// Subtasks completed.
    pub completed: u32,
    /// Subtasks failed for good.
    pub failed: u32,
    /// Subtasks cancelled.
    pub cancelled: u32,
    /// Subtasks leased now.
    pub running: u32,
    /// The last event number given.
    pub seq: u64,
    /// When it was planned.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When any of this last changed.
    pub updated_at: Timestamp,
    /// Why it failed, or why it was cancelled.
    pub error: Option<Arc<str>>,
    /// When it is to start; only while pending.
    pub start_at: Option<Timestamp>,
}

impl TaskRow {
    /// Percent of its subtasks that completed, rounded down; 0 without a plan.
    pub fn progress(&self) -> u8 {
        percent(self.completed, self.total)
    }

    /// Its counters, for the progress cache.
    pub fn counters(&self) -> Progress {
        Progress {
            version: self.seq,
            status: self.status,
            total: self.total,
            completed: self.completed,
            running: self.running,
            failed: self.failed,
        }
    }
}

fn percent(completed: u32, total: u32) -> u8 {
    if total == 0 { 0 } else { (u64::from(completed) * 100 / u64::from(total)) as u8 }
}

/// A task's counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Grows with every change of the task; the larger one is the newer one.
    pub version: u64,
    /// Where the task stands.
    pub status: TaskStatus,
    /// Subtasks in its plan.
    pub total: u32,
    /// Subtasks completed.
    pub completed: u32,
    /// Subtasks leased now.
    pub running: u32,
    /// Subtasks failed for good.
    pub failed: u32,
}

impl Progress {
    /// Percent of the subtasks that completed, rounded down; 0 without a plan.
    pub fn percent(&self) -> u8 {
        percent(self.completed, self.total)
    }
}

/// The part of a description that lists show.
pub fn summary(description: &str) -> Arc<str> {
    match description.char_indices().nth(SUMMARY_CHARS) {
        Some((end, _)) => description[..end].into(),
        None => description.into(),
    }
}
