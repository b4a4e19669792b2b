//! Older forms of calls, for agents already in the field; the same rules as the calls they stand for.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Method;
use http::header::ALLOW;
use regatta_api::legacy::{Allocated, Allocation, LegacyLog, LegacyResult};
use regatta_api::subtask::{AppendLog, LogAppended, ReportResult, ResultAccepted, ResultStatus};
use regatta_api::worker::Assignment;
use regatta_model::{SubtaskId, SubtaskStatus, TaskId, WorkerId};

use crate::app::App;
use crate::body;
use crate::convert::subtasks;
use crate::identity::Identity;
use crate::path::Id;
use crate::problem::{Failure, Kind};
use crate::reply::{Created, Json, Result};
use crate::routes::subtasks::{take_log, take_result};

/// Ask for one subtask (older agents)
#[utoipa::path(get, path = "/api/v1/workers/{worker_id}/tasks", tag = "older agents",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 200, description = "What to run", body = Assignment),
    (status = 409, description = "The worker has unregistered", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn poll(
    State(app): State<App>,
    _caller: Identity,
    method: Method,
    Id(worker): Id<WorkerId>,
) -> Result<Response> {
    if method == Method::HEAD {
        // Nobody would see what was leased.
        let refused = Failure::new(Kind::MethodNotAllowed, "HEAD would take work and throw it away; use GET.");
        return Ok(([(ALLOW, "GET")], refused).into_response());
    }
    let assignments = app.engine.poll(worker, 1, Duration::ZERO).await?;
    match assignments.first() {
        Some(assignment) => Ok(Json(subtasks::assignment(assignment)).into_response()),
        None => Err(Failure::new(Kind::NotFound, "There is no work for this worker now; ask again later.")),
    }
}

/// A worker's result (older agents)
#[utoipa::path(post, path = "/api/v1/workers/{worker_id}/tasks/{subtask_id}/result", tag = "older agents", request_body = LegacyResult,
    params(("worker_id" = uuid::Uuid, Path, description = "The worker"), ("subtask_id" = uuid::Uuid, Path, description = "The subtask")),
    responses(
    (status = 200, description = "It counts, or counted before", body = ResultAccepted),
    (status = 409, description = "It does not run there; nothing changed", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn result(
    State(app): State<App>,
    caller: Identity,
    Id(worker): Id<WorkerId>,
    Id(subtask): Id<SubtaskId>,
    body::Json(legacy): body::Json<LegacyResult>,
) -> Result<Json<ResultAccepted>> {
    let report = ReportResult {
        status: if legacy.success { ResultStatus::Completed } else { ResultStatus::Failed },
        result: subtasks::legacy_output(legacy.output, legacy.metadata),
        execution_time: 0.0,
        error: legacy.error,
        exit_code: None,
        simulated: false,
        lease: None,
    };
    Ok(Json(take_result(&app, subtasks::report(subtask, Some(worker), caller.bound(), report)).await?))
}

/// A line of log (older agents)
#[utoipa::path(post, path = "/api/v1/subtasks/{subtask_id}/logs", tag = "older agents", request_body = LegacyLog,
    params(("subtask_id" = uuid::Uuid, Path, description = "The subtask")), responses(
    (status = 201, description = "It is kept and went to those who watch", body = LogAppended),
))]
pub(crate) async fn log(
    State(app): State<App>,
    caller: Identity,
    Id(subtask): Id<SubtaskId>,
    body::Json(legacy): body::Json<LegacyLog>,
) -> Result<Created<LogAppended>> {
    let line = AppendLog {
        level: legacy.log_level,
        message: legacy.log_line,
        metadata: legacy.metadata,
        lease: None,
        worker_id: None,
    };
    Ok(Created(take_log(&app, subtasks::log(subtask, None, caller.bound(), line)).await?))
}

/// Give away what is ready of a task now (older agents)
#[utoipa::path(post, path = "/api/v1/tasks/{task_id}/allocate", tag = "older agents",
    params(("task_id" = uuid::Uuid, Path, description = "The task")), responses(
    (status = 200, description = "What runs, and how much still waits", body = Allocated),
    (status = 409, description = "It was cancelled before", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn allocate(
    State(app): State<App>,
    _caller: Identity,
    Id(task): Id<TaskId>,
) -> Result<Json<Allocated>> {
    let found = app.engine.allocate(task).await?;
    let rows = found.subtasks.iter().map(|subtask| &subtask.row);
    let queued = rows.clone().filter(|row| row.state.status() == SubtaskStatus::Queued).count();
    let allocations: Vec<Allocation> = rows
        .filter(|row| row.state.status() == SubtaskStatus::InProgress)
        .filter_map(|row| {
            let holder = row.holder.as_ref()?;
            Some(Allocation {
                subtask_id: row.head.id.uuid(),
                worker_id: holder.id.uuid(),
                assigned_tool: holder.tool.to_string(),
                status: SubtaskStatus::InProgress,
            })
        })
        .collect();
    Ok(Json(Allocated {
        task_id: task.uuid(),
        total_allocated: allocations.len() as u32,
        total_queued: queued as u32,
        allocations,
    }))
}
