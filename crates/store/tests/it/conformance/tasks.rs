//! Cancelling, retrying and deleting tasks.

use regatta_model::command::*;
use regatta_model::*;
use regatta_store::LogQuery;

use crate::support::{Fixture, Told, new_task};

pub async fn a_cancelled_task_stops_what_runs(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &["a"])]).await;
    let worker = f.register("m", 1).await;
    let given = f.claim(worker, 1).await.remove(0);
    let cancel = || CancelTask { task: id, reason: Some("enough".into()) };
    assert_eq!(f.run(cancel()).await, Changed::To(TaskStatus::Cancelled));
    assert_eq!(f.run(cancel()).await, Changed::To(TaskStatus::Cancelled));
    f.events().await;
    let stops: usize = f
        .sink
        .told
        .lock()
        .iter()
        .map(|told| if let Told::Committed(effects) = told { effects.stops.len() } else { 0 })
        .sum();
    assert_eq!(stops, 1);
    assert!(matches!(f.complete(given.lease, "{}").await, Reported::Stale(_)));
    let row = f.task(id).await;
    assert_eq!((row.cancelled, row.running, row.error.as_deref()), (2, 0, Some("cancelled: enough")));
    let detail = f.store.worker(worker.worker, f.now()).await.unwrap().value.unwrap();
    assert_eq!(detail.row.used, 0);
}

