//! Columns to the model's types and back. The order of columns is that of the files in `sql/`.

use std::sync::Arc;

use regatta_model::routing::Resources;
use regatta_model::subtask::{Attempt, State, SubtaskHead, SubtaskRow};
use regatta_model::task::{TaskHead, TaskRow, TaskText};
use regatta_model::worker::{Profile, Sample, WorkerRow};
use regatta_model::{LaneKey, SubtaskKey, TaskId, TaskKey, Timestamp, WorkerId, WorkerKey};
use rusqlite::Row;
use rusqlite::types::FromSql;
use uuid::Uuid;

use super::error::DbError;
use crate::pack::records::{self, Record};
use crate::pack::subtask::{self as packed, Columns};
use crate::query::Queued;

/// Columns that make a [`TaskRow`]; others follow from here on.
pub(super) const TASK_COLUMNS: usize = 19;
/// Columns that make a [`SubtaskRow`].
pub(super) const SUBTASK_COLUMNS: usize = 8;
/// Columns that make a [`WorkerRow`].
pub(super) const WORKER_COLUMNS: usize = 16;
/// Columns that make a [`TaskHead`].
pub(super) const HEAD_COLUMNS: usize = 7;

fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, DbError> {
    Ok(row.get(column)?)
}

/// A word of the domain by its stored code.
pub(super) fn word<T>(
    row: &Row<'_>,
    column: usize,
    from_code: impl Fn(u8) -> Option<T>,
    what: &str,
) -> Result<T, DbError> {
    let code: i64 = row.get(column)?;
    u8::try_from(code)
        .ok()
        .and_then(from_code)
        .ok_or_else(|| DbError::Corrupt(format!("{code} as {what}, which is no code of one")))
}

pub(super) fn uuid(row: &Row<'_>, column: usize) -> Result<Uuid, DbError> {
    Ok(Uuid::from_bytes(row.get(column)?))
}

pub(super) fn task_id(row: &Row<'_>, column: usize) -> Result<TaskId, DbError> {
    let uuid = uuid(row, column)?;
    TaskId::from_uuid(uuid).ok_or_else(|| DbError::Corrupt(format!("{uuid} as the id of a task")))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, DbError> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp))
}

pub(super) fn sure_time(row: &Row<'_>, column: usize) -> Result<Timestamp, DbError> {
    Ok(Timestamp(get(row, column)?))
}

pub(super) fn task_head(row: &Row<'_>) -> Result<TaskHead, DbError> {
    Ok(TaskHead {
        key: TaskKey(get(row, 0)?),
        id: task_id(row, 1)?,
        user: get(row, 2)?,
        task_type: word(row, 3, regatta_model::TaskType::from_code, "a task's type")?,
        priority: word(row, 4, regatta_model::Priority::from_code, "a priority")?,
        created_at: sure_time(row, 5)?,
        summary: get(row, 6)?,
    })
}

pub(super) fn task_row(row: &Row<'_>) -> Result<TaskRow, DbError> {
    Ok(TaskRow {
        head: Arc::new(task_head(row)?),
        status: word(row, 7, regatta_model::TaskStatus::from_code, "a task's status")?,
        total: get(row, 8)?,
        completed: get(row, 9)?,
        failed: get(row, 10)?,
        cancelled: get(row, 11)?,
        running: get(row, 12)?,
        seq: get::<i64>(row, 13)? as u64,
        started_at: time(row, 14)?,
        completed_at: time(row, 15)?,
        updated_at: sure_time(row, 16)?,
        start_at: time(row, 17)?,
        error: get(row, 18)?,
    })
}

pub(super) fn task_text(row: &Row<'_>, first: usize) -> Result<TaskText, DbError> {
    Ok(TaskText {
        checkpoint_frequency: word(row, first, regatta_model::CheckpointFrequency::from_code, "a frequency")?,
        privacy: word(row, first + 1, regatta_model::Privacy::from_code, "a privacy level")?,
        tool_preferences: get(row, first + 2)?,
        requires: get(row, first + 3)?,
        metadata: get(row, first + 4)?,
        requirements: get(row, first + 5)?,
        description: get(row, first + 6)?,
        deferred_steps: get(row, first + 7)?,
    })
}

fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], DbError> {
    row.get_ref(column)?.as_blob().map_err(|_| DbError::Corrupt("a packed row that is no bytes".into()))
}

pub(super) fn subtask_head(row: &Row<'_>, task: TaskId) -> Result<SubtaskHead, DbError> {
    let key = SubtaskKey(get(row, 0)?);
    let lane = LaneKey(get(row, 2)?);
    Ok(packed::unpack_head(key, task.subtask(key.position()), lane, get(row, 7)?, blob(row, 6)?)?)
}

pub(super) fn subtask_row(row: &Row<'_>, task: TaskId) -> Result<SubtaskRow, DbError> {
    let columns = Columns {
        state: word(row, 1, State::from_code, "a subtask's state")?,
        rank: get(row, 3)?,
        worker: get::<Option<i64>>(row, 4)?.map(WorkerKey),
    };
    Ok(packed::row(subtask_head(row, task)?, &columns, blob(row, 5)?)?)
}

/// The events of one row of a task's.
pub(super) fn records(row: &Row<'_>, task: &TaskHead) -> Result<Vec<Record>, DbError> {
    let unreadable = |_| DbError::Corrupt("events that cannot be read".into());
    let json = row.get_ref(1)?.as_str().map_err(unreadable)?;
    let packed = row.get_ref(2)?.as_blob_or_null().map_err(unreadable)?;
    Ok(records::read(task, json, packed)?)
}

/// When a sweep must look at a subtask, from its packed column.
pub(super) fn due_at(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, DbError> {
    Ok(packed::due_at(blob(row, column)?)?)
}

pub(super) fn queued(row: &Row<'_>) -> Result<Queued, DbError> {
    // Ids are not part of it.
    let any = TaskId::from_random(Uuid::nil());
    Ok((&subtask_row(row, any)?).into())
}

pub(super) fn attempt(row: &Row<'_>) -> Result<Attempt, DbError> {
    Ok(Attempt {
        attempt: get(row, 0)?,
        worker: WorkerId(uuid(row, 1)?),
        tool: get(row, 2)?,
        started_at: sure_time(row, 3)?,
        ended_at: time(row, 4)?,
        outcome: word(row, 5, regatta_model::AttemptOutcome::from_code, "an outcome")?,
        error: get(row, 6)?,
        exit_code: get(row, 7)?,
    })
}

/// A profile as it is kept.
pub(super) fn profile_json(profile: &Profile) -> Result<String, DbError> {
    serde_json::to_string(profile).map_err(|error| DbError::Limit(format!("the registration cannot be kept: {error}")))
}

pub(super) fn worker_row(row: &Row<'_>) -> Result<WorkerRow, DbError> {
    let value = row.get_ref(14)?;
    let profile = value.as_str().map_err(|_| DbError::Corrupt("a profile that is no text".into()))?;
    let profile: Profile = serde_json::from_str(profile)
        .map_err(|error| DbError::Corrupt(format!("a worker's profile that cannot be read ({error})")))?;
    Ok(WorkerRow {
        key: WorkerKey(get(row, 0)?),
        id: WorkerId(uuid(row, 1)?),
        profile: Arc::new(profile),
        session: get(row, 2)?,
        used: get(row, 3)?,
        said: word(row, 4, regatta_model::WorkerStatus::from_code, "a worker's status")?,
        draining: get(row, 5)?,
        unregistered: get(row, 6)?,
        uses_leases: get(row, 7)?,
        resources: resources(row, 8)?,
        figures: get(row, 15)?,
        current_task: get(row, 11)?,
        last_heartbeat: sure_time(row, 12)?,
        registered_at: sure_time(row, 13)?,
    })
}

fn resources(row: &Row<'_>, first: usize) -> Result<Resources, DbError> {
    Ok(Resources {
        cpu_percent: get(row, first)?,
        memory_percent: get(row, first + 1)?,
        disk_percent: get(row, first + 2)?,
    })
}

pub(super) fn sample(row: &Row<'_>) -> Result<Sample, DbError> {
    Ok(Sample { at: sure_time(row, 0)?, resources: resources(row, 1)? })
}
