//! What is still there when the store is opened again.

use regatta_model::command::*;
use regatta_model::words::TokenRole;
use regatta_model::*;
use regatta_store::StoreError;

use super::tokens;
use crate::support::{Fixture, all_tasks, all_workers, fresh_uuid};

async fn everything_is_kept(f: Fixture, gently: bool) {
    let id = f.submit(&[("a", &[]), ("b", &["a"])]).await;
    let worker = f.register("m", 2).await;
    let first = f.claim(worker, 1).await.remove(0);
    f.complete(first.lease, r#"{"n":1}"#).await;
    let second = f.claim(worker, 1).await.remove(0);
    f.sweep().await;
    let seen = async |f: &Fixture| {
        (
            f.store.task(id).await.unwrap().value,
            f.store.subtask(first.lease.subtask).await.unwrap().value,
            f.store.events(id, 0, 100).await.unwrap().value,
            f.store.worker(worker.worker, f.now()).await.unwrap().value,
            f.store.counters(f.now()).await.unwrap().value,
            f.store.lanes(LaneKey(0)).await.unwrap(),
            (f.store.last_sweep().await.unwrap(), f.store.cluster_id()),
        )
    };
    let before = seen(&f).await;
    let f = f.reopen(gently).await.unwrap();
    assert!(seen(&f).await == before);
    // What was leased is still leased, to the same worker under the same lease.
    let reported = f.complete(second.lease, "{}").await;
    assert_eq!(reported, Reported::Accepted { status: SubtaskStatus::Completed, progress: 100, newly_ready: 0 });
    assert_eq!(f.task(id).await.status, TaskStatus::Completed);
}

pub async fn what_was_acknowledged_is_there_after_closing(f: Fixture) {
    everything_is_kept(f, true).await;
}

pub async fn what_was_acknowledged_is_there_without_closing(f: Fixture) {
    everything_is_kept(f, false).await;
}

pub async fn a_closed_store_says_so(f: Fixture) {
    f.submit(&[("a", &[])]).await;
    f.store.close().await;
    let refused = f.store.execute(f.now(), Command::Sweep(Sweep { limit: 1, jitter: 0 })).await;
    assert!(matches!(refused, Err(StoreError::Closed)));
    assert!(matches!(f.store.tasks(all_tasks()).await, Err(StoreError::Closed)));
    assert!(!f.store.health().await.connected);
    f.store.close().await;
}

pub async fn keys_are_never_given_again(f: Fixture) {
    let id = f.submit(&[("a", &[])]).await;
    let (task, worker) = (f.task(id).await.head.key, f.register("m", 1).await);
    f.run(CancelTask { task: id, reason: None }).await;
    f.run(DeleteTask { task: id }).await;
    f.run(Unregister { worker: worker.worker }).await;
    f.run(RemoveWorker { worker: worker.worker }).await;
    let f = f.reopen(true).await.unwrap();
    assert!(f.store.workers(all_workers(), f.now()).await.unwrap().value.workers.is_empty());
    let id = f.submit(&[("a", &[])]).await;
    assert!(f.task(id).await.head.key > task);
    assert!(f.register("m", 1).await.key > worker.key);
}

pub async fn tokens_and_owners_are_kept(f: Fixture) {
    let kept = tokens::token(&f, TokenRole::Worker);
    f.store.add_token(kept.clone()).await.unwrap();
    let worker = f.run(tokens::owned("m", kept.id, TakeOver::Own)).await.unwrap().worker;
    let f = f.reopen(true).await.unwrap();
    assert_eq!(f.store.tokens().await.unwrap(), std::slice::from_ref(&kept));
    assert_eq!(f.run(tokens::owned("m", TokenId(fresh_uuid()), TakeOver::Own)).await, Err(OwnedBy(kept.id)));
    let row = f.store.worker(worker, f.now()).await.unwrap().value.unwrap().row;
    assert_eq!(row.profile.owner, Some(kept.id));
}