pub async fn a_retried_task_goes_on_where_it_failed(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]).await;
    let worker = f.register("m", 1).await;
    let first = f.claim(worker, 1).await.remove(0);
    f.complete(first.lease, r#"{"kept":true}"#).await;
    let second = f.claim(worker, 1).await.remove(0);
    assert_eq!(f.run(RetryTask { task: id }).await, Changed::Refused(TaskStatus::InProgress));
    f.run(CancelTask { task: id, reason: None }).await;
    assert_eq!(f.run(RetryTask { task: id }).await, Changed::To(TaskStatus::InProgress));
    let again = f.claim(worker, 1).await.remove(0);
    assert_eq!(&*again.context, r#"{"a":{"kept":true}}"#);
    assert!(again.attempt == 2 && again.lease.epoch > second.lease.epoch);
    f.complete(again.lease, "{}").await;
    let last = f.claim(worker, 1).await.remove(0);
    f.complete(last.lease, "{}").await;
    let row = f.task(id).await;
    assert_eq!((row.status, row.completed, row.cancelled, row.error), (TaskStatus::Completed, 3, 0, None));
    assert_eq!(f.run(RetryTask { task: id }).await, Changed::Refused(TaskStatus::Completed));
    assert_eq!(f.run(CancelTask { task: id, reason: None }).await, Changed::Refused(TaskStatus::Completed));
}

pub async fn only_what_has_ended_is_deleted(f: Fixture) {
    let (id, other) = (f.submit(&[("a", &[])]).await, f.submit(&[("a", &[])]).await);
    let worker = f.register("m", 1).await;
    let given = f.claim(worker, 1).await.remove(0);
    assert_eq!(f.run(DeleteTask { task: id }).await, Removed::InUse);
    f.fail(given.lease, "no").await;
    f.run(CancelTask { task: id, reason: None }).await;
    assert_eq!(f.run(DeleteTask { task: id }).await, Removed::Yes);
    assert_eq!(f.run(DeleteTask { task: id }).await, Removed::Unknown);
    assert_eq!(f.store.task(id).await.unwrap().value, None);
    assert_eq!(f.store.subtask(given.lease.subtask).await.unwrap().value, None);
    assert_eq!(f.store.events(id, 0, 10).await.unwrap().value, None);
    assert_eq!(f.task(other).await.status, TaskStatus::InProgress);
    let counters = f.store.counters(f.now()).await.unwrap().value;
    assert_eq!(counters.tasks, [(TaskStatus::InProgress, 1)]);
    assert_eq!(counters.subtasks, [(SubtaskStatus::Queued, 1)]);
}

pub async fn what_ended_long_ago_is_forgotten(f: Fixture) {
    let ended = async |steps: &[(&str, &[&str])]| {
        let id = f.submit(steps).await;
        f.run(CancelTask { task: id, reason: None }).await;
        id
    };
    let runs = f.submit(&[("a", &[])]).await;
    let old = [ended(&[("a", &[])]).await, ended(&[("a", &[]), ("b", &["a"])]).await];
    let was = f.now();
    f.pass(Span::seconds(100));
    // Submitted long ago, ended just now.
    let late = f.submit(&[("a", &[])]).await;
    f.pass(Span::seconds(100));
    f.run(CancelTask { task: late, reason: None }).await;
    let young = ended(&[("a", &[])]).await;
    let forget = |ended_before, excess, after| Forget { ended_before, excess, after, look: 100, rows: 1_000 };

    assert_eq!(f.run(forget(Some(was), 0, TaskKey(0))).await, Forgotten { tasks: 0, next: None }, "not yet");
    let soon = was + Span::seconds(1);
    let done = f.run(forget(Some(soon), 0, TaskKey(0))).await;
    assert_eq!(done, Forgotten { tasks: 2, next: None });
    for id in old {
        assert_eq!(f.store.task(id).await.unwrap().value, None);
        assert_eq!(f.store.events(id, 0, 10).await.unwrap().value, None);
    }
    let counters = f.store.counters(f.now()).await.unwrap().value;
    assert_eq!(counters.tasks, [(TaskStatus::InProgress, 1), (TaskStatus::Cancelled, 2)]);
    assert_eq!(counters.subtasks, [(SubtaskStatus::Queued, 1), (SubtaskStatus::Cancelled, 2)]);

    // By count: the first submitted of those that ended.
    assert_eq!(f.run(forget(None, 1, TaskKey(0))).await, Forgotten { tasks: 1, next: None });
    assert_eq!(f.store.task(late).await.unwrap().value, None);
    assert!(f.store.task(young).await.unwrap().value.is_some());
    assert_eq!(f.task(runs).await.status, TaskStatus::InProgress);
    assert_eq!(f.run(forget(None, 9, TaskKey(0))).await, Forgotten { tasks: 1, next: None });
    assert_eq!(f.task(runs).await.status, TaskStatus::InProgress, "only what has ended");
}

pub async fn a_batch_of_retention_is_bounded_and_goes_on(f: Fixture) {
    let mut ids = Vec::new();
    for _ in 0..6 {
        let id = f.submit(&[("a", &[])]).await;
        f.run(CancelTask { task: id, reason: None }).await;
        ids.push(id);
    }
    let left =
        async || f.store.counters(f.now()).await.unwrap().value.tasks.iter().map(|(_, count)| count).sum::<u64>();
    let first = f.task(ids[0]).await;
    let length = u64::from(first.total) + first.seq;
    // Two fit into a batch.
    let forget = |after, look| Forget { ended_before: None, excess: 100, after, look, rows: 2 * length };
    let done = f.run(forget(TaskKey(0), 100)).await;
    assert_eq!((done.tasks, left().await), (2, 4));
    let after = done.next.unwrap();
    // Two are looked at.
    let done = f.run(forget(after, 2)).await;
    assert_eq!((done.tasks, left().await), (2, 2));
    let done = f.run(forget(done.next.unwrap(), 100)).await;
    assert_eq!((done, left().await), (Forgotten { tasks: 2, next: None }, 0));
}

pub async fn nothing_is_known_of_unknown_ids(f: Fixture) {
    f.submit(&[("a", &[])]).await;
    let id = new_task(&[]).id;
    assert_eq!(f.store.task(id).await.unwrap().value, None);
    assert_eq!(f.store.progress(id).await.unwrap().value, None);
    assert_eq!(f.store.subtask(id.subtask(0)).await.unwrap().value, None);
    assert_eq!(f.store.subtasks(id, 0, 10, false).await.unwrap().value, None);
    assert_eq!(f.store.events(id, 0, 10).await.unwrap().value, None);
    assert_eq!(f.store.logs(id, LogQuery::Last(10)).await.unwrap().value, None);
    assert_eq!(f.store.worker(WorkerId(uuid::Uuid::nil()), f.now()).await.unwrap().value, None);
    assert_eq!(f.run(CancelTask { task: id, reason: None }).await, Changed::Unknown);
    assert_eq!(f.run(RetryTask { task: id }).await, Changed::Unknown);
    assert_eq!(f.run(DeleteTask { task: id }).await, Removed::Unknown);
    assert_eq!(f.run(RemoveWorker { worker: WorkerId(uuid::Uuid::nil()) }).await, Removed::Unknown);
    assert_eq!(f.run(Unregister { worker: WorkerId(uuid::Uuid::nil()) }).await, Heard::Unknown);
}
