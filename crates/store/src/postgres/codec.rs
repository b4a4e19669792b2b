//! Columns to the model's types and back. The order of columns is that of the files in `sql/`.

use std::borrow::Cow;
use std::sync::Arc;

use regatta_model::routing::Resources;
use regatta_model::subtask::{Attempt, State, SubtaskHead, SubtaskRow};
use regatta_model::task::{TaskHead, TaskRow, TaskText};
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::worker::{Profile, Sample, WorkerRow};
use regatta_model::{LaneKey, SubtaskKey, TaskId, TaskKey, Timestamp, TokenId, TokenRole, WorkerId, WorkerKey};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::error::DbError;
use crate::pack::subtask::{self as packed, Columns};

/// A result of a codec.
type Result<T> = std::result::Result<T, DbError>;

/// Columns that make a [`TaskRow`]; others follow from here on.
pub(super) const TASK_COLUMNS: usize = 19;
/// Columns that make a [`SubtaskRow`].
pub(super) const SUBTASK_COLUMNS: usize = 8;
/// Columns that make a [`WorkerRow`], without its profile.
pub(super) const WORKER_COLUMNS: usize = 15;
/// Columns that make a [`TaskHead`].
pub(super) const HEAD_COLUMNS: usize = 7;

/// A text as PostgreSQL can keep it: it has none with a NUL in it, and such a character becomes its picture, U+2400.
pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{2400}")) } else { Cow::Borrowed(text) }
}

/// The same as it is bound to a statement.
pub(super) fn kept(text: &str) -> String {
    without_nul(text).into_owned()
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    Ok(row.try_get(column)?)
}

/// A number that is kept as a `bigint`.
pub(super) fn number<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<T> {
    let value: i64 = get(row, column)?;
    T::try_from(value).map_err(|_| DbError::Corrupt(format!("{value} in column {column}, which does not fit")))
}

pub(super) fn text(row: &Row, column: usize) -> Result<Arc<str>> {
    Ok(get::<&str>(row, column)?.into())
}

pub(super) fn maybe_text(row: &Row, column: usize) -> Result<Option<Arc<str>>> {
    Ok(get::<Option<&str>>(row, column)?.map(Into::into))
}

/// A word of the domain by its stored code.
pub(super) fn word<T>(row: &Row, column: usize, from_code: impl Fn(u8) -> Option<T>, what: &str) -> Result<T> {
    let code: i16 = get(row, column)?;
    u8::try_from(code)
        .ok()
        .and_then(from_code)
        .ok_or_else(|| DbError::Corrupt(format!("{code} as {what}, which is no code of one")))
}

pub(super) fn task_id(row: &Row, column: usize) -> Result<TaskId> {
    let uuid: Uuid = get(row, column)?;
    TaskId::from_uuid(uuid).ok_or_else(|| DbError::Corrupt(format!("{uuid} as the id of a task")))
}

pub(super) fn time(row: &Row, column: usize) -> Result<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp))
}

pub(super) fn sure_time(row: &Row, column: usize) -> Result<Timestamp> {
    Ok(Timestamp(get(row, column)?))
}

pub(super) fn task_head(row: &Row) -> Result<TaskHead> {
    Ok(TaskHead {
        key: TaskKey(get(row, 0)?),
        id: task_id(row, 1)?,
        user: text(row, 2)?,
        task_type: word(row, 3, regatta_model::TaskType::from_code, "a task's type")?,
        priority: word(row, 4, regatta_model::Priority::from_code, "a priority")?,
        created_at: sure_time(row, 5)?,
        summary: text(row, 6)?,
    })
}

pub(super) fn task_row(row: &Row) -> Result<TaskRow> {
    Ok(TaskRow {
        head: Arc::new(task_head(row)?),
        status: word(row, 7, regatta_model::TaskStatus::from_code, "a task's status")?,
        total: number(row, 8)?,
        completed: number(row, 9)?,
        failed: number(row, 10)?,
        cancelled: number(row, 11)?,
        running: number(row, 12)?,
        seq: number(row, 13)?,
        started_at: time(row, 14)?,
        completed_at: time(row, 15)?,
        updated_at: sure_time(row, 16)?,
        start_at: time(row, 17)?,
        error: maybe_text(row, 18)?,
    })
}

