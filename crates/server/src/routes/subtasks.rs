//! `/subtasks`: reading one, and what its worker reports about it.

use axum::extract::State;
use regatta_api::limits;
use regatta_api::subtask::{
    AppendLog, LogAppended, ProgressAccepted, ReportProgress, ReportResult, ResultAccepted, SubtaskDetail,
};
use regatta_engine::{LogRequest, ReportRequest};
use regatta_model::command::{Logged, ProgressSet, Reported, StaleLease};
use regatta_model::{SubtaskId, SubtaskStatus, WorkerId};

use crate::app::App;
use crate::body;
use crate::convert::subtasks;
use crate::identity::Identity;
use crate::metrics;
use crate::path::Id;
use crate::problem::{Failure, Kind};
use crate::reply::{Created, Json, Result, Tagged};

/// A subtask with everything
#[utoipa::path(get, path = "/api/v1/subtasks/{subtask_id}", tag = "subtasks",
    params(("subtask_id" = uuid::Uuid, Path, description = "The subtask")), responses(
    (status = 200, description = "The subtask", body = SubtaskDetail),
    (status = 304, description = "It is what `If-None-Match` names"),
))]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Identity,
    Id(subtask): Id<SubtaskId>,
) -> Result<Tagged<SubtaskDetail>> {
    let found = app.engine.subtask(subtask).await?;
    Ok(Tagged(subtasks::detail(&app.engine, &found)))
}

/// A worker's result
#[utoipa::path(post, path = "/api/v1/subtasks/{subtask_id}/result", tag = "subtasks", request_body = ReportResult,
    params(("subtask_id" = uuid::Uuid, Path, description = "The subtask")), responses(
    (status = 200, description = "It counts, or counted before", body = ResultAccepted),
    (status = 409, description = "The lease is another's, over, or has reported a failure; nothing changed", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn result(
    State(app): State<App>,
    caller: Identity,
    Id(subtask): Id<SubtaskId>,
    body::Json(report): body::Json<ReportResult>,
) -> Result<Json<ResultAccepted>> {
    Ok(Json(take_result(&app, subtasks::report(subtask, None, caller.bound(), report)).await?))
}

/// Takes a result, however it came.
///
/// # Errors
/// 413 when it is too large, 409 when its lease does not do, 404 without such a subtask; all are final.
pub(crate) async fn take_result(app: &App, report: ReportRequest) -> Result<ResultAccepted> {
    let subtask = report.subtask;
    if report.output.len() > limits::RESULT_BYTES {
        let size = report.output.len() as u64;
        return Err(Failure::too_large("result", Some(size), limits::RESULT_BYTES, "bytes"));
    }
    match app.engine.report(report).await? {
        Reported::Accepted { status, progress, newly_ready } => Ok(ResultAccepted {
            subtask_id: subtask.uuid(),
            status,
            progress: progress.into(),
            message: match status {
                SubtaskStatus::Completed => "The subtask is completed.",
                SubtaskStatus::Queued => "The attempt failed; the subtask will be tried again.",
                SubtaskStatus::Failed => "The subtask failed for good.",
                _ => "The result is taken.",
            }
            .to_owned(),
            newly_allocated: newly_ready,
        }),
        Reported::Repeated { progress } => Ok(ResultAccepted {
            subtask_id: subtask.uuid(),
            status: SubtaskStatus::Completed,
            progress: progress.into(),
            message: "The subtask was completed by this lease before; nothing was changed.".to_owned(),
            newly_allocated: 0,
        }),
        Reported::Stale(why) => Err(stale(subtask, why)),
        Reported::Unknown => Err(Failure::no_such("subtask", &subtask.to_string())),
    }
}

fn stale(subtask: SubtaskId, why: StaleLease) -> Failure {
    let why = match why {
        StaleLease::NotRunning(status) => {
            format!("Subtask {subtask} does not run, it is {status}; drop what you have of it.")
        }
        StaleLease::Superseded => {
            format!(
                "The lease is over or another's; subtask {subtask} runs under a newer one. Stop, and drop what you have of it."
            )
        }
        StaleLease::LeaseNeeded => {
            format!(
                "Subtask {subtask} runs at a worker that uses leases; send the lease that came with the assignment."
            )
        }
        StaleLease::OtherWorker => format!("Subtask {subtask} runs at another worker; drop what you have of it."),
    };
    Failure::new(Kind::Conflict, why)
}

/// A line of log
#[utoipa::path(post, path = "/api/v1/subtasks/{subtask_id}/log", tag = "subtasks", request_body = AppendLog,
    params(("subtask_id" = uuid::Uuid, Path, description = "The subtask")), responses(
    (status = 201, description = "It is kept and went to those who watch", body = LogAppended),
))]
pub(crate) async fn log(
    State(app): State<App>,
    caller: Identity,
    Id(subtask): Id<SubtaskId>,
    body::Json(line): body::Json<AppendLog>,
) -> Result<Created<LogAppended>> {
    Ok(Created(take_log(&app, subtasks::log(subtask, None, caller.bound(), line)).await?))
}

