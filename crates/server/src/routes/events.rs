//! `/tasks/{id}/logs` and `/tasks/{id}/events`: what was kept, by number.

use axum::extract::State;
use regatta_api::page::SeqQuery;
use regatta_api::subtask::{EventPage, LogPage};
use regatta_engine::store::LogQuery;
use regatta_model::TaskId;

use crate::app::App;
use crate::convert::events;
use crate::identity::Identity;
use crate::page;
use crate::params::Params;
use crate::path::Id;
use crate::reply::{Json, Result};

/// The kept lines of a task's log, the oldest first
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/logs", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), SeqQuery), responses(
    (status = 200, description = "A page of them", body = LogPage),
))]
pub(crate) async fn logs(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
    mut params: Params,
) -> Result<Json<LogPage>> {
    let (seq, limit) = page::read_seq(&mut params);
    params.finish()?;
    let found = app.engine.logs(task, LogQuery::After { seq, limit }).await?;
    Ok(Json(LogPage {
        next_after_seq: found.lines.last().filter(|_| found.more).map(|(seq, ..)| *seq),
        logs: found.lines.iter().map(|(seq, at, line)| events::log_entry(task, *seq, *at, line)).collect(),
        limit,
    }))
}

/// The kept events of a task, the oldest first
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/events", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), SeqQuery), responses(
    (status = 200, description = "A page of them", body = EventPage),
))]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
    mut params: Params,
) -> Result<Json<EventPage>> {
    let (after, limit) = page::read_seq(&mut params);
    params.finish()?;
    let found = app.engine.events(task, after, limit).await?;
    let last = found.events.last().map(|event| event.seq);
    Ok(Json(EventPage {
        // Numbers are contiguous, so whoever has not seen the last has more to read.
        next_after_seq: last.filter(|last| *last < found.last_seq),
        events: found.events.iter().map(|event| events::event(&app.engine, event)).collect(),
        limit,
    }))
}
