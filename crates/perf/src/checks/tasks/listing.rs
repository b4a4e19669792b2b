//! The list of tasks, with many in it.

use std::collections::HashSet;

use regatta_client::api::JsonObject;
use regatta_client::api::TaskStatus;
use regatta_client::api::task::TaskList;
use uuid::Uuid;

use crate::caller::Call;
use crate::checks::api::worker::at_least;
use crate::platform::agent::Agent;
use crate::trial::{Outcome, RUNS, Trial};

/// Rows a page while paging: several pages even of few tasks.
const ROWS: usize = 10;

/// With as many as the requirement runs at once. Between two lists one is submitted.
pub async fn small(trial: &Trial) -> Outcome {
    trial.world.submit_many(trial.number()).await?;
    for _ in 0..RUNS {
        trial.world.submit_many(1).await?;
        let call = Call::get("/tasks", "/tasks?limit=100");
        trial.judged(call, |reply| at_least(reply.json::<TaskList>()?.tasks.len(), trial.number().min(100))).await;
    }
    Ok(())
}

/// With five times as many.
pub async fn large(trial: &Trial) -> Outcome {
    small(trial).await
}

/// Page by page, until every task that was submitted for it has been seen, each once.
pub async fn pagination(trial: &Trial) -> Outcome {
    let mut wanted: HashSet<Uuid> = trial.world.submit_many(trial.number()).await?.into_iter().collect();
    let (mut seen, mut twice) = (HashSet::new(), 0);
    let mut cursor = String::new();
    // They are the newest, so the rest of the list need not be walked.
    while !wanted.is_empty() {
        let call = Call::get("/tasks?cursor=…", format!("/tasks?limit={ROWS}{cursor}"));
        let Some(page) = trial.measured::<TaskList>(call).await else { break };
        for row in &page.tasks {
            wanted.remove(&row.task_id);
            twice += usize::from(!seen.insert(row.task_id));
        }
        match page.page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    if twice > 0 {
        trial.fail(format!("{twice} tasks are on two pages"));
    }
    trial.fact("tasks seen page by page", trial.number() - wanted.len(), trial.number());
    Ok(())
}

/// By status: every row has it, and the task of ours that has it is there.
pub async fn by_status(trial: &Trial) -> Outcome {
    let world = &trial.world;
    let part = world.fresh("done");
    let pending = world.submit([world.waiting_task()]).await?;
    let running = world.submit_many(2).await?;
    world.client.cancel(running[1], None).await?;
    let mut agent = Agent::join(&world.client, &world.worker_for(&part)).await?;
    let completed = world.submit([world.task_for(&part, "none")]).await?;
    let held = agent.assignment().await?;
    agent.complete(&held, JsonObject::new()).await?;
    world.client.wait_for_task(completed[0], 30).await?;
    let mut right = 0;
    for (status, ours) in [
        (TaskStatus::Pending, pending[0]),
        (TaskStatus::InProgress, running[0]),
        (TaskStatus::Cancelled, running[1]),
        (TaskStatus::Completed, completed[0]),
    ] {
        let call = Call::get("/tasks?status=…", format!("/tasks?limit=100&status={status}"));
        let judged = trial.judged(call, |reply| {
            let page: TaskList = reply.json()?;
            match page.tasks.iter().find(|row| row.status != status) {
                Some(row) => Err(format!("a task that is {} is in the list of those that are {status}", row.status)),
                None => Ok(page),
            }
        });
        // Newest first, so it is on the first page unless others are submitted by the hundred.
        let page = judged.await;
        right += usize::from(page.is_some_and(|(_, page)| page.tasks.iter().any(|row| row.task_id == ours)));
    }
    trial.fact("statuses with a task of ours", right, 4);
    agent.leave().await;
    Ok(())
}
