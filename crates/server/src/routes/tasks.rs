//! `/tasks`: submitting, reading, cancelling, retrying.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use regatta_api::limits;
use regatta_api::page::{PageQuery, WaitQuery};
use regatta_api::task::{
    CancelTask, CreateTask, Decomposed, ReadySubtasks, SubtaskList, TaskChanged, TaskCreated, TaskDetail, TaskList,
    TaskProgress, TasksQuery,
};
use regatta_engine::store::{Start, TaskQuery, Total};
use regatta_model::{TaskId, TaskKey, TaskStatus};

use crate::answers::{Asked, Question};
use crate::app::App;
use crate::body;
use crate::convert::{subtasks, tasks};
use crate::idempotency;
use crate::identity::Identity;
use crate::page::{List, Page};
use crate::params::Params;
use crate::path::Id;
use crate::problem::Failure;
use crate::reply::{Created, Json, Result, Tagged};

/// Submit a task
#[utoipa::path(post, path = "/api/v1/tasks", tag = "tasks", request_body = CreateTask,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "1 to 255 characters: the same key and body give the same answer for 24 h")),
    responses(
    (status = 201, description = "It is written down", body = TaskCreated),
    (status = 409, description = "The key was used for another body", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Identity,
    headers: HeaderMap,
    body::Json(task): body::Json<CreateTask>,
) -> Result<Created<TaskCreated>> {
    let key = idempotency::key(&headers, "/tasks", &task)?;
    let made = app.engine.submit(&caller.user, vec![tasks::request(task, app.engine.now())], key).await?;
    let task = made.first().ok_or_else(|| Failure::internal(&"a task was submitted and none was made"))?;
    Ok(Created(TaskCreated {
        task_id: task.uuid(),
        status: TaskStatus::Pending,
        message: "The task is taken; follow it with GET /api/v1/tasks/{task_id}.".to_owned(),
    }))
}

/// Tasks, the newest first
#[utoipa::path(get, path = "/api/v1/tasks", tag = "tasks", params(TasksQuery), responses(
    (status = 200, description = "A page of them", body = TaskList),
))]
pub(crate) async fn list(State(app): State<App>, _caller: Identity, uri: Uri) -> Result<Response> {
    let mut open = match app.answers.ask(&app.engine, Question::Tasks(uri.query().map(Into::into))).await? {
        Asked::Known(answer) => return Ok(answer),
        Asked::Open(open) => open,
    };
    let mut params = Params::parse(&uri)?;
    let page = Page::read(&mut params, List::Tasks);
    let query = TaskQuery {
        status: params.word("status"),
        task_type: params.word("task_type"),
        search: params.text("search").filter(|text| !text.is_empty()),
        start: match page.start {
            Start::Offset(offset) => Start::Offset(offset),
            Start::After(key) => Start::After(TaskKey(key)),
        },
        limit: page.limit,
    };
    params.finish()?;
    let found = app.engine.tasks(query).await?;
    for queued in found.tasks.iter().filter_map(|task| task.first_queued.as_ref()) {
        open.basis.explains(queued.state, queued.avoid_until);
    }
    open.answer(&TaskList {
        tasks: found.tasks.iter().map(|task| tasks::summary(&app.engine, task)).collect(),
        page: page.info(List::Tasks, found.total, found.next.map(|key| key.0)),
    })
}

/// A task with everything; with `wait_seconds` when it ends, or after that
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), WaitQuery), responses(
    (status = 200, description = "The task", body = TaskDetail),
    (status = 304, description = "It is what `If-None-Match` names"),
))]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
    mut params: Params,
) -> Result<Response> {
    let wait = params.number("wait_seconds", &limits::WAIT_SECONDS).unwrap_or(0);
    params.finish()?;
    if wait > 0 {
        app.places.wait()?;
        let found = tokio::select! {
            found = app.engine.wait_for_end(task, Duration::from_secs(wait.into())) => found?,
            () = app.until_draining() => app.engine.task(task).await?,
        };
        return Ok(Tagged(tasks::detail(&app.engine, &found)).into_response());
    }
    let mut open = match app.answers.ask(&app.engine, Question::Task(task)).await? {
        Asked::Known(answer) => return Ok(answer),
        Asked::Open(open) => open,
    };
    let found = app.engine.task(task).await?;
    for subtask in &found.subtasks {
        open.basis.explains(subtask.row.state, subtask.row.avoid.map(|(_, until)| until));
    }
    open.answer(&tasks::detail(&app.engine, &found))
}

/// How far a task is
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/progress", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task")), responses(
    (status = 200, description = "Its counters", body = TaskProgress),
    (status = 304, description = "They are what `If-None-Match` names"),
))]
pub(crate) async fn progress(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
) -> Result<Tagged<TaskProgress>> {
    let progress = app.engine.progress(task).await?;
    Ok(Tagged(tasks::progress(task, &progress)))
}

