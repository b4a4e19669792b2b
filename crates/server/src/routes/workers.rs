//! `/workers`: registration, heartbeats, lists, polling.

use std::time::Duration;

use axum::extract::State;
use axum::response::{AppendHeaders, Response};
use http::{StatusCode, Uri};
use regatta_api::CLUSTER_HEADER;
use regatta_api::worker::{
    Heartbeat, HeartbeatAck, Poll, Polled, RegisterWorker, Registered, RegisteredStatus, Unregistered,
    UnregisteredStatus, WorkerDetail, WorkerList, WorkerSummary, WorkersQuery,
};
use regatta_engine::RegisterRequest;
use regatta_engine::store::{Start, WorkerQuery};
use regatta_model::command::{self, OwnedBy, TakeOver};
use regatta_model::worker::SILENCE;
use regatta_model::{WorkerId, WorkerKey};

use crate::answers::{Asked, Question};
use crate::app::App;
use crate::body;
use crate::convert::{subtasks, workers};
use crate::identity::Identity;
use crate::metrics;
use crate::page::{List, Page};
use crate::params::Params;
use crate::path::Id;
use crate::problem::{Failure, Kind};
use crate::reply::{Json, Result, Tagged};

/// Register a worker, or update it
#[utoipa::path(post, path = "/api/v1/workers/register", tag = "workers", request_body = RegisterWorker, responses(
    (status = 200, description = "It is registered; its former leases that it no longer runs went back", body = Registered),
))]
pub(crate) async fn register(
    State(app): State<App>,
    caller: Identity,
    body::Json(worker): body::Json<RegisterWorker>,
) -> Result<(AppendHeaders<[(&'static str, String); 1]>, Json<Registered>)> {
    let name = worker.machine_name.clone();
    let registered = take_in(&app, workers::registration(worker, &caller)).await?;
    let (status, message) = if registered.known {
        (RegisteredStatus::Updated, format!("Worker {name} was known and is updated."))
    } else {
        (RegisteredStatus::Registered, format!("Worker {name} is registered."))
    };
    let cluster = AppendHeaders([(CLUSTER_HEADER, app.engine.store().cluster_id().to_string())]);
    Ok((cluster, Json(Registered { status, worker_id: registered.worker.uuid(), message })))
}

/// Registers a worker. One whose token was revoked may come back with another.
async fn take_in(app: &App, request: RegisterRequest) -> Result<command::Registered> {
    let machine = request.profile.machine_id.clone();
    let owner = match app.engine.register(request.clone()).await? {
        Ok(registered) => return Ok(registered),
        Err(OwnedBy(owner)) => owner,
    };
    if app.access.is_dead(owner).await?
        && let Ok(registered) =
            app.engine.register(RegisterRequest { take_over: TakeOver::From(owner), ..request }).await?
    {
        return Ok(registered);
    }
    metrics::refused("not_own");
    Err(Failure::new(
        Kind::Forbidden,
        format!(
            "The worker of machine {machine:?} was registered with another token; use that one, revoke it (regatta token \
             revoke {owner}), remove the worker, or give this one another name or data folder."
        ),
    ))
}

/// A sign of life, with what really runs
#[utoipa::path(post, path = "/api/v1/workers/{worker_id}/heartbeat", tag = "workers", request_body = Heartbeat,
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 200, description = "It was heard", body = HeartbeatAck),
    (status = 409, description = "It has unregistered", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    _caller: Identity,
    Id(worker): Id<WorkerId>,
    body::Json(beat): body::Json<Heartbeat>,
) -> Result<Json<HeartbeatAck>> {
    app.engine.heartbeat(worker, workers::heartbeat(beat)).await?;
    Ok(Json(HeartbeatAck { acknowledged: true, message: "Heartbeat received.".to_owned() }))
}

/// Workers, the newest registered first
#[utoipa::path(get, path = "/api/v1/workers", tag = "workers", params(WorkersQuery), responses(
    (status = 200, description = "A page of them", body = WorkerList),
))]
pub(crate) async fn list(State(app): State<App>, _caller: Identity, uri: Uri) -> Result<Response> {
    let mut open = match app.answers.ask(&app.engine, Question::Workers(uri.query().map(Into::into))).await? {
        Asked::Known(answer) => return Ok(answer),
        Asked::Open(open) => open,
    };
    let mut params = Params::parse(&uri)?;
    let page = Page::read(&mut params, List::Workers);
    let label = params.text("label").and_then(|label| match label.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => {
            params.error("label", "must be written name=value");
            None
        }
    });
    let query = WorkerQuery {
        status: params.word("status"),
        tool: params.text("tool"),
        label,
        start: match page.start {
            Start::Offset(offset) => Start::Offset(offset),
            Start::After(key) => Start::After(WorkerKey(key)),
        },
        limit: page.limit,
    };
    params.finish()?;
    let by_status = query.status.is_some();
    let found = app.engine.workers(query).await?;
    let now = app.engine.now();
    // Silence moves workers from one status to another; with a filter also those that are not on the page.
    if by_status {
        open.basis.ends(now);
    }
    for row in found.workers.iter().filter(|row| !row.is_offline(now)) {
        open.basis.ends(row.last_heartbeat + SILENCE);
    }
    open.answer(&WorkerList {
        workers: found.workers.iter().map(|row| workers::summary(row, now)).collect(),
        page: page.info(List::Workers, found.total, found.next.map(|key| key.0)),
    })
}

