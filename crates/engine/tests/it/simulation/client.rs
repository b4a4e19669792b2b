//! Clients: what they ask for, what they were told, and that they can rely on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use regatta_engine::bus::{Body, Delivery, Topic};
use regatta_engine::{Error, IdempotencyKey, NewTaskRequest};
use regatta_model::plan::Step;
use regatta_model::task::Start;
use regatta_model::{Priority, TaskId, TaskStatus, TaskType, WorkerId};

use super::Sim;
use super::agent::TOOLS;
use super::node::Node;
use crate::rig;

/// A task that the server said it has.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub id: TaskId,
    pub steps: u32,
    /// Whether it was told that it is gone, or may have been.
    pub deleted: bool,
}

fn request(sim: &Sim) -> NewTaskRequest {
    let count = sim.chance.between(1, 6);
    let steps: Vec<Step> = (0..count)
        .map(|number| {
            let before: Vec<String> = (0..number).filter(|_| sim.chance.one_in(3)).map(|n| format!("s{n}")).collect();
            let before: Vec<&str> = before.iter().map(String::as_str).collect();
            let tool = if sim.chance.one_in(2) { Some(*sim.chance.pick(&TOOLS)) } else { None };
            let mut step = rig::step(&format!("s{number}"), &before, tool);
            step.priority = sim.chance.between(0, 100) as i32;
            step.timeout_seconds = sim.chance.between(5, 60);
            step.max_attempts = sim.chance.between(1, 4);
            if sim.chance.one_in(5) {
                step.requires.insert("zone".into(), "a".into());
            }
            step
        })
        .collect();
    let mut request = rig::task(TaskType::Custom, Some(steps));
    request.priority = *sim.chance.pick(&[Priority::Low, Priority::Normal, Priority::High, Priority::Urgent]);
    if sim.chance.one_in(6) {
        request.start = Start::OnRequest;
    }
    request
}

/// Submits until it is acknowledged, under one key: made once, however often it is asked for.
async fn submit(sim: &Arc<Sim>, number: u32) -> Acknowledged {
    let request = request(sim);
    let steps = request.steps.as_ref().map_or(0, Vec::len) as u32;
    let key = IdempotencyKey { key: format!("key-{number}").into(), body: number.into() };
    let mut known: Option<TaskId> = None;
    // Sometimes asked again though it was answered.
    let mut answers = sim.chance.between(1, 2);
    loop {
        let node = sim.nodes.up().await;
        sim.travel().await;
        let submitted = node.call(node.engine.submit("client", vec![request.clone()], Some(key.clone()))).await;
        match submitted {
            Some(Ok(ids)) => {
                assert!(known.is_none_or(|id| [id] == *ids), "one key, one task");
                known = Some(ids[0]);
                answers -= 1;
                if answers == 0 {
                    tokio::spawn(watch(sim.clone(), node, ids[0]));
                    return Acknowledged { id: ids[0], steps, deleted: false };
                }
            }
            Some(Err(Error::Conflict(why) | Error::Internal(why) | Error::Unavailable(why))) => {
                assert!(!why.contains("Idempotency"), "{why}");
            }
            Some(Err(Error::Overloaded)) | None => {}
            Some(Err(error)) => panic!("{error}"),
        }
        tokio::time::sleep(sim.chance.seconds(0, 3)).await;
    }
}

/// Follows a task at one node: its events come in order and without gaps.
async fn watch(sim: Arc<Sim>, node: Node, id: TaskId) {
    let mut subscriber = node.engine.bus().subscribe(1 << 14);
    subscriber.add(Topic::Task(id));
    let kept = node.call(node.engine.events(id, 0, 100_000)).await;
    let Some(Ok(page)) = kept else { return };
    let mut last = page.events.last().map_or(0, |event| event.seq);
    assert!(page.events.iter().map(|event| event.seq).eq(1..=last));
    while let Some(delivery) = node.call(subscriber.next()).await {
        let Delivery::Notice(notice) = delivery else { panic!("{delivery:?}") };
        let Body::Event(event) = &notice.body else { panic!("{notice:?}") };
        assert!(event.seq <= last + 1, "events {} to {} of {id} were not told", last + 1, event.seq - 1);
        last = last.max(event.seq);
        if sim.unlucky(40) {
            return;
        }
    }
}

