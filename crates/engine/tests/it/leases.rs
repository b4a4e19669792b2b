//! Leases over a real store: they run out, they are renewed, and late words change nothing.

use regatta_engine::{HeartbeatRequest, Options};
use regatta_model::command::{Reported, StaleLease};
use regatta_model::{AttemptOutcome, Lease, TaskType, WorkerStatus};

use crate::rig::{Rig, assigned, step, task};

fn quick() -> Options {
    Options { lease_seconds: 1, sweep_milliseconds: 20, ..Options::default() }
}

fn beat(running: Option<Vec<Lease>>) -> HeartbeatRequest {
    HeartbeatRequest { said: WorkerStatus::Online, resources: None, figures: None, current_task: None, running }
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_goes_to_another_worker() {
    let rig = Rig::start(quick()).await;
    let mut one = rig.worker("one", &["claude_code"], 1).await;
    let id = rig.submit(task(TaskType::Custom, None)).await;
    let lost = assigned(&mut one).await;
    let mut two = rig.worker("two", &["claude_code"], 1).await;
    // Whoever is silent may also get it again; either way the first lease is over.
    let again = tokio::select! {
        again = assigned(&mut two) => again,
        again = async {
            loop {
                use regatta_engine::{LineEvent, LineMessage};
                if let LineEvent::Message(LineMessage::Assign(assignment)) = one.next().await {
                    return *assignment;
                }
            }
        } => again,
    };
    assert_eq!((again.lease.subtask, again.attempt), (lost.lease.subtask, 2));
    assert_eq!(rig.complete(&lost).await, Reported::Stale(StaleLease::Superseded));
    assert!(matches!(rig.complete(&again).await, Reported::Accepted { .. }));
    assert_eq!(rig.complete(&again).await, Reported::Repeated { progress: 100 });
    rig.ended(id).await;
    let attempts = rig.engine.subtask(lost.lease.subtask).await.unwrap().attempts;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Lost, AttemptOutcome::Completed]);
    rig.stop().await;
}

#[tokio::test]
async fn a_lease_that_is_renewed_stays() {
    let rig = Rig::start(quick()).await;
    let mut line = rig.worker("one", &["claude_code"], 1).await;
    rig.submit(task(TaskType::Custom, None)).await;
    let given = assigned(&mut line).await;
    for _ in 0..12 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        rig.engine.heartbeat(given.worker, beat(Some(vec![given.lease]))).await.unwrap();
    }
    assert!(matches!(rig.complete(&given).await, Reported::Accepted { .. }));
    rig.stop().await;
}

#[tokio::test]
async fn what_two_heartbeats_leave_out_goes_back() {
    let rig = Rig::start(Options::default()).await;
    let mut line = rig.worker("one", &["claude_code"], 1).await;
    rig.submit(task(TaskType::Custom, None)).await;
    let given = assigned(&mut line).await;
    rig.engine.heartbeat(given.worker, beat(Some(Vec::new()))).await.unwrap();
    rig.engine.heartbeat(given.worker, beat(Some(vec![given.lease]))).await.unwrap();
    rig.engine.heartbeat(given.worker, beat(Some(Vec::new()))).await.unwrap();
    assert_eq!(rig.engine.subtask(given.lease.subtask).await.unwrap().row.attempt, 1);
    rig.engine.heartbeat(given.worker, beat(Some(Vec::new()))).await.unwrap();
    let regatta_engine::LineEvent::Message(regatta_engine::LineMessage::Stop(stop)) = line.next().await else {
        panic!()
    };
    assert_eq!(stop.lease, given.lease);
    assert_eq!(assigned(&mut line).await.attempt, 2);
    rig.stop().await;
}

#[tokio::test]
async fn a_failure_is_tried_again_and_then_fails_what_depends_on_it() {
    let rig = Rig::start(Options { sweep_milliseconds: 20, ..Options::default() }).await;
    let mut line = rig.worker("one", &["claude_code"], 4).await;
    let mut fragile = step("fragile", &[], None);
    fragile.max_attempts = 2;
    let steps = vec![fragile, step("after", &["fragile"], None), step("beside", &[], None)];
    let id = rig.submit(task(TaskType::Custom, Some(steps))).await;
    let (one, two) = (assigned(&mut line).await, assigned(&mut line).await);
    let (fragile, beside) = if &*one.name == "fragile" { (one, two) } else { (two, one) };
    rig.report(&fragile, Err("boom"), "{}").await;
    let row = rig.engine.subtask(fragile.lease.subtask).await.unwrap().row;
    assert!(rig.engine.waiting_for(&row).unwrap().contains("boom"));
    let again = assigned(&mut line).await;
    assert_eq!(again.attempt, 2);
    rig.report(&again, Err("boom again"), "{}").await;
    rig.complete(&beside).await;
    let detail = rig.ended(id).await;
    assert_eq!(detail.row.error.as_deref(), Some("boom again"));
    assert_eq!((detail.row.failed, detail.row.cancelled, detail.row.completed), (1, 1, 1));
    rig.stop().await;
}

#[tokio::test]
async fn a_worker_that_comes_back_keeps_what_it_runs() {
    let rig = Rig::start(Options::default()).await;
    let mut line = rig.worker("one", &["claude_code"], 2).await;
    let id = line.worker().id;
    rig.submit(task(TaskType::Custom, None)).await;
    rig.submit(task(TaskType::Custom, None)).await;
    let (kept, forgotten) = (assigned(&mut line).await, assigned(&mut line).await);
    drop(line);
    let mut line = rig.engine.open_line(id).await.unwrap();
    let foreign = Lease { epoch: kept.lease.epoch + 1, ..kept.lease };
    let resumed = line.handle().resume(vec![kept.lease, foreign]).await.unwrap();
    assert_eq!((resumed.kept, resumed.dropped), (vec![kept.lease], vec![foreign]));
    let again = assigned(&mut line).await;
    assert_eq!((again.lease.subtask, again.attempt), (forgotten.lease.subtask, 2));
    assert!(matches!(rig.complete(&kept).await, Reported::Accepted { .. }));
    rig.stop().await;
}
