//! Pages, filters and counters.

use regatta_model::command::*;
use regatta_model::task::Start as Begin;
use regatta_model::*;
use regatta_store::{Start, TaskQuery};

use crate::support::{Fixture, all_tasks, new_task, planned, whole};

pub async fn tasks_are_paged_both_ways(f: Fixture) {
    let tasks: Vec<_> = (0..25).map(|_| new_task(&[("a", &[])])).collect();
    let mut ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    ids.reverse();
    f.run(Submit { tasks, idempotency: None }).await;
    let page = async |start| {
        let query = TaskQuery { start, limit: 10, ..all_tasks() };
        let page = f.store.tasks(query).await.unwrap().value;
        (page.tasks.iter().map(|task| task.row.head.id).collect::<Vec<_>>(), page.next, page.total)
    };
    let (first, next, total) = page(Start::Offset(0)).await;
    assert_eq!(first, ids[..10]);
    assert_eq!(total.map(|total| (total.count, total.capped)), Some((25, false)));
    let (second, _, _) = page(Start::Offset(10)).await;
    let (after, next, total) = page(Start::After(next.unwrap())).await;
    assert_eq!((&second, &after, total), (&ids[10..20].to_vec(), &second, None));
    let (last, next, _) = page(Start::After(next.unwrap())).await;
    assert_eq!((last.as_slice(), next), (&ids[20..], None));
    assert_eq!(page(Start::Offset(1_000)).await.0, []);
}

pub async fn tasks_are_found_by_status_type_and_text(f: Fixture) {
    let mut tasks = Vec::new();
    for n in 0..12 {
        let mut task = new_task(if n % 3 == 0 { &[] } else { &[("a", &[])] });
        task.task_type = if n % 2 == 0 { TaskType::Custom } else { TaskType::Testing };
        task.text.description = format!("Number {n}: 100%_done \\ ÄÖ").into();
        tasks.push(task);
    }
    f.run(Submit { tasks, idempotency: None }).await;
    let count = async |query: TaskQuery| {
        let page = f.store.tasks(query.clone()).await.unwrap().value;
        assert_eq!(page.total.unwrap().count as usize, page.tasks.len(), "{query:?}");
        page.tasks.len()
    };
    let (status, task_type) = (Some(TaskStatus::InProgress), Some(TaskType::Testing));
    assert_eq!(count(TaskQuery { status, ..all_tasks() }).await, 8);
    assert_eq!(count(TaskQuery { task_type, ..all_tasks() }).await, 6);
    assert_eq!(count(TaskQuery { status, task_type, ..all_tasks() }).await, 4);
    let search = |text: &str| TaskQuery { search: Some(text.into()), ..all_tasks() };
    assert_eq!(count(search("nUMBER 1")).await, 3);
    assert_eq!(count(search("100%_done \\")).await, 12);
    assert_eq!(count(search("100__done")).await, 0, "wildcards are themselves");
    assert_eq!(count(search("ÄÖ")).await, 12);
    assert_eq!(count(TaskQuery { status, task_type, ..search("number 1") }).await, 2);
}

pub async fn a_list_says_what_is_first_in_the_queue(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &[]), ("c", &["a"])]).await;
    let first = async || {
        let page = f.store.tasks(all_tasks()).await.unwrap().value;
        page.tasks.iter().find(|task| task.row.head.id == id).unwrap().first_queued.clone()
    };
    assert_eq!(first().await.unwrap().key.position(), 0, "the one that is queued before b");
    let worker = f.register("m", 1).await;
    let given = f.claim(worker, 1).await.remove(0);
    assert_eq!(first().await, None, "something of it runs");
    f.fail(given.lease, "no").await;
    assert_eq!(first().await.unwrap().key.position(), 0, "what pauses keeps its place");
    f.run(CancelTask { task: id, reason: None }).await;
    assert_eq!(first().await, None);
}

pub async fn subtasks_are_listed_from_any_place(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &["a"]), ("c", &[]), ("d", &["c"]), ("e", &[])]).await;
    let list = async |first, limit, ready| {
        let rows = f.store.subtasks(id, first, limit, ready).await.unwrap().value.unwrap();
        rows.iter().map(|subtask| subtask.row.head.name.to_string()).collect::<String>()
    };
    assert_eq!(list(0, 100, false).await, "abcde");
    assert_eq!(list(1, 3, false).await, "bcd");
    assert_eq!(list(0, 2, true).await, "ac");
    assert_eq!(list(3, 100, true).await, "e");
    assert_eq!(list(9_999, 100, false).await, "");
}

pub async fn counters_follow_every_change(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &["a"])]).await;
    let mut waiting = new_task(&[]);
    waiting.start = Begin::OnRequest;
    let later = waiting.id;
    f.run(Submit { tasks: vec![waiting], idempotency: None }).await;
    let counted = async || {
        let counters = f.store.counters(f.now()).await.unwrap().value;
        (counters.tasks, counters.subtasks)
    };
    use SubtaskStatus as S;
    use TaskStatus as T;
    assert_eq!(counted().await, (vec![(T::Pending, 1), (T::InProgress, 1)], vec![(S::Pending, 1), (S::Queued, 1)]));
    let worker = f.register("m", 2).await;
    let given = f.claim(worker, 1).await.remove(0);
    assert_eq!(counted().await.1, [(S::Pending, 1), (S::InProgress, 1)]);
    f.complete(given.lease, "{}").await;
    assert_eq!(counted().await.1, [(S::Queued, 1), (S::Completed, 1)]);
    let given = f.claim(worker, 1).await.remove(0);
    f.complete(given.lease, "{}").await;
    f.run(PlanTask { task: later, plan: whole(planned(&[("x", &[])])) }).await;
    assert_eq!(counted().await.0, [(T::InProgress, 1), (T::Completed, 1)]);
    f.run(CancelTask { task: later, reason: None }).await;
    f.run(DeleteTask { task: id }).await;
    assert_eq!(counted().await, (vec![(T::Cancelled, 1)], vec![(S::Cancelled, 1)]));
    assert!(f.store.ready_lanes().await.unwrap().is_empty());
}
