//! Many at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use regatta_model::command::*;
use regatta_model::*;

use crate::support::{Fixture, all_tasks, new_task};

pub async fn many_callers_at_once_lose_nothing(f: Fixture) {
    let f = Arc::new(f);
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let f = f.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for n in 0..10 {
                    let id = f.submit(&[("a", &[]), ("b", &["a"])]).await;
                    // What a caller was told is there for its next call.
                    assert_eq!(f.store.progress(id).await.unwrap().value.unwrap().total, 2);
                    if n % 2 == 0 {
                        let cancelled = f.run(CancelTask { task: id, reason: None }).await;
                        assert_eq!(cancelled, Changed::To(TaskStatus::Cancelled));
                    }
                    ids.push(id);
                }
                ids
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for caller in callers {
        ids.extend(caller.await.unwrap());
    }
    assert_eq!(ids.len(), 320);
    let page = f.store.tasks(all_tasks()).await.unwrap().value;
    assert_eq!(page.total.unwrap().count, 320);
    let counters = f.store.counters(f.now()).await.unwrap().value;
    assert_eq!(counters.tasks, [(TaskStatus::InProgress, 160), (TaskStatus::Cancelled, 160)]);
    let told = f.events().await;
    for id in ids {
        let kept = f.store.events(id, 0, 100).await.unwrap().value.unwrap();
        let published: Vec<_> = told.iter().filter(|event| event.task.id == id).cloned().collect();
        assert!(kept.events == published, "in the same order, each once");
    }
}

pub async fn workers_at_once_never_share_a_subtask(f: Fixture) {
    let f = Arc::new(f);
    let tasks = (0..60).map(|_| new_task(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])])).collect();
    f.run(Submit { tasks, idempotency: None }).await;
    let mut workers = Vec::new();
    for n in 0..8 {
        workers.push(f.register(&format!("m{n}"), 4).await);
    }
    let at_work: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            let f = f.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                let mut idle = 0;
                while idle < 50 {
                    let given = f.claim(worker, 4).await;
                    idle = if given.is_empty() { idle + 1 } else { 0 };
                    if given.is_empty() {
                        tokio::task::yield_now().await;
                    }
                    for assignment in given {
                        let reported = f.complete(assignment.lease, "{}").await;
                        assert!(matches!(reported, Reported::Accepted { .. }), "{reported:?}");
                        done.push(assignment.lease.subtask);
                    }
                }
                done
            })
        })
        .collect();
    let mut done = Vec::new();
    for worker in at_work {
        done.extend(worker.await.unwrap());
    }
    // A worker may have given up while others still worked; what is left is done here.
    let last = f.register("last", 200).await;
    loop {
        let given = f.claim(last, 200).await;
        if given.is_empty() {
            break;
        }
        for assignment in given {
            f.complete(assignment.lease, "{}").await;
            done.push(assignment.lease.subtask);
        }
    }
    assert_eq!(done.len(), 180);
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>().len(), 180, "each once");
    let counters = f.store.counters(f.now()).await.unwrap().value;
    assert_eq!(counters.tasks, [(TaskStatus::Completed, 60)]);
}
