//! Single calls about tasks.

use regatta_client::api::health::RedisState;
use regatta_client::api::task::{CreateTask, Decomposed, TaskCreated, TaskDetail, TaskList, TaskProgress};
use uuid::Uuid;

use super::worker::at_least;
use crate::caller::Call;
use crate::trial::{Outcome, Trial};

/// So many tasks are submitted before their list is asked for.
const LISTED: usize = 10;

/// Submits tasks, one after the other.
pub async fn submission(trial: &Trial) -> Outcome {
    for _ in 0..trial.number() {
        submit(trial, &trial.world.task(), None).await;
    }
    Ok(())
}

/// Submits one task again and again under its idempotency key, as a client does that lost the answer: it is one task.
pub async fn submission_repeated(trial: &Trial) -> Outcome {
    let (task, key) = (trial.world.task(), trial.world.fresh("key"));
    let known = trial.world.client.submit_with_key(&task, &key).await?.task_id;
    let mut same = 0;
    for _ in 0..trial.number() {
        same += usize::from(submit(trial, &task, Some(&key)).await == Some(known));
    }
    trial.fact("submissions made no second task", same, trial.number());
    Ok(())
}

/// Gets tasks that nobody has asked for before.
pub async fn query(trial: &Trial) -> Outcome {
    for task in trial.world.submit_many(trial.number()).await? {
        get(trial, task).await;
    }
    Ok(())
}

/// Lists tasks; between two lists one is submitted.
pub async fn list(trial: &Trial) -> Outcome {
    trial.world.submit_many(LISTED).await?;
    for _ in 0..trial.number() {
        trial.world.submit_many(1).await?;
        let call = Call::get("/tasks", "/tasks?limit=50");
        trial.judged(call, |reply| at_least(reply.json::<TaskList>()?.tasks.len(), LISTED)).await;
    }
    Ok(())
}

/// Asks how far a task is. A server that is the only one on its database answers from its cache, and says that it did not ask the
/// database; one of several reads a row, because what another has acknowledged must show.
pub async fn progress(trial: &Trial) -> Outcome {
    let tasks = trial.world.submit_many(trial.number()).await?;
    let mut without = 0;
    for task in tasks {
        without += usize::from(ask_progress(trial, task).await);
    }
    if trial.world.client.health().await?.redis == RedisState::Embedded {
        trial.fact("answers without the database", without, trial.number());
    }
    Ok(())
}

/// Decomposes tasks that wait for it, one after the other.
pub async fn decomposition(trial: &Trial) -> Outcome {
    let tasks = (0..trial.number()).map(|_| trial.world.waiting_task());
    for task in trial.world.submit(tasks).await? {
        decompose(trial, task).await;
    }
    Ok(())
}

/// Submits, and measures it.
pub(crate) async fn submit(trial: &Trial, task: &CreateTask, key: Option<&str>) -> Option<Uuid> {
    let mut call = Call::post("/tasks", "/tasks").json(task);
    if let Some(key) = key {
        call = call.key(key);
    }
    trial.measured::<TaskCreated>(call).await.map(|created| created.task_id)
}

/// Gets a task, and measures it.
pub(crate) async fn get(trial: &Trial, task: Uuid) {
    let call = Call::get("/tasks/{id}", format!("/tasks/{task}"));
    let is_it = |found: TaskDetail| {
        if found.task_id == task && !found.subtasks.is_empty() {
            Ok(())
        } else {
            Err("it is another task, or has no plan".to_owned())
        }
    };
    trial.judged(call, |reply| is_it(reply.json()?)).await;
}

/// Asks how far a task is, and measures it; whether the server did so without its database, as it says.
pub(crate) async fn ask_progress(trial: &Trial, task: Uuid) -> bool {
    let call = Call::get("/tasks/{id}/progress", format!("/tasks/{task}/progress"));
    let judged =
        trial.judged(call, |reply| reply.json::<TaskProgress>().map(|_| reply.timing.is_some() && !reply.used("db")));
    judged.await.is_some_and(|(_, without)| without)
}

/// Decomposes, and measures it.
pub(crate) async fn decompose(trial: &Trial, task: Uuid) {
    let call = Call::post("/tasks/{id}/decompose", format!("/tasks/{task}/decompose"));
    trial.judged(call, |reply| at_least(reply.json::<Decomposed>()?.subtasks.len(), 1)).await;
}
