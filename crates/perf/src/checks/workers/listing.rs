//! The list of workers, with many in it.

use regatta_client::api::WorkerStatus;
use regatta_client::api::worker::{Heartbeat, Resources, WorkerList};
use uuid::Uuid;

use crate::caller::Call;
use crate::fixtures::LABEL;
use crate::platform::agent::Agent;
use crate::trial::{Outcome, RUNS, Trial, Trouble};

/// With as many as the requirement has online.
pub async fn small(trial: &Trial) -> Outcome {
    trial.world.register(trial.number()).await?;
    for _ in 0..RUNS {
        trial.measured::<WorkerList>(Call::get("/workers", "/workers?limit=100")).await;
    }
    // All of them are found, page by page; the run's earlier ones are among them.
    let filter = format!("label={LABEL}%3D{}", trial.world.run);
    let rows = walk(trial, &filter, |_| Ok(())).await;
    trial.fact("workers in the list", rows.len().min(trial.number()), trial.number());
    Ok(())
}

/// With five times as many.
pub async fn large(trial: &Trial) -> Outcome {
    small(trial).await
}

/// By each of the statuses that a worker can have: every row has it, and the worker of ours that has it is there.
pub async fn by_status(trial: &Trial) -> Outcome {
    let world = &trial.world;
    let ids = world.register(3).await?;
    let [online, idle, offline] = ids[..] else { return Err(Trouble::new("three workers were registered")) };
    let word = |status| Heartbeat { status, resources: Resources::default(), current_task: None, running: None };
    world.client.heartbeat(online, &word(WorkerStatus::Online)).await?;
    world.client.heartbeat(idle, &word(WorkerStatus::Idle)).await?;
    world.client.unregister(offline).await?;
    // Busy is who has all slots taken: this one is given a task, and keeps it.
    let part = world.fresh("busy");
    let mut busy = Agent::join(&world.client, &world.worker_for(&part)).await?;
    world.submit([world.task_for(&part, "none")]).await?;
    let held = busy.assignment().await?;
    let mut right = 0;
    for (status, ours) in [
        (WorkerStatus::Online, online),
        (WorkerStatus::Idle, idle),
        (WorkerStatus::Busy, busy.id),
        (WorkerStatus::Offline, offline),
    ] {
        let judge = |page: &WorkerList| match page.workers.iter().find(|row| row.status != status) {
            Some(row) => Err(format!("a worker that is {} is in the list of those that are {status}", row.status)),
            None => Ok(()),
        };
        let rows = walk(trial, &format!("status={status}"), judge).await;
        right += usize::from(rows.contains(&ours));
    }
    trial.fact("statuses with a worker of ours", right, 4);
    busy.complete(&held, regatta_client::api::JsonObject::new()).await?;
    busy.leave().await;
    Ok(())
}

/// All pages of a list, each measured and judged; the ids of its rows.
async fn walk(trial: &Trial, filter: &str, judge: impl Fn(&WorkerList) -> Result<(), String>) -> Vec<Uuid> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let call = Call::get("/workers?…", format!("/workers?limit=100&{filter}{cursor}"));
        let judged = trial.judged(call, |reply| {
            let page: WorkerList = reply.json()?;
            judge(&page).map(|()| page)
        });
        let Some((_, page)) = judged.await else { return ids };
        ids.extend(page.workers.iter().map(|row| row.worker_id));
        match page.page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}
