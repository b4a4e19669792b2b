//! Results, failures and progress.

use regatta_model::command::*;
use regatta_model::event::What;
use regatta_model::*;

use crate::support::{Fixture, report};

async fn chain(f: &Fixture) -> (TaskId, Registered, Assignment) {
    let id = f.submit(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("other", &[])]).await;
    let worker = f.register("m", 4).await;
    let given = f.claim(worker, 1).await.remove(0);
    assert_eq!(&*given.name, "a");
    (id, worker, given)
}

pub async fn a_result_is_taken_once(f: Fixture) {
    let (id, _, given) = chain(&f).await;
    let taken = f.complete(given.lease, r#"{"n":1}"#).await;
    assert_eq!(taken, Reported::Accepted { status: SubtaskStatus::Completed, progress: 25, newly_ready: 1 });
    let seq = f.task(id).await.seq;
    let again = f.complete(given.lease, r#"{"n":2}"#).await;
    assert_eq!(again, Reported::Repeated { progress: 25 });
    let detail = f.store.subtask(given.lease.subtask).await.unwrap().value.unwrap();
    assert_eq!(detail.output.as_deref(), Some(r#"{"n":1}"#));
    assert_eq!((detail.row.execution_time, detail.row.exit_code, detail.row.progress), (1.25, Some(0), 100));
    assert_eq!(f.task(id).await.seq, seq, "nothing happened the second time");
    let late = f.fail(given.lease, "no").await;
    assert_eq!(late, Reported::Repeated { progress: 25 });
}

pub async fn a_stale_lease_changes_nothing(f: Fixture) {
    let (id, worker, given) = chain(&f).await;
    let before = f.store.task(id).await.unwrap().value;
    let wrong = Lease { epoch: given.lease.epoch + 1, ..given.lease };
    assert_eq!(f.complete(wrong, "{}").await, Reported::Stale(StaleLease::Superseded));
    let other = Report { by: Some(WorkerId(uuid::Uuid::nil())), ..report(given.lease, Ok(()), "{}") };
    assert_eq!(f.run(other).await, Reported::Stale(StaleLease::OtherWorker));
    let waiting = Lease { subtask: id.subtask(1), epoch: 1 };
    let not_running = StaleLease::NotRunning(SubtaskStatus::Pending);
    assert_eq!(f.complete(waiting, "{}").await, Reported::Stale(not_running));
    assert_eq!(f.complete(Lease { subtask: id.subtask(99), epoch: 1 }, "{}").await, Reported::Unknown);
    assert!(f.store.task(id).await.unwrap().value == before);
    // An older agent sends none; once its worker has shown one, that no longer does.
    f.run(Acknowledge { worker: worker.worker }).await;
    let naked = Report { lease: None, ..report(given.lease, Ok(()), "{}") };
    assert_eq!(f.run(naked).await, Reported::Stale(StaleLease::LeaseNeeded));
}

pub async fn a_failure_is_tried_again_after_a_pause(f: Fixture) {
    let (_, worker, given) = chain(&f).await;
    let failed = f.fail(given.lease, "no luck").await;
    assert_eq!(failed, Reported::Accepted { status: SubtaskStatus::Queued, progress: 0, newly_ready: 0 });
    let row = f.row(given.lease.subtask).await;
    assert_eq!((row.failures, row.error.as_deref()), (1, Some("no luck")));
    let due = f.now() + retry::backoff(1, 32_768);
    assert_eq!(row.due_at, Some(due));
    assert_eq!(f.claim(worker, 4).await.len(), 1, "only the other step");
    assert_eq!(f.sweep().await.next_due, Some(due));
    f.pass(retry::backoff(1, 32_768));
    f.sweep().await;
    let again = f.claim(worker, 4).await.remove(0);
    assert_eq!((again.lease.subtask, again.attempt), (given.lease.subtask, 2));
}

pub async fn a_failure_for_good_cancels_what_depends_on_it(f: Fixture) {
    let (id, worker, mut given) = chain(&f).await;
    for left in (0..3).rev() {
        f.fail(given.lease, "no luck").await;
        f.pass(Span::seconds(30));
        f.sweep().await;
        if left > 0 {
            given = f.claim(worker, 1).await.remove(0);
            assert_eq!(given.lease.subtask, id.subtask(0));
        }
    }
    let detail = f.store.task(id).await.unwrap().value.unwrap();
    let states: Vec<SubtaskStatus> = detail.subtasks.iter().map(|subtask| subtask.row.state.status()).collect();
    use SubtaskStatus::*;
    assert_eq!(states, [Failed, Cancelled, Cancelled, Queued]);
    assert_eq!(detail.row.status, TaskStatus::InProgress, "what does not depend on it goes on");
    let other = f.claim(worker, 4).await.remove(0);
    f.complete(other.lease, "{}").await;
    let row = f.task(id).await;
    assert_eq!((row.status, row.progress(), row.error.as_deref()), (TaskStatus::Failed, 25, Some("no luck")));
}

pub async fn attempts_are_all_kept(f: Fixture) {
    let (_, worker, given) = chain(&f).await;
    f.fail(given.lease, "first").await;
    f.pass(Span::seconds(30));
    f.sweep().await;
    f.claim(worker, 1).await;
    f.pass(Span::seconds(90));
    f.sweep().await;
    let last = f.claim(worker, 1).await.remove(0);
    assert_eq!((last.lease.subtask, last.attempt), (given.lease.subtask, 3));
    f.complete(last.lease, "{}").await;
    let attempts = f.store.subtask(given.lease.subtask).await.unwrap().value.unwrap().attempts;
    let told: Vec<_> = attempts.iter().map(|a| (a.attempt, a.outcome, a.error.as_deref(), &*a.tool)).collect();
    assert_eq!(told[0], (1, AttemptOutcome::Failed, Some("first"), "t"));
    assert_eq!((told[1].0, told[1].1), (2, AttemptOutcome::Lost));
    assert_eq!(told[2], (3, AttemptOutcome::Completed, None, "t"));
    assert!(attempts.iter().all(|attempt| attempt.worker == worker.worker && attempt.ended_at.is_some()));
}

pub async fn too_large_a_context_fails_the_dependent(f: Fixture) {
    let names: Vec<String> = (0..9).map(|n| format!("part {n}")).collect();
    let mut steps: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    steps.push(("join", &all));
    let id = f.submit(&steps).await;
    let worker = f.register("m", 9).await;
    let output = format!("{{\"x\":\"{}\"}}", "y".repeat(1 << 20));
    for given in f.claim(worker, 9).await {
        f.complete(given.lease, &output).await;
    }
    let row = f.task(id).await;
    assert_eq!((row.status, row.completed, row.failed), (TaskStatus::Failed, 9, 1));
    assert!(row.error.unwrap().contains("context_too_large"));
    let first = f.store.subtask(id.subtask(0)).await.unwrap().value.unwrap();
    assert_eq!(first.output.as_deref(), Some(output.as_str()));
}

pub async fn progress_is_shown_and_told(f: Fixture) {
    let (id, _, given) = chain(&f).await;
    let set = |progress, lease| SetProgress {
        subtask: given.lease.subtask,
        lease,
        by: None,
        bound: None,
        progress,
        message: Some("half way".into()),
    };
    assert_eq!(f.run(set(50, Some(given.lease))).await, ProgressSet::Accepted);
    assert_eq!(f.row(given.lease.subtask).await.progress, 50);
    let stale = f.run(set(60, Some(Lease { epoch: 0, ..given.lease }))).await;
    assert_eq!(stale, ProgressSet::Stale(StaleLease::Superseded));
    let events = f.store.events(id, 0, 100).await.unwrap().value.unwrap().events;
    let lines = events.iter().filter(|event| matches!(&event.what, What::Log(line) if &*line.message == "half way"));
    assert_eq!(lines.count(), 1);
    let seen = events.iter().any(|event| matches!(&event.what, What::Subtask(_, record) if record.progress == 50));
    assert!(seen);
    let counters = f.store.progress(id).await.unwrap().value.unwrap();
    assert_eq!((counters.running, counters.percent()), (1, 0));
}
