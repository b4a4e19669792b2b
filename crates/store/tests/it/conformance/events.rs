//! Events and log lines: numbered, kept, read again.

use regatta_model::command::*;
use regatta_model::event::{Event, What};
use regatta_model::task::{NewPlan, Start};
use regatta_model::*;
use regatta_store::LogQuery;

use crate::support::{Fixture, new_task, planned, whole};

async fn log(f: &Fixture, subtask: SubtaskId, lease: Option<Lease>, message: &str) -> Logged {
    f.run(AppendLog {
        subtask,
        lease,
        worker: None,
        bound: None,
        level: LogLevel::Info,
        message: message.into(),
        metadata: Some(r#"{"k":[1]}"#.into()),
    })
    .await
}

async fn all(f: &Fixture, id: TaskId) -> Vec<Event> {
    f.store.events(id, 0, 10_000).await.unwrap().value.unwrap().events
}

pub async fn events_are_numbered_and_paged_with_logs_among_them(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &["a"])]).await;
    let worker = f.register("m", 1).await;
    for _ in 0..2 {
        let given = f.claim(worker, 1).await.remove(0);
        for n in 0..4 {
            log(&f, given.lease.subtask, Some(given.lease), &format!("line {n}")).await;
        }
        f.complete(given.lease, "{}").await;
    }
    let kept = all(&f, id).await;
    assert!(kept == f.events().await, "what was published is what is kept");
    assert!(kept.iter().map(|event| event.seq).eq(1..=kept.len() as u64));
    assert_eq!(kept.iter().filter(|event| matches!(event.what, What::Log(_))).count(), 8);
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map_or(0, |event: &Event| event.seq);
        let page = f.store.events(id, after, 3).await.unwrap().value.unwrap();
        assert_eq!(page.last_seq, kept.len() as u64);
        if page.events.is_empty() {
            break;
        }
        paged.extend(page.events);
    }
    assert!(paged == kept);
    assert!(f.store.events(id, u64::MAX, 3).await.unwrap().value.unwrap().events.is_empty());
}

pub async fn logs_are_read_forwards_and_from_the_end(f: Fixture) {
    let id = f.submit(&[("a", &[])]).await;
    for n in 0..20 {
        assert_eq!(log(&f, id.subtask(0), None, &format!("{n}")).await, Logged::Kept { seq: n + 2, stale: false });
    }
    let read = async |query| {
        let page = f.store.logs(id, query).await.unwrap().value.unwrap();
        assert_eq!(page.last_seq, 21);
        let lines: Vec<String> = page.lines.iter().map(|(_, _, line)| line.message.to_string()).collect();
        (lines.join(" "), page.more)
    };
    assert_eq!(read(LogQuery::Last(3)).await, ("17 18 19".into(), true));
    assert!(!read(LogQuery::Last(20)).await.1);
    assert_eq!(read(LogQuery::After { seq: 4, limit: 2 }).await, ("3 4".into(), true));
    assert_eq!(read(LogQuery::After { seq: 19, limit: 50 }).await, ("18 19".into(), false));
    assert_eq!(read(LogQuery::After { seq: u64::MAX, limit: 5 }).await, (String::new(), false));
    let page = f.store.logs(id, LogQuery::Last(1)).await.unwrap().value.unwrap();
    assert_eq!(page.lines[0].2.metadata.as_deref(), Some(r#"{"k":[1]}"#));
    assert_eq!(log(&f, id.subtask(3), None, "no such").await, Logged::Unknown);
}

pub async fn a_line_under_a_stale_lease_is_kept_and_marked(f: Fixture) {
    let id = f.submit(&[("a", &[])]).await;
    let worker = f.register("m", 1).await;
    let given = f.claim(worker, 1).await.remove(0);
    let live = log(&f, id.subtask(0), Some(given.lease), "live").await;
    assert!(matches!(live, Logged::Kept { stale: false, .. }));
    f.run(CancelTask { task: id, reason: None }).await;
    let stale = log(&f, id.subtask(0), Some(given.lease), "stale").await;
    assert!(matches!(stale, Logged::Kept { stale: true, .. }));
    let page = f.store.logs(id, LogQuery::Last(10)).await.unwrap().value.unwrap();
    let marks: Vec<(bool, Option<WorkerId>)> =
        page.lines.iter().map(|(_, _, line)| (line.stale, line.worker)).collect();
    assert_eq!(marks, [(false, Some(worker.worker)), (true, Some(worker.worker))]);
}

pub async fn a_plan_that_was_thrown_away_leaves_its_events(f: Fixture) {
    let plan = planned(&[("old one", &[]), ("old two", &["old one"]), ("old three", &["old two"])]);
    let mut task = new_task(&[]);
    let id = task.id;
    task.start = Start::Now;
    task.plan = Some(NewPlan { steps: plan.chunks(2).remove(0), total: 3 });
    f.run(Submit { tasks: vec![task], idempotency: None }).await;
    f.run(CancelTask { task: id, reason: None }).await;
    assert_eq!(f.run(RetryTask { task: id }).await, Changed::To(TaskStatus::Pending));
    f.run(PlanTask { task: id, plan: whole(planned(&[("new", &[])])) }).await;
    let worker = f.register("m", 1).await;
    let given = f.claim(worker, 1).await.remove(0);
    f.complete(given.lease, "{}").await;
    let kept = all(&f, id).await;
    assert!(kept == f.events().await);
    let names: Vec<&str> = kept
        .iter()
        .filter_map(|event| match &event.what {
            What::Subtask(head, _) => Some(&*head.name),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["old one", "old two", "new", "new"]);
}