/// Takes a line of log, however it came.
///
/// # Errors
/// 413 when it is too large, 404 without such a subtask; both are final.
pub(crate) async fn take_log(app: &App, line: LogRequest) -> Result<LogAppended> {
    let subtask = line.subtask;
    if line.message.len() > limits::LOG_LINE_BYTES {
        let size = line.message.len() as u64;
        return Err(Failure::too_large("log line", Some(size), limits::LOG_LINE_BYTES, "bytes"));
    }
    match app.engine.log(line.clone()).await? {
        Logged::Kept { stale, .. } => {
            let message =
                if stale { "The line is kept, marked as of a lease that is over." } else { "The line is kept." };
            let broadcasted = app.engine.bus().watchers(subtask.task()) as u64;
            Ok(LogAppended { success: true, message: message.to_owned(), broadcasted })
        }
        Logged::NotHolder => take_late_log(app, line).await,
        Logged::Unknown => Err(Failure::no_such("subtask", &subtask.to_string())),
    }
}

/// Takes a line from the token of a worker that had the subtask before its present holder: it is late, not false.
async fn take_late_log(app: &App, line: LogRequest) -> Result<LogAppended> {
    let subtask = line.subtask;
    let Some(token) = line.bound else { return Err(Failure::internal(&"a line without a token has the wrong holder")) };
    let attempts = app.engine.subtask(subtask).await?.attempts;
    let mut workers: Vec<WorkerId> = attempts.iter().rev().map(|attempt| attempt.worker).collect();
    workers.dedup();
    for worker in workers {
        if app.engine.owns(token, worker).await? == Some(true) {
            let line = LogRequest { bound: None, worker: Some(worker), ..line };
            return Box::pin(take_log(app, line)).await;
        }
    }
    metrics::refused("not_holder");
    Err(Failure::new(
        Kind::Forbidden,
        format!(
            "No worker of this token has run subtask {subtask}; a worker's token reports only on what its own run."
        ),
    ))
}

/// How far a subtask is
#[utoipa::path(post, path = "/api/v1/subtasks/{subtask_id}/progress", tag = "subtasks", request_body = ReportProgress,
    params(("subtask_id" = uuid::Uuid, Path, description = "The subtask")), responses(
    (status = 200, description = "It is noted", body = ProgressAccepted),
    (status = 409, description = "The lease is over or another's, or it does not run", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn progress(
    State(app): State<App>,
    caller: Identity,
    Id(subtask): Id<SubtaskId>,
    body::Json(report): body::Json<ReportProgress>,
) -> Result<Json<ProgressAccepted>> {
    let progress = report.progress;
    take_progress(&app, subtasks::progress(subtask, None, caller.bound(), report)).await?;
    Ok(Json(ProgressAccepted {
        subtask_id: subtask.uuid(),
        status: SubtaskStatus::InProgress,
        progress,
        message: "The progress is noted.".to_owned(),
    }))
}

/// Takes a progress, however it came.
///
/// # Errors
/// 409 when its lease does not do, 404 without such a subtask; both are final.
pub(crate) async fn take_progress(app: &App, report: regatta_engine::ProgressRequest) -> Result<()> {
    let subtask = report.subtask;
    match app.engine.set_progress(report).await? {
        ProgressSet::Accepted => Ok(()),
        ProgressSet::Stale(why) => Err(stale(subtask, why)),
        ProgressSet::Unknown => Err(Failure::no_such("subtask", &subtask.to_string())),
    }
}
