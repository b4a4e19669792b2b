//! The ordinary course of a task, from submission to its end.

use regatta_model::command::Reported;
use regatta_model::{SubtaskStatus, TaskStatus};

use crate::support::Fixture;

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