/// A worker with everything
#[utoipa::path(get, path = "/api/v1/workers/{worker_id}", tag = "workers",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 200, description = "The worker", body = WorkerDetail),
    (status = 304, description = "It is what `If-None-Match` names"),
))]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Identity,
    Id(worker): Id<WorkerId>,
) -> Result<Tagged<WorkerDetail>> {
    let found = app.engine.worker(worker).await?;
    Ok(Tagged(workers::detail(&found, app.engine.now())))
}

/// Let a worker go: what it runs goes back at once
#[utoipa::path(post, path = "/api/v1/workers/{worker_id}/unregister", tag = "workers",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 200, description = "It gets nothing until it registers again", body = Unregistered),
))]
pub(crate) async fn unregister(
    State(app): State<App>,
    _caller: Identity,
    Id(worker): Id<WorkerId>,
) -> Result<Json<Unregistered>> {
    app.engine.unregister(worker).await?;
    Ok(Json(Unregistered { status: UnregisteredStatus::Unregistered, worker_id: worker.uuid() }))
}

/// No new work for a worker; what runs goes on
#[utoipa::path(post, path = "/api/v1/workers/{worker_id}/drain", tag = "workers",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 200, description = "It drains", body = WorkerSummary),
))]
pub(crate) async fn drain(
    State(app): State<App>,
    _caller: Identity,
    Id(worker): Id<WorkerId>,
) -> Result<Json<WorkerSummary>> {
    set_draining(&app, worker, true).await
}

/// New work again for a worker that drains
#[utoipa::path(post, path = "/api/v1/workers/{worker_id}/undrain", tag = "workers",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 200, description = "It gets work again", body = WorkerSummary),
))]
pub(crate) async fn undrain(
    State(app): State<App>,
    _caller: Identity,
    Id(worker): Id<WorkerId>,
) -> Result<Json<WorkerSummary>> {
    set_draining(&app, worker, false).await
}

async fn set_draining(app: &App, worker: WorkerId, draining: bool) -> Result<Json<WorkerSummary>> {
    let row = app.engine.set_draining(worker, draining).await?;
    Ok(Json(workers::summary(&row, app.engine.now())))
}

/// Take a worker that is offline off the list
#[utoipa::path(delete, path = "/api/v1/workers/{worker_id}", tag = "workers",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 204, description = "It is gone"),
    (status = 409, description = "It is not offline", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove(State(app): State<App>, _caller: Identity, Id(worker): Id<WorkerId>) -> Result<StatusCode> {
    app.engine.remove_worker(worker).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ask for work, for workers without a WebSocket
#[utoipa::path(post, path = "/api/v1/workers/{worker_id}/poll", tag = "workers", request_body = Poll,
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 200, description = "What to run; empty when there was nothing in time", body = Polled),
    (status = 409, description = "It has unregistered", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn poll(
    State(app): State<App>,
    _caller: Identity,
    Id(worker): Id<WorkerId>,
    body::Json(poll): body::Json<Poll>,
) -> Result<Json<Polled>> {
    if poll.wait_seconds > 0 {
        app.places.wait()?;
    }
    let wait = Duration::from_secs(poll.wait_seconds.into());
    let assignments = tokio::select! {
        assignments = app.engine.poll(worker, poll.slots, wait) => assignments?,
        // What was given to the poll and not taken goes back when it is dropped.
        () = app.until_draining() => Vec::new(),
    };
    Ok(Json(Polled { assignments: assignments.iter().map(subtasks::assignment).collect() }))
}