pub(super) fn task_text(row: &Row, first: usize) -> Result<TaskText> {
    Ok(TaskText {
        checkpoint_frequency: word(row, first, regatta_model::CheckpointFrequency::from_code, "a frequency")?,
        privacy: word(row, first + 1, regatta_model::Privacy::from_code, "a privacy level")?,
        tool_preferences: text(row, first + 2)?,
        requires: text(row, first + 3)?,
        metadata: maybe_text(row, first + 4)?,
        requirements: maybe_text(row, first + 5)?,
        description: text(row, first + 6)?,
        deferred_steps: maybe_text(row, first + 7)?,
    })
}

pub(super) fn subtask_head(row: &Row, task: TaskId) -> Result<SubtaskHead> {
    let key = SubtaskKey(get(row, 0)?);
    let lane = LaneKey(get(row, 2)?);
    Ok(packed::unpack_head(key, task.subtask(key.position()), lane, text(row, 7)?, get(row, 6)?)?)
}

pub(super) fn subtask_row(row: &Row, task: TaskId) -> Result<SubtaskRow> {
    let columns = Columns {
        state: word(row, 1, State::from_code, "a subtask's state")?,
        rank: get(row, 3)?,
        worker: get::<Option<i64>>(row, 4)?.map(WorkerKey),
    };
    Ok(packed::row(subtask_head(row, task)?, &columns, get(row, 5)?)?)
}

pub(super) fn attempt(row: &Row) -> Result<Attempt> {
    let exit_code: Option<i64> = get(row, 7)?;
    let exit_code = exit_code.map(i32::try_from).transpose();
    Ok(Attempt {
        attempt: number(row, 0)?,
        worker: WorkerId(get(row, 1)?),
        tool: text(row, 2)?,
        started_at: sure_time(row, 3)?,
        ended_at: time(row, 4)?,
        outcome: word(row, 5, regatta_model::AttemptOutcome::from_code, "an outcome")?,
        error: maybe_text(row, 6)?,
        exit_code: exit_code.map_err(|_| DbError::Corrupt("an exit code that is none".into()))?,
    })
}

/// A profile as it is kept.
pub(super) fn profile(json: &str) -> Result<Arc<Profile>> {
    let profile: Profile = serde_json::from_str(json)
        .map_err(|error| DbError::Corrupt(format!("a worker's profile that cannot be read ({error})")))?;
    Ok(Arc::new(profile))
}

pub(super) fn worker_row(row: &Row, profile: Arc<Profile>) -> Result<WorkerRow> {
    Ok(WorkerRow {
        key: WorkerKey(get(row, 0)?),
        id: WorkerId(get(row, 1)?),
        profile,
        session: get(row, 2)?,
        used: number(row, 3)?,
        said: word(row, 4, regatta_model::WorkerStatus::from_code, "a worker's status")?,
        draining: get(row, 5)?,
        unregistered: get(row, 6)?,
        uses_leases: get(row, 7)?,
        resources: resources(row, 8)?,
        figures: maybe_text(row, 14)?,
        current_task: maybe_text(row, 11)?,
        last_heartbeat: sure_time(row, 12)?,
        registered_at: sure_time(row, 13)?,
    })
}

fn resources(row: &Row, first: usize) -> Result<Resources> {
    Ok(Resources {
        cpu_percent: get(row, first)?,
        memory_percent: get(row, first + 1)?,
        disk_percent: get(row, first + 2)?,
    })
}

pub(super) fn sample(row: &Row) -> Result<Sample> {
    Ok(Sample { at: sure_time(row, 0)?, resources: resources(row, 1)? })
}

pub(super) fn token_row(row: &Row) -> Result<TokenRow> {
    let hash: &[u8] = get(row, 1)?;
    Ok(TokenRow {
        id: TokenId(get(row, 0)?),
        hash: TokenHash(hash.try_into().map_err(|_| DbError::Corrupt("a token's hash of another length".into()))?),
        role: word(row, 2, TokenRole::from_code, "a token's role")?,
        name: text(row, 3)?.to_string(),
        created_at: sure_time(row, 4)?,
        revoked_at: time(row, 5)?,
    })
}
