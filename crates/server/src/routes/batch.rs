//! Calls about many tasks: `/tasks/batch`, `/tasks/cancel`, `/tasks/retry`.

use std::sync::Arc;

use axum::extract::State;
use futures_util::StreamExt;
use http::HeaderMap;
use regatta_api::task::{BulkResult, BulkResults, CreateTasks, TaskIds, TaskRef, TasksCreated};
use regatta_model::TaskStatus;
use uuid::Uuid;

use crate::app::App;
use crate::body;
use crate::convert::{task_id, tasks};
use crate::idempotency;
use crate::identity::Identity;
use crate::problem::{Failure, Kind};
use crate::reply::{Created, Json, Result};

/// Tasks of a bulk call that are worked on at once: enough to share commits, few enough to leave room for others.
const AT_ONCE: usize = 32;

/// Submit tasks, all or none
#[utoipa::path(post, path = "/api/v1/tasks/batch", tag = "tasks", request_body = CreateTasks,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "1 to 255 characters: the same key and body give the same answer for 24 h")),
    responses(
    (status = 201, description = "All are written down", body = TasksCreated),
    (status = 409, description = "The key was used for another body", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Identity,
    headers: HeaderMap,
    body::Json(batch): body::Json<CreateTasks>,
) -> Result<Created<TasksCreated>> {
    let key = idempotency::key(&headers, "/tasks/batch", &batch)?;
    let now = app.engine.now();
    let requests = batch.tasks.into_iter().map(|task| tasks::request(task, now)).collect();
    let made = app.engine.submit(&caller.user, requests, key).await?;
    let tasks = made.iter().map(|task| TaskRef { task_id: task.uuid(), status: TaskStatus::Pending }).collect();
    Ok(Created(TasksCreated { tasks }))
}

/// Cancel tasks, each for itself
#[utoipa::path(post, path = "/api/v1/tasks/cancel", tag = "tasks", request_body = TaskIds, responses(
    (status = 200, description = "What became of each", body = BulkResults),
))]
pub(crate) async fn cancel(
    State(app): State<App>,
    _caller: Identity,
    body::Json(ids): body::Json<TaskIds>,
) -> Result<Json<BulkResults>> {
    let reason: Option<Arc<str>> = ids.reason.map(Arc::from);
    each(ids.task_ids, |id| {
        let (app, reason) = (app.clone(), reason.clone());
        async move {
            let task = task_id(id).ok_or_else(|| no_task(id))?;
            app.engine.cancel(task, reason).await?;
            Ok(())
        }
    })
    .await
}

/// Retry tasks, each for itself
#[utoipa::path(post, path = "/api/v1/tasks/retry", tag = "tasks", request_body = TaskIds, responses(
    (status = 200, description = "What became of each", body = BulkResults),
))]
pub(crate) async fn retry(
    State(app): State<App>,
    _caller: Identity,
    body::Json(ids): body::Json<TaskIds>,
) -> Result<Json<BulkResults>> {
    each(ids.task_ids, |id| {
        let app = app.clone();
        async move {
            let task = task_id(id).ok_or_else(|| no_task(id))?;
            app.engine.retry(task).await?;
            Ok(())
        }
    })
    .await
}

fn no_task(id: Uuid) -> Failure {
    Failure::no_such("task", &id.to_string())
}

/// Does something with each task and says what became of it. When the server cannot go on, the whole call fails:
/// done again, it changes nothing twice.
async fn each<F: Future<Output = Result<()>>>(ids: Vec<Uuid>, work: impl Fn(Uuid) -> F) -> Result<Json<BulkResults>> {
    let mut outcomes = futures_util::stream::iter(ids.clone()).map(work).buffered(AT_ONCE);
    let mut results = Vec::with_capacity(ids.len());
    for task_id in &ids {
        let Some(outcome) = outcomes.next().await else { break };
        results.push(match outcome {
            Ok(()) => BulkResult { task_id: *task_id, ok: true, detail: None },
            Err(failure) if matches!(failure.kind(), Kind::NotFound | Kind::Conflict) => {
                BulkResult { task_id: *task_id, ok: false, detail: Some(failure.sentence()) }
            }
            Err(failure) => return Err(failure),
        });
    }
    Ok(Json(BulkResults { results }))
}
