//! How events are kept: one JSON array for all events of a task in one commit.
//!
//! A record of it is `[seq, at, null, {task}]` or `[seq, at, position, {subtask}]`. Names and dependencies are not
//! repeated: they are read with the subtask's row. Only when a plan that was never whole is thrown away do its
//! subtasks' records get what never changes of them as a fifth element, because there is no row any more.

use std::fmt::Write;
use std::sync::Arc;

use regatta_model::event::Event;
use regatta_model::subtask::SubtaskHead;
use regatta_model::{LaneKey, Span, SubtaskKey, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::DbError;

/// A record as it is kept.
#[derive(Deserialize)]
pub(super) struct Record<'a>(
    /// Its number.
    pub(super) u64,
    /// When.
    pub(super) Timestamp,
    /// Of which subtask; else of the task.
    pub(super) Option<u16>,
    /// What changed.
    #[serde(borrow)]
    pub(super) &'a RawValue,
    /// What never changed, of a subtask whose row is gone.
    #[serde(default)]
    pub(super) Option<KeptHead>,
);

/// What never changes of a subtask.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptHead {
    name: Arc<str>,
    dependencies: Box<[u16]>,
    dependents: Box<[u16]>,
    complexity: u8,
    priority: i32,
    timeout_seconds: u32,
    max_attempts: u32,
    lane: LaneKey,
    head_start: Span,
}

impl KeptHead {
    pub(super) fn of(head: &SubtaskHead) -> Self {
        Self {
            name: head.name.clone(),
            dependencies: head.dependencies.clone(),
            dependents: head.dependents.clone(),
            complexity: head.complexity,
            priority: head.priority,
            timeout_seconds: head.timeout_seconds,
            max_attempts: head.max_attempts,
            lane: head.lane,
            head_start: head.head_start,
        }
    }

    pub(super) fn into_head(self, key: SubtaskKey, task: TaskId) -> SubtaskHead {
        SubtaskHead {
            key,
            id: task.subtask(key.position()),
            name: self.name,
            dependencies: self.dependencies,
            dependents: self.dependents,
            complexity: self.complexity,
            priority: self.priority,
            timeout_seconds: self.timeout_seconds,
            max_attempts: self.max_attempts,
            lane: self.lane,
            head_start: self.head_start,
        }
    }
}

fn unwritable(error: serde_json::Error) -> DbError {
    DbError::Limit(format!("an event cannot be kept: {error}"))
}

fn unreadable(error: serde_json::Error) -> DbError {
    DbError::Corrupt(format!("events that cannot be read ({error})"))
}

/// Adds a record to the array that grows in `out`; [`finish`] ends it.
pub(super) fn push(
    out: &mut String,
    (seq, at): (u64, Timestamp),
    position: Option<u16>,
    record: &(impl Serialize + ?Sized),
    head: Option<&KeptHead>,
) -> Result<(), DbError> {
    out.push(if out.is_empty() { '[' } else { ',' });
    // Writing to a String cannot fail.
    let _ = write!(out, "[{seq},{},", at.0);
    match position {
        Some(position) => {
            let _ = write!(out, "{position},");
        }
        None => out.push_str("null,"),
    }
    out.push_str(&serde_json::to_string(record).map_err(unwritable)?);
    if let Some(head) = head {
        out.push(',');
        out.push_str(&serde_json::to_string(head).map_err(unwritable)?);
    }
    out.push(']');
    Ok(())
}

/// Ends the array in `out`.
pub(super) fn finish(out: &mut String) {
    out.push(']');
}

/// The records of an array.
pub(super) fn read(records: &str) -> Result<Vec<Record<'_>>, DbError> {
    serde_json::from_str(records).map_err(unreadable)
}

/// What changed, of a record.
pub(super) fn changed<'a, T: Deserialize<'a>>(record: &'a RawValue) -> Result<T, DbError> {
    serde_json::from_str(record.get()).map_err(unreadable)
}

/// The number and time of an event.
pub(super) fn stamp(event: &Event) -> (u64, Timestamp) {
    (event.seq, event.at)
}