/// Plan a task that waits, and start it
#[utoipa::path(post, path = "/api/v1/tasks/{task_id}/decompose", tag = "tasks", request_body = Option<body::Nothing>,
    params(("task_id" = uuid::Uuid, Path, description = "The task")), responses(
    (status = 200, description = "Its plan, now or from before", body = Decomposed),
    (status = 409, description = "It was cancelled before", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn decompose(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
    body::Optional(_): body::Optional<body::Nothing>,
) -> Result<Json<Decomposed>> {
    let found = app.engine.decompose(task).await?;
    let subtasks = tasks::rows(&app.engine, &found);
    Ok(Json(Decomposed {
        task_id: task.uuid(),
        subtask_count: found.row.total,
        message: format!("The plan has {} subtasks.", found.row.total),
        subtasks,
    }))
}

/// Cancel a task; what runs of it is told to stop
#[utoipa::path(post, path = "/api/v1/tasks/{task_id}/cancel", tag = "tasks", request_body = Option<CancelTask>,
    params(("task_id" = uuid::Uuid, Path, description = "The task")), responses(
    (status = 200, description = "It is cancelled, now or from before", body = TaskChanged),
    (status = 409, description = "It completed or failed", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn cancel(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
    body::Optional(cancel): body::Optional<CancelTask>,
) -> Result<Json<TaskChanged>> {
    let status = app.engine.cancel(task, cancel.reason.map(Arc::from)).await?;
    Ok(Json(TaskChanged { task_id: task.uuid(), status, message: "The task is cancelled.".to_owned() }))
}

/// Send what failed or was cancelled of a task back to work
#[utoipa::path(post, path = "/api/v1/tasks/{task_id}/retry", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task")), responses(
    (status = 200, description = "It is at work again", body = TaskChanged),
    (status = 409, description = "It is neither failed nor cancelled", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn retry(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
) -> Result<Json<TaskChanged>> {
    let status = app.engine.retry(task).await?;
    Ok(Json(TaskChanged {
        task_id: task.uuid(),
        status,
        message: "What failed or was cancelled is back in the queue; what completed keeps its output.".to_owned(),
    }))
}

/// Forget a task that has ended
#[utoipa::path(delete, path = "/api/v1/tasks/{task_id}", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task")), responses(
    (status = 204, description = "It is gone"),
    (status = 409, description = "It has not ended", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove(State(app): State<App>, _caller: Identity, Id(task): Id<TaskId>) -> Result<StatusCode> {
    app.engine.delete(task).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The subtasks of a task, in the order of its plan
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/subtasks", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), PageQuery), responses(
    (status = 200, description = "A page of them", body = SubtaskList),
))]
pub(crate) async fn list_subtasks(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
    mut params: Params,
) -> Result<Json<SubtaskList>> {
    let page = Page::read(&mut params, List::Subtasks);
    params.finish()?;
    let (first, total) = match page.start {
        // Counted by the task's counters, which also say whether there is such a task.
        Start::Offset(offset) => (offset, Some(app.engine.progress(task).await?.total)),
        Start::After(position) => (position.unsigned_abs() + 1, None),
    };
    // One more than asked for says whether there is a next page.
    let first = u16::try_from(first).unwrap_or(u16::MAX);
    let mut found = app.engine.subtasks(task, first, page.limit + 1, false).await?;
    let more = found.len() > page.limit as usize;
    found.truncate(page.limit as usize);
    let last = found.last().filter(|_| more).map(|subtask| i64::from(subtask.row.head.id.position()));
    let total = total.map(|count| Total { count: count.into(), capped: false });
    let mut shown = subtasks::Rows::new(&app.engine);
    Ok(Json(SubtaskList {
        subtasks: found.iter().map(|subtask| shown.row(&subtask.row)).collect(),
        page: page.info(List::Subtasks, total, last),
    }))
}

/// The subtasks of a task that are ready and wait for a worker
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/ready-subtasks", tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), PageQuery), responses(
    (status = 200, description = "They, and how many there are in all", body = ReadySubtasks),
))]
pub(crate) async fn ready_subtasks(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
    mut params: Params,
) -> Result<Json<ReadySubtasks>> {
    let page = Page::read(&mut params, List::Subtasks);
    params.finish()?;
    // Bounded by the steps a plan may have; which of them are ready changes all the time, so they are counted here.
    let all = app.engine.subtasks(task, 0, limits::PLAN_STEPS as u32, true).await?;
    let total_ready = all.len() as u64;
    let shown = all.iter().map(|subtask| &subtask.row);
    let rows: Vec<_> = match page.start {
        Start::Offset(offset) => {
            shown.skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(page.limit as usize).collect()
        }
        Start::After(position) => {
            shown.filter(|row| i64::from(row.head.id.position()) > position).take(page.limit as usize).collect()
        }
    };
    let mut shown = subtasks::Rows::new(&app.engine);
    Ok(Json(ReadySubtasks {
        task_id: task.uuid(),
        ready_subtasks: rows.into_iter().map(|row| shown.row(row)).collect(),
        total_ready,
    }))
}
