//! Workers coming, going and being looked at.

use std::sync::Arc;

use regatta_model::command::*;
use regatta_model::routing::{Labels, Offer, Resources};
use regatta_model::worker::{Profile, SAMPLE_EVERY, SILENCE};
use regatta_model::*;
use regatta_store::{Start, WorkerQuery};

use crate::support::{Fixture, all_workers, heartbeat, registration};

pub async fn a_machine_keeps_its_id(f: Fixture) {
    let first = f.register("m", 2).await;
    assert!(!first.known);
    f.pass(Span::seconds(5));
    let again = f.register("m", 7).await;
    assert!(again.known && again.worker == first.worker && again.key == first.key);
    let detail = f.store.worker(first.worker, f.now()).await.unwrap().value.unwrap();
    assert_eq!((detail.row.profile.slots, &*detail.system_info), (7, r#"{"os":"test"}"#));
    assert_eq!(f.now() - detail.row.registered_at, Span::seconds(5));
}

pub async fn a_worker_that_unregisters_gives_everything_back(f: Fixture) {
    let id = f.submit(&[("a", &[])]).await;
    let worker = f.register("m", 1).await;
    f.claim(worker, 1).await;
    assert_eq!(f.run(Unregister { worker: worker.worker }).await, Heard::Yes);
    assert_eq!(f.row(id.subtask(0)).await.state.status(), SubtaskStatus::Queued);
    assert_eq!(f.heartbeat(worker.worker, None).await, Heard::Unregistered);
    assert!(f.claim(worker, 1).await.is_empty());
    let detail = f.store.subtask(id.subtask(0)).await.unwrap().value.unwrap();
    assert_eq!(detail.attempts[0].outcome, AttemptOutcome::Unregistered);
    let row = f.store.worker(worker.worker, f.now()).await.unwrap().value.unwrap().row;
    assert_eq!(row.status(f.now()), WorkerStatus::Offline);
}

pub async fn a_draining_worker_gets_nothing(f: Fixture) {
    f.submit(&[("a", &[])]).await;
    let worker = f.register("m", 1).await;
    let row = f.run(SetDraining { worker: worker.worker, draining: true }).await.unwrap();
    assert!(row.draining);
    assert!(f.claim(worker, 1).await.is_empty());
    let again = f.register("m", 1).await;
    assert!(f.claim(again, 1).await.is_empty(), "it outlives a registration");
    f.run(SetDraining { worker: worker.worker, draining: false }).await;
    assert_eq!(f.claim(again, 1).await.len(), 1);
    assert_eq!(f.run(SetDraining { worker: WorkerId(uuid::Uuid::nil()), draining: true }).await, None);
}

pub async fn only_a_worker_that_is_offline_is_removed(f: Fixture) {
    let id = f.submit(&[("a", &[])]).await;
    let worker = f.register("m", 1).await;
    f.claim(worker, 1).await;
    assert_eq!(f.run(RemoveWorker { worker: worker.worker }).await, Removed::InUse);
    f.pass(SILENCE);
    assert_eq!(f.run(RemoveWorker { worker: worker.worker }).await, Removed::Yes);
    let detail = f.store.subtask(id.subtask(0)).await.unwrap().value.unwrap();
    assert_eq!((detail.row.state.status(), detail.attempts[0].worker), (SubtaskStatus::Queued, worker.worker));
    assert_eq!(f.store.worker(worker.worker, f.now()).await.unwrap().value, None);
    assert!(f.store.workers(all_workers(), f.now()).await.unwrap().value.workers.is_empty());
    let new = f.register("m", 1).await;
    assert!(!new.known && new.worker != worker.worker && new.key > worker.key);
}

pub async fn status_is_what_the_row_says_at_that_time(f: Fixture) {
    let workers = [f.register("m0", 1).await, f.register("m1", 1).await, f.register("m2", 1).await];
    f.submit(&[("a", &[])]).await;
    assert_eq!(f.claim(workers[0], 1).await.len(), 1);
    f.run(Heartbeat { said: WorkerStatus::Busy, ..heartbeat(workers[1].worker, None) }).await;
    f.heartbeat(workers[2].worker, None).await;
    use WorkerStatus::*;
    let shown = async |status| {
        let query = WorkerQuery { status: Some(status), ..all_workers() };
        let page = f.store.workers(query, f.now()).await.unwrap().value;
        assert_eq!(page.total.unwrap().count as usize, page.workers.len());
        assert!(page.workers.iter().all(|row| row.status(f.now()) == status));
        page.workers.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(shown(Busy).await, [workers[0].worker]);
    assert_eq!(shown(Online).await, [workers[1].worker], "free, whatever it says");
    assert_eq!(shown(Idle).await, [workers[2].worker]);
    let counters = f.store.counters(f.now()).await.unwrap().value;
    assert_eq!(counters.workers, [(Online, 1), (Busy, 1), (Idle, 1)]);
    f.pass(SILENCE);
    f.run(Touch { heard: vec![(workers[1].worker, f.now())] }).await;
    assert_eq!(shown(Offline).await, [workers[2].worker, workers[0].worker]);
    f.run(Heartbeat { said: Offline, ..heartbeat(workers[1].worker, None) }).await;
    assert_eq!(shown(Offline).await.len(), 3);
}

pub async fn figures_are_kept_for_an_hour(f: Fixture) {
    let worker = f.register("m", 1).await.worker;
    for _ in 0..260 {
        f.heartbeat(worker, None).await;
        f.pass(Span(SAMPLE_EVERY.0 / 2));
    }
    let history = f.store.worker(worker, f.now()).await.unwrap().value.unwrap().history;
    assert_eq!(history.len(), 119, "one each half minute of the last hour");
    assert!(history.is_sorted_by_key(|sample| sample.at));
    let figures = Resources { cpu_percent: Some(10.0), memory_percent: None, disk_percent: Some(0.5) };
    assert_eq!(history[0].resources, figures);
}

pub async fn workers_are_found_by_what_they_offer(f: Fixture) {
    let mut ids = Vec::new();
    for n in 0..5 {
        let mut register = registration(&format!("m{n}"), 1, None);
        let tools: Vec<Arc<str>> = if n % 2 == 0 { vec!["t".into(), "x%y".into()] } else { vec!["u".into()] };
        let labels = Labels::from([("a \"b\".c".to_owned(), format!("v{n}"))]);
        let offer = Offer { tools, labels, ..Offer::default() };
        register.registration.profile = Arc::new(Profile { offer, ..(*register.registration.profile).clone() });
        ids.push(f.run(register).await.unwrap().worker);
    }
    let found = async |query: WorkerQuery| {
        let page = f.store.workers(query, f.now()).await.unwrap().value;
        (page.workers.iter().map(|row| row.id).collect::<Vec<_>>(), page.next, page.total.map(|total| total.count))
    };
    let tool = |tool: &str| WorkerQuery { tool: Some(tool.into()), limit: 2, ..all_workers() };
    let (first, next, total) = found(tool("x%y")).await;
    assert_eq!((first, total), (vec![ids[4], ids[2]], Some(3)));
    let rest = found(WorkerQuery { start: Start::After(next.unwrap()), ..tool("x%y") }).await;
    assert_eq!(rest, (vec![ids[0]], None, None));
    assert_eq!(found(tool("x_y")).await.0, []);
    let label = |value: &str| WorkerQuery { label: Some(("a \"b\".c".into(), value.into())), ..all_workers() };
    assert_eq!(found(label("v3")).await.0, [ids[3]]);
    assert_eq!(found(label("v9")).await.0, []);
}