/// A read after an acknowledged change shows it.
async fn look(sim: &Sim, id: TaskId) {
    let node = sim.nodes.up().await;
    let Some(before) = sim.durable.completed(id) else { return };
    if !node.is_alive() {
        return;
    }
    if let Some(Ok(progress)) = node.call(node.engine.progress(id)).await {
        assert!(progress.completed >= before, "progress goes back: {} after {before}", progress.completed);
    }
}

/// What a person does to a task or a worker.
async fn meddle(sim: &Sim, tasks: &mut [Acknowledged]) {
    let node = sim.nodes.up().await;
    sim.travel().await;
    let index = sim.chance.between(0, tasks.len() as u32 - 1) as usize;
    let id = tasks[index].id;
    match sim.chance.between(1, 9) {
        1 | 2 => drop(node.call(node.engine.cancel(id, Some("a person said so".into()))).await),
        3 | 4 => drop(node.call(node.engine.retry(id)).await),
        5 => drop(node.call(node.engine.decompose(id)).await),
        6 => {
            if let Some(Ok(())) = node.call(node.engine.delete(id)).await {
                tasks[index].deleted = true;
            } else if sim.durable.completed(id).is_none() {
                // It was done, and the answer was lost.
                tasks[index].deleted = true;
            }
        }
        choice => {
            let Some(worker) = some_worker(sim) else { return };
            match choice {
                7 => drop(node.call(node.engine.set_draining(worker, true)).await),
                8 => drop(node.call(node.engine.set_draining(worker, false)).await),
                _ => drop(node.call(node.engine.unregister(worker)).await),
            }
        }
    }
}

fn some_worker(sim: &Sim) -> Option<WorkerId> {
    let workers: Vec<WorkerId> = sim.durable.look(|memory| memory.workers.values().map(|(row, _)| row.id).collect());
    if workers.is_empty() { None } else { Some(*sim.chance.pick(&workers)) }
}

/// A few minutes of work; the tasks that were acknowledged.
pub async fn work(sim: &Arc<Sim>) -> Vec<Acknowledged> {
    let mut tasks = Vec::new();
    for number in 0..sim.chance.between(3, 8) {
        tasks.push(submit(sim, number).await);
        for _ in 0..sim.chance.between(0, 4) {
            tokio::time::sleep(sim.chance.seconds(0, 15)).await;
            if sim.chance.one_in(2) {
                meddle(sim, &mut tasks).await;
            }
            let id = sim.chance.pick(&tasks).id;
            look(sim, id).await;
        }
    }
    tasks
}

/// Takes back what persons did that would keep work waiting for ever.
pub async fn heal(sim: &Sim) {
    assert!(!sim.rough.load(Ordering::Relaxed));
    let node = sim.nodes.up().await;
    let workers: Vec<WorkerId> = sim.durable.look(|memory| memory.workers.values().map(|(row, _)| row.id).collect());
    for worker in workers {
        let _ = node.engine.set_draining(worker, false).await;
    }
}

/// Waits until every task has ended.
pub async fn all_ended(sim: &Sim, tasks: &[Acknowledged]) {
    let node = sim.nodes.up().await;
    for task in tasks.iter().filter(|task| !task.deleted) {
        loop {
            match node.engine.task(task.id).await {
                Ok(detail) if detail.row.status == TaskStatus::Pending => drop(node.engine.decompose(task.id).await),
                Ok(detail) if detail.row.status.is_ended() => break,
                Ok(_) => {}
                // The delete was done though its answer was lost on the way to someone who had given up.
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
}
