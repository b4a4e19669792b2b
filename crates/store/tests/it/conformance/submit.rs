//! Making tasks and their plans.

use regatta_model::command::*;
use regatta_model::plan::NewSteps;
use regatta_model::task::{NewPlan, Start};
use regatta_model::*;

use crate::support::{Fixture, all_tasks, new_task, planned, whole};

fn keyed(body: u64) -> Option<Idempotency> {
    Some(Idempotency { scope: "me".into(), key: "once".into(), body })
}

pub async fn a_batch_is_made_whole(f: Fixture) {
    let tasks = vec![new_task(&[("a", &[])]), new_task(&[]), new_task(&[("a", &[]), ("b", &["a"])])];
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    assert_eq!(f.run(Submit { tasks, idempotency: None }).await, Submitted::Made);
    let page = f.store.tasks(all_tasks()).await.unwrap().value;
    let listed: Vec<TaskId> = page.tasks.iter().map(|task| task.row.head.id).collect();
    assert_eq!(listed, ids.iter().rev().copied().collect::<Vec<_>>(), "the newest first");
    assert_eq!((f.task(ids[1]).await.status, f.task(ids[2]).await.total), (TaskStatus::Pending, 2));
}

pub async fn a_key_makes_once_and_answers_again(f: Fixture) {
    let task = new_task(&[("a", &[])]);
    let id = task.id;
    assert_eq!(f.run(Submit { tasks: vec![task], idempotency: keyed(u64::MAX) }).await, Submitted::Made);
    // Both at once share a group, or do not.
    let again = || f.run(Submit { tasks: vec![new_task(&[("a", &[])])], idempotency: keyed(u64::MAX) });
    let (one, two) = tokio::join!(again(), again());
    assert_eq!((one, two), (Submitted::Before(vec![id]), Submitted::Before(vec![id])));
    assert_eq!(f.store.tasks(all_tasks()).await.unwrap().value.tasks.len(), 1);
}

pub async fn a_key_with_another_body_is_refused(f: Fixture) {
    f.run(Submit { tasks: vec![new_task(&[])], idempotency: keyed(1) }).await;
    let other = f.run(Submit { tasks: vec![new_task(&[])], idempotency: keyed(2) }).await;
    assert_eq!(other, Submitted::OtherBody);
    let scope = Some(Idempotency { scope: "you".into(), key: "once".into(), body: 2 });
    assert_eq!(f.run(Submit { tasks: vec![new_task(&[])], idempotency: scope }).await, Submitted::Made);
}

pub async fn a_key_is_kept_for_a_day(f: Fixture) {
    f.run(Submit { tasks: vec![new_task(&[])], idempotency: keyed(1) }).await;
    f.pass(Span(IDEMPOTENCY_KEPT.0 - Span::seconds(1).0));
    f.sweep().await;
    assert_eq!(f.run(Submit { tasks: vec![new_task(&[])], idempotency: keyed(2) }).await, Submitted::OtherBody);
    f.pass(Span::seconds(1));
    assert_eq!(f.run(Submit { tasks: vec![new_task(&[])], idempotency: keyed(2) }).await, Submitted::Made);
}

