//! Who gets what, and in which order.

use regatta_model::command::*;
use regatta_model::plan::NewSteps;
use regatta_model::routing::{Labels, Lane};
use regatta_model::task::NewPlan;
use regatta_model::*;

use crate::support::{Fixture, LEASE, new_task, step_in};

fn lane(tool: &str) -> Lane {
    Lane { tool: Some(tool.into()), prefer: Vec::new(), sensitive: false, requires: Labels::new() }
}

/// Submits a task of one step for a tool.
async fn submit_for(f: &Fixture, tool: &str) -> TaskId {
    let mut task = new_task(&[("a", &[])]);
    task.plan = Some(NewPlan { steps: NewSteps { first: 0, steps: vec![step_in(lane(tool), "a")] }, total: 1 });
    let id = task.id;
    f.run(Submit { tasks: vec![task], idempotency: None }).await;
    id
}

fn offer(lane: i64, takers: &[u32]) -> LaneOffer {
    LaneOffer { lane: LaneKey(lane), takers: takers.iter().map(|&seat| (seat, "t".into())).collect() }
}

fn seat(worker: Registered, free: u32) -> Seat {
    Seat { worker: worker.key, session: worker.session, free }
}

fn claim(seats: Vec<Seat>, lanes: Vec<LaneOffer>, limit: u32) -> Claim {
    Claim { seats, lanes, limit, lease: LEASE, nonce: 3 }
}

fn tasks_of(given: &[Assignment]) -> Vec<TaskId> {
    given.iter().map(|assignment| assignment.lease.subtask.task()).collect()
}

pub async fn the_oldest_first_and_priority_ahead(f: Fixture) {
    let first = f.submit(&[("a", &[])]).await;
    f.pass(Span::seconds(1));
    let second = f.submit(&[("a", &[])]).await;
    let mut urgent = new_task(&[("a", &[])]);
    urgent.plan.as_mut().unwrap().steps.steps[0].head_start = rank::head_start(Priority::Urgent, 0);
    let third = urgent.id;
    f.run(Submit { tasks: vec![urgent], idempotency: None }).await;
    let worker = f.register("m", 3).await;
    assert_eq!(tasks_of(&f.claim(worker, 3).await), [third, first, second]);
}

pub async fn only_the_lanes_that_are_offered(f: Fixture) {
    let (one, two) = (submit_for(&f, "one").await, submit_for(&f, "two").await);
    let lanes = f.store.lanes(LaneKey(0)).await.unwrap();
    assert_eq!(lanes, [(LaneKey(1), lane("one")), (LaneKey(2), lane("two"))]);
    assert_eq!(f.store.lanes(LaneKey(1)).await.unwrap().len(), 1);
    assert_eq!(f.store.ready_lanes().await.unwrap(), [(LaneKey(1), 1), (LaneKey(2), 1)]);
    let worker = f.register("m", 5).await;
    let given = f.run(claim(vec![seat(worker, 5)], vec![offer(2, &[0, 0]), offer(77, &[0])], 5)).await;
    assert_eq!(tasks_of(&given), [two]);
    assert_eq!(f.store.ready_lanes().await.unwrap(), [(LaneKey(1), 1)]);
    let given = f.run(claim(vec![seat(worker, 5)], vec![offer(1, &[0])], 5)).await;
    assert_eq!(tasks_of(&given), [one]);
}

pub async fn no_more_than_there_are_slots(f: Fixture) {
    for _ in 0..5 {
        f.submit(&[("a", &[])]).await;
    }
    let worker = f.register("m", 3).await;
    // It says it has five free, its row says three; then the row says one.
    assert_eq!(f.claim(worker, 2).await.len(), 2);
    assert_eq!(f.claim(worker, 5).await.len(), 1);
    assert_eq!(f.claim(worker, 5).await.len(), 0);
    let detail = f.store.worker(worker.worker, f.now()).await.unwrap().value.unwrap();
    assert_eq!((detail.row.used, detail.current.len()), (3, 3));
    assert_eq!(detail.row.status(f.now()), WorkerStatus::Busy);
}

pub async fn an_old_session_gets_nothing(f: Fixture) {
    f.submit(&[("a", &[])]).await;
    let old = f.register("m", 1).await;
    let new = f.register("m", 1).await;
    assert_eq!((old.worker, new.known, new.session > old.session), (new.worker, true, true));
    assert!(f.claim(old, 1).await.is_empty());
    assert_eq!(f.claim(new, 1).await.len(), 1);
}

pub async fn several_workers_share_a_claim(f: Fixture) {
    for _ in 0..4 {
        f.submit(&[("a", &[])]).await;
    }
    let (one, two) = (f.register("m1", 1).await, f.register("m2", 2).await);
    let gone = f.register("m3", 2).await;
    f.run(Unregister { worker: gone.worker }).await;
    f.run(RemoveWorker { worker: gone.worker }).await;
    let seats = vec![seat(gone, 2), seat(two, 2), seat(one, 1)];
    let given = f.run(claim(seats, vec![offer(1, &[0, 0, 1, 2, 1, 1])], 10)).await;
    let workers: Vec<WorkerId> = given.iter().map(|assignment| assignment.worker).collect();
    assert_eq!(workers, [two.worker, one.worker, two.worker]);
}

pub async fn a_rejected_subtask_goes_to_another_worker(f: Fixture) {
    f.submit(&[("a", &[])]).await;
    let (one, two) = (f.register("m1", 1).await, f.register("m2", 1).await);
    let given = f.claim(one, 1).await.remove(0);
    let reject = |worker: Registered, lease| Reject {
        subtask: given.lease.subtask,
        lease,
        worker: worker.worker,
        reason: "not me".into(),
    };
    assert!(!f.run(reject(two, Some(given.lease))).await, "only its holder may");
    assert!(f.run(reject(one, Some(given.lease))).await);
    assert!(!f.run(reject(one, Some(given.lease))).await, "once");
    assert!(f.claim(one, 1).await.is_empty(), "not the same worker at once");
    let again = f.claim(two, 1).await.remove(0);
    assert_eq!(again.attempt, 2);
    assert!(f.run(reject(two, None)).await);
    assert!(f.claim(one, 1).await.is_empty(), "nor the one before it: the two would play ping-pong");
    f.pass(retry::REJECT_PAUSE);
    f.sweep().await;
    assert_eq!(f.claim(two, 1).await.len(), 1, "after the pause it may");
    let detail = f.store.subtask(given.lease.subtask).await.unwrap().value.unwrap();
    let outcomes: Vec<AttemptOutcome> = detail.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Rejected, AttemptOutcome::Rejected, AttemptOutcome::Running]);
    assert_eq!(detail.row.failures, 0, "a rejection is no failure");
}
