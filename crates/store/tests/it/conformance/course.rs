//! The ordinary course of a task, from submission to its end.

use regatta_model::command::{Reported, Submit};
use regatta_model::event::What;
use regatta_model::{SubtaskStatus, TaskStatus};
use regatta_store::StoreExt;

use crate::support::{Fixture, Told, all_tasks, new_task};

pub async fn a_task_runs_through_its_plan(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &["a"]), ("cc", &["a"]), ("d", &["b", "cc"])]).await;
    let worker = f.register("m1", 2).await;
    let first = f.claim(worker, 5).await;
    assert_eq!(first.iter().map(|a| &*a.name).collect::<Vec<_>>(), ["a"]);
    assert_eq!((&*first[0].context, first[0].attempt), ("{}", 1));
    let reported = f.complete(first[0].lease, r#"{"n":1}"#).await;
    assert_eq!(reported, Reported::Accepted { status: SubtaskStatus::Completed, progress: 25, newly_ready: 2 });
    let second = f.claim(worker, 5).await;
    assert_eq!(second.len(), 2);
    assert_eq!(&*second[0].context, r#"{"a":{"n":1}}"#);
    for assignment in &second {
        f.complete(assignment.lease, "{}").await;
    }
    let last = f.claim(worker, 1).await;
    assert_eq!(&*last[0].context, r#"{"b":{},"cc":{}}"#);
    f.complete(last[0].lease, r#"{"done":true}"#).await;

    let detail = f.store.task(id).await.unwrap().value.unwrap();
    assert_eq!((detail.row.status, detail.row.progress()), (TaskStatus::Completed, 100));
    assert_eq!(detail.subtasks.len(), 4);
    assert_eq!(detail.text.metadata.as_deref(), Some(r#"{"b":1,"a":2}"#));
    let page = f.store.events(id, 0, 1_000).await.unwrap().value.unwrap();
    assert!(page.events == f.events().await);
    let numbers: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=page.last_seq).collect::<Vec<_>>());
}

pub async fn the_sink_hears_in_order(f: Fixture) {
    let id = f.submit(&[("a", &[])]).await;
    let worker = f.register("m1", 1).await;
    let given = f.claim(worker, 1).await;
    f.complete(given[0].lease, "{}").await;
    f.events().await;
    let told = f.sink.told.lock();
    let mut progress = None;
    let mut ended = false;
    for told in told.iter() {
        match told {
            // A read after an acknowledged change must see it, so counters come first.
            Told::Progressed(changes) => {
                progress = changes.iter().find(|change| change.task == id).and_then(|change| change.progress);
            }
            Told::Committed(effects) => {
                for event in &effects.events {
                    let What::Task(record) = &event.what else { continue };
                    assert_eq!(progress.map(|progress| progress.status), Some(record.status));
                    ended |= record.status == TaskStatus::Completed;
                }
            }
        }
    }
    assert!(ended);
    let lanes: usize = told.iter().map(|told| if let Told::Committed(e) = told { e.lanes.len() } else { 0 }).sum();
    assert_eq!(lanes, 1, "the lane was woken once");
}

pub async fn timings_are_told(f: Fixture) {
    let operation = Submit { tasks: vec![new_task(&[("a", &[])])], idempotency: None };
    let timed = f.store.run(f.now(), operation).await.unwrap();
    assert!(timed.timing.db > std::time::Duration::ZERO);
    assert!(f.store.tasks(all_tasks()).await.unwrap().timing.db > std::time::Duration::ZERO);
    let health = f.store.health().await;
    assert!(health.connected && health.error.is_none() && health.queued == 0);
    assert_eq!(f.store.cluster_id(), f.store.cluster_id());
}
