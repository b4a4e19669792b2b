//! Workers and tasks together.

use regatta_client::api::task::TaskList;
use regatta_client::api::worker::{RegisteredStatus, WorkerList};

use crate::caller::Call;
use crate::checks::api::task::{ask_progress, get, submit};
use crate::checks::api::worker::{beat, register};
use crate::trial::{Outcome, Trial};

/// At once, each one: registers a worker and sends its heartbeat, submits a task and asks for it, and lists both.
pub async fn workload(trial: &Trial) -> Outcome {
    trial
        .at_once(|_| async {
            if let Some(worker) = register(trial, &trial.world.worker(), RegisteredStatus::Registered).await {
                beat(trial, worker).await;
            }
            if let Some(task) = submit(trial, &trial.world.task(), None).await {
                get(trial, task).await;
                ask_progress(trial, task).await;
            }
            trial.measured::<WorkerList>(Call::get("/workers", "/workers?limit=50")).await;
            trial.measured::<TaskList>(Call::get("/tasks", "/tasks?limit=50")).await;
        })
        .await;
    Ok(())
}
