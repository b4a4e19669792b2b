//! What an engine finds when it starts over a store that others used.

use regatta_engine::Options;
use regatta_engine::store::StoreExt;
use regatta_model::command::Reported;
use regatta_model::plan::{self, Brief};
use regatta_model::task::{NewPlan, NewTask, Start, TaskText};
use regatta_model::{Priority, Privacy, TaskId, TaskStatus, TaskType};

use crate::rig::{Rig, assigned, step, task};

#[tokio::test]
async fn a_restart_keeps_tasks_and_leases() {
    let rig = Rig::start(Options::default()).await;
    let mut line = rig.worker("one", &["claude_code"], 1).await;
    let running = rig.submit(task(TaskType::Custom, None)).await;
    let waiting = rig.submit(task(TaskType::Custom, None)).await;
    let given = assigned(&mut line).await;
    drop(line);
    let dir = rig.stop().await;

    let rig = Rig::over(dir, Options::default()).await;
    assert_eq!(rig.status(running).await, TaskStatus::InProgress);
    assert!(matches!(rig.complete(&given).await, Reported::Accepted { .. }));
    let mut line = rig.engine.open_line(given.worker).await.unwrap();
    rig.complete(&assigned(&mut line).await).await;
    rig.ended(waiting).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_plan_that_was_cut_off_is_finished() {
    let rig = Rig::start(Options::default()).await;
    let steps: Vec<_> = (0..1_200_u32).map(|n| step(&n.to_string(), &[], None)).collect();
    let requires = Default::default();
    let brief = Brief {
        description: "A long plan",
        task_type: TaskType::Custom,
        privacy: Privacy::Normal,
        priority: Priority::Normal,
        tool_preferences: &[],
        requires: &requires,
    };
    let first = plan::plan(&brief, Some(&steps)).unwrap().chunks(500).remove(0);
    let id = TaskId::from_random(uuid::Uuid::now_v7());
    // As a process leaves it that dies after the first chunk.
    let cut_off = NewTask {
        id,
        user: "tester".into(),
        task_type: TaskType::Custom,
        priority: Priority::Normal,
        text: TaskText {
            deferred_steps: Some(serde_json::to_string(&steps).unwrap().into()),
            ..TaskText::plain("A long plan")
        },
        start: Start::Now,
        plan: Some(NewPlan { steps: first, total: 1_200 }),
    };
    let submit = regatta_model::command::Submit { tasks: vec![cut_off], idempotency: None };
    rig.engine.store().run(rig.engine.now(), submit).await.unwrap();
    assert_eq!(rig.status(id).await, TaskStatus::Initializing);
    let dir = rig.stop().await;

    let rig = Rig::over(dir, Options::default()).await;
    let detail = rig.engine.decompose(id).await.unwrap();
    assert_eq!((detail.row.status, detail.subtasks.len()), (TaskStatus::InProgress, 1_200));
    rig.stop().await;
}