pub async fn a_deferred_task_waits_until_it_is_planned(f: Fixture) {
    let mut task = new_task(&[]);
    task.text.deferred_steps = Some(r#"[{"name":"a"}]"#.into());
    let id = task.id;
    f.run(Submit { tasks: vec![task], idempotency: None }).await;
    let detail = f.store.task(id).await.unwrap().value.unwrap();
    assert_eq!((detail.row.status, detail.row.started_at), (TaskStatus::Pending, None));
    assert_eq!(detail.text.deferred_steps.as_deref(), Some(r#"[{"name":"a"}]"#));
    let plan = || PlanTask { task: id, plan: whole(planned(&[("a", &[])])) };
    assert_eq!(f.run(plan()).await, Planned::Done);
    assert_eq!(f.run(plan()).await, Planned::Already);
    let detail = f.store.task(id).await.unwrap().value.unwrap();
    assert_eq!((detail.row.status, detail.subtasks.len()), (TaskStatus::InProgress, 1));
    assert_eq!(detail.text.deferred_steps, None);
    let unknown = PlanTask { task: new_task(&[]).id, ..plan() };
    assert_eq!(f.run(unknown).await, Planned::Unknown);
}

pub async fn a_task_starts_at_its_time(f: Fixture) {
    let (mut late, mut soon) = (new_task(&[]), new_task(&[]));
    late.start = Start::At(f.now() + Span::seconds(20));
    soon.start = Start::At(f.now() + Span::seconds(10));
    let ids = [soon.id, late.id];
    f.run(Submit { tasks: vec![late, soon], idempotency: None }).await;
    assert!(f.sweep().await.to_start.is_empty());
    f.pass(Span::seconds(20));
    assert_eq!(f.sweep().await.to_start, ids);
    f.run(CancelTask { task: ids[1], reason: None }).await;
    assert_eq!(f.sweep().await.to_start, ids[..1]);
    f.run(PlanTask { task: ids[0], plan: whole(planned(&[("a", &[])])) }).await;
    assert!(f.sweep().await.to_start.is_empty());
}

pub async fn a_long_plan_comes_in_chunks(f: Fixture) {
    let mut steps: Vec<(String, Vec<String>)> = (0..1_250).map(|n| (format!("step {n}"), Vec::new())).collect();
    steps.push(("join".into(), steps.iter().map(|(name, _)| name.clone()).collect()));
    let borrowed: Vec<(&str, Vec<&str>)> =
        steps.iter().map(|(name, deps)| (name.as_str(), deps.iter().map(String::as_str).collect())).collect();
    let borrowed: Vec<(&str, &[&str])> = borrowed.iter().map(|(name, deps)| (*name, deps.as_slice())).collect();
    let mut chunks = planned(&borrowed).chunks(500).into_iter();
    let mut task = new_task(&[]);
    let id = task.id;
    task.start = Start::Now;
    task.plan = Some(NewPlan { steps: chunks.next().unwrap(), total: 1_251 });
    f.run(Submit { tasks: vec![task], idempotency: None }).await;
    assert_eq!(f.task(id).await.status, TaskStatus::Initializing);
    let (second, third): (NewSteps, NewSteps) = (chunks.next().unwrap(), chunks.next().unwrap());
    let add = |steps: &NewSteps, last| AddSteps { task: id, steps: steps.clone(), last };
    assert_eq!(f.run(add(&third, true)).await, Planned::Already, "one before it is missing");
    for _ in 0..2 {
        assert_eq!(f.run(add(&second, false)).await, Planned::Done, "the same chunk may come again");
    }
    assert!(f.store.ready_lanes().await.unwrap().is_empty(), "nothing runs before the plan is whole");
    assert_eq!(f.run(add(&third, true)).await, Planned::Done);
    assert_eq!(f.run(add(&third, true)).await, Planned::Already);
    let row = f.task(id).await;
    assert_eq!((row.status, row.total), (TaskStatus::InProgress, 1_251));
    assert_eq!(f.store.ready_lanes().await.unwrap(), [(LaneKey(1), 1_250)]);
    let join = f.row(id.subtask(1_250)).await;
    assert_eq!((join.deps_left, join.head.dependencies.len()), (1_250, 1_250));
}

pub async fn texts_survive_as_they_are(f: Fixture) {
    let mut task = new_task(&[("a", &[])]);
    let id = task.id;
    let text = "\u{1F980} naïve 'quotes' \"and\" \\ back;-- \r\n\ttabs ".repeat(40);
    task.text.description = text.as_str().into();
    task.text.requirements = Some("{\"z\": 1.0, \"a\":  [null, \"\\u0041\"]}".into());
    f.run(Submit { tasks: vec![task], idempotency: None }).await;
    let detail = f.store.task(id).await.unwrap().value.unwrap();
    assert_eq!(&*detail.text.description, text);
    assert_eq!(detail.text.requirements.as_deref(), Some("{\"z\": 1.0, \"a\":  [null, \"\\u0041\"]}"));
    assert_eq!(detail.row.head.summary.chars().count(), task::SUMMARY_CHARS);
    assert!(text.starts_with(&*detail.row.head.summary));
    let worker = f.register("m", 1).await;
    let given = f.claim(worker, 1).await.remove(0);
    f.complete(given.lease, "{\"out\":\"\u{1F980}\\u0000\"}").await;
    let subtask = f.store.subtask(given.lease.subtask).await.unwrap().value.unwrap();
    assert_eq!(subtask.output.as_deref(), Some("{\"out\":\"\u{1F980}\\u0000\"}"));
}
