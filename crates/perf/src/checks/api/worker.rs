//! Single calls about workers.

use regatta_client::api::WorkerStatus;
use regatta_client::api::worker::{Heartbeat, Registered, RegisteredStatus, Resources, WorkerDetail, WorkerList};
use uuid::Uuid;

use crate::caller::Call;
use crate::trial::{Outcome, Trial};

/// So many workers are registered before their list is asked for.
const LISTED: usize = 10;

/// Registers new workers, one after the other.
pub async fn registration(trial: &Trial) -> Outcome {
    for _ in 0..trial.number() {
        register(trial, &trial.world.worker(), RegisteredStatus::Registered).await;
    }
    Ok(())
}

/// Registers one worker again and again, as an agent does that is restarted: it keeps its id.
pub async fn registration_repeated(trial: &Trial) -> Outcome {
    let worker = trial.world.worker();
    let known = trial.world.client.register(&worker).await?.worker_id;
    let mut same = 0;
    for _ in 0..trial.number() {
        let id = register(trial, &worker, RegisteredStatus::Updated).await;
        same += usize::from(id == Some(known));
    }
    trial.fact("registrations kept their worker's id", same, trial.number());
    Ok(())
}

/// Sends heartbeats of one worker.
pub async fn heartbeat(trial: &Trial) -> Outcome {
    let id = trial.world.client.register(&trial.world.worker()).await?.worker_id;
    for _ in 0..trial.number() {
        beat(trial, id).await;
    }
    Ok(())
}

/// Lists workers.
pub async fn list(trial: &Trial) -> Outcome {
    trial.world.register(LISTED).await?;
    for _ in 0..trial.number() {
        let call = Call::get("/workers", "/workers?limit=50");
        trial.judged(call, |reply| at_least(reply.json::<WorkerList>()?.workers.len(), LISTED)).await;
    }
    Ok(())
}

/// Gets one worker.
pub async fn get(trial: &Trial) -> Outcome {
    let id = trial.world.client.register(&trial.world.worker()).await?.worker_id;
    for _ in 0..trial.number() {
        let call = Call::get("/workers/{id}", format!("/workers/{id}"));
        let is_it = |found: WorkerDetail| {
            if found.summary.worker_id == id { Ok(()) } else { Err("it is another worker".to_owned()) }
        };
        trial.judged(call, |reply| is_it(reply.json()?)).await;
    }
    Ok(())
}

/// Registers, and measures it; the worker's id, when the server said what is expected.
pub(crate) async fn register(
    trial: &Trial,
    worker: &regatta_client::api::worker::RegisterWorker,
    expected: RegisteredStatus,
) -> Option<Uuid> {
    let call = Call::post("/workers/register", "/workers/register").json(worker);
    let judge = |registered: Registered| {
        if registered.status == expected {
            Ok(registered.worker_id)
        } else {
            Err(format!("it is {:?} where {expected:?} is right", registered.status))
        }
    };
    trial.judged(call, |reply| judge(reply.json()?)).await.map(|(_, id)| id)
}

/// Sends a heartbeat, and measures it.
pub(crate) async fn beat(trial: &Trial, worker: Uuid) {
    let resources = Resources {
        cpu_percent: Some(35.0),
        memory_percent: Some(50.0),
        disk_percent: Some(40.0),
        ..Resources::default()
    };
    let body = Heartbeat { status: WorkerStatus::Online, resources, current_task: None, running: None };
    let call = Call::post("/workers/{id}/heartbeat", format!("/workers/{worker}/heartbeat")).json(&body);
    trial.measure(call).await;
}

/// Judges how many rows there are.
pub(crate) fn at_least(rows: usize, wanted: usize) -> Result<(), String> {
    if rows >= wanted { Ok(()) } else { Err(format!("{rows} rows, and there are at least {wanted}")) }
}
