//! Who gets what, and when.

use regatta_engine::Options;
use regatta_model::command::Reported;
use regatta_model::routing::Offer;
use regatta_model::task::Start;
use regatta_model::{Span, SubtaskStatus, TaskStatus, TaskType};

use crate::rig::{Rig, assigned, offer, soon, step, task};

#[tokio::test]
async fn a_task_goes_the_whole_way() {
    let rig = Rig::start(Options::default()).await;
    let mut line = rig.worker("one", &["claude_code"], 2).await;
    let id = rig.submit(task(TaskType::DevelopFeature, None)).await;
    let first = assigned(&mut line).await;
    assert_eq!((&*first.name, &*first.tool, &*first.context), ("Code Generation", "claude_code", "{}"));
    let reported = rig.report(&first, Ok(()), r#"{"lines":12}"#).await;
    assert_eq!(reported, Reported::Accepted { status: SubtaskStatus::Completed, progress: 25, newly_ready: 2 });
    let (review, tests) = (assigned(&mut line).await, assigned(&mut line).await);
    assert_eq!((&*review.name, &*tests.name), ("Code Review", "Test Generation"));
    assert_eq!(&*review.context, r#"{"Code Generation":{"lines":12}}"#);
    rig.complete(&tests).await;
    rig.complete(&review).await;
    rig.complete(&assigned(&mut line).await).await;
    let detail = rig.ended(id).await;
    assert_eq!((detail.row.status, detail.row.progress()), (TaskStatus::Completed, 100));
    rig.stop().await;
}

#[tokio::test]
async fn work_is_leased_in_the_commit_that_makes_it_where_a_worker_is_free() {
    let rig = Rig::start(Options::default()).await;
    let mut line = rig.worker("one", &["claude_code"], 1).await;
    let commits = || rig.engine.store().version().unwrap();
    // The writer may be awake before the claim is there, so not each time.
    for _ in 0..200 {
        let before = commits();
        rig.submit(task(TaskType::Custom, None)).await;
        let given = assigned(&mut line).await;
        let after = commits();
        rig.complete(&given).await;
        if after == before + 1 {
            rig.stop().await;
            return;
        }
    }
    panic!("each of 200 submissions took a commit of its own");
}

#[tokio::test]
async fn what_nobody_offers_waits_and_says_for_what() {
    let rig = Rig::start(Options::default()).await;
    let mut claude = rig.worker("one", &["claude_code"], 1).await;
    let id = rig.submit(task(TaskType::Custom, Some(vec![step("a", &[], Some("gemini_cli"))]))).await;
    let other = rig.submit(task(TaskType::Custom, Some(vec![step("b", &[], Some("claude_code"))]))).await;
    assert_eq!(&*assigned(&mut claude).await.name, "b");
    let row = &rig.engine.task(id).await.unwrap().subtasks[0].row;
    assert_eq!(
        rig.engine.waiting_for(row).unwrap(),
        "no online worker offers gemini_cli; start one: regatta worker --tools gemini_cli"
    );
    let stats = rig.engine.stats().await.unwrap();
    assert_eq!((stats.waiting[0].subtasks, stats.busy_slots), (1, 1));
    let mut gemini = rig.worker("two", &["gemini_cli"], 1).await;
    assert_eq!(&*assigned(&mut gemini).await.name, "a");
    assert_eq!(rig.status(other).await, TaskStatus::InProgress);
    rig.stop().await;
}

#[tokio::test]
async fn the_freest_worker_gets_it() {
    let rig = Rig::start(Options::default()).await;
    let mut lines = Vec::new();
    for (name, cpu) in [("loaded", 95.0), ("free", 5.0), ("middling", 50.0)] {
        let line = rig.worker(name, &["claude_code"], 1).await;
        let request = regatta_engine::HeartbeatRequest {
            said: regatta_model::WorkerStatus::Online,
            resources: Some(regatta_model::routing::Resources {
                cpu_percent: Some(cpu),
                memory_percent: Some(50.0),
                disk_percent: Some(50.0),
            }),
            figures: None,
            current_task: None,
            running: Some(Vec::new()),
        };
        rig.engine.heartbeat(line.worker().id, request).await.unwrap();
        lines.push(line);
    }
    // The fleet hears of heartbeats through the bus, a moment after they are answered.
    let free = lines[1].worker().id;
    let mut given = None;
    for _ in 0..20 {
        let id = rig.submit(task(TaskType::Custom, None)).await;
        let assignment = soon("an assignment", async {
            let [loaded, free, middling] = &mut lines[..] else { panic!() };
            tokio::select! { a = assigned(loaded) => a, a = assigned(free) => a, a = assigned(middling) => a }
        })
        .await;
        rig.complete(&assignment).await;
        rig.ended(id).await;
        given = Some(assignment.worker);
        if given == Some(free) {
            break;
        }
    }
    assert_eq!(given, Some(free));
    rig.stop().await;
}

#[tokio::test]
async fn a_reserved_worker_takes_only_what_asks_for_it() {
    let rig = Rig::start(Options::default()).await;
    let labels: regatta_model::routing::Labels = [("run".to_owned(), "7".to_owned())].into();
    let reserved = Offer { labels: labels.clone(), reserved: true, ..offer(&["claude_code"]) };
    let worker = rig.register("reserved", reserved, 4).await.worker;
    let mut line = rig.engine.open_line(worker).await.unwrap();
    let foreign = rig.submit(task(TaskType::Custom, None)).await;
    let mut own = task(TaskType::Custom, None);
    own.requires = labels;
    let own = rig.submit(own).await;
    assert_eq!(assigned(&mut line).await.lease.subtask.task(), own);
    let row = &rig.engine.task(foreign).await.unwrap().subtasks[0].row;
    assert_eq!(row.state.status(), SubtaskStatus::Queued);
    let why = rig.engine.waiting_for(row).unwrap();
    assert!(why.contains("reserved"), "{why}");
    rig.stop().await;
}

#[tokio::test]
async fn a_task_waits_for_its_start() {
    let rig = Rig::start(Options { sweep_milliseconds: 20, ..Options::default() }).await;
    let mut line = rig.worker("one", &["claude_code"], 4).await;
    let mut later = task(TaskType::Custom, None);
    later.start = Start::At(rig.engine.now() + Span::millis(200));
    let later = rig.submit(later).await;
    let mut asked = task(TaskType::BugFix, None);
    asked.start = Start::OnRequest;
    let asked = rig.submit(asked).await;
    let detail = rig.engine.task(asked).await.unwrap();
    assert_eq!((detail.row.status, detail.subtasks.len()), (TaskStatus::Pending, 0));
    assert!(rig.engine.task_waiting_for(&detail.row, None).unwrap().contains("decompose"));
    assert_eq!(assigned(&mut line).await.lease.subtask.task(), later);
    let (one, two) = tokio::join!(rig.engine.decompose(asked), rig.engine.decompose(asked));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.subtasks.len(), 3);
    assert_eq!(
        one.subtasks.iter().map(|s| s.row.head.id).collect::<Vec<_>>(),
        two.subtasks.iter().map(|s| s.row.head.id).collect::<Vec<_>>()
    );
    assert_eq!(assigned(&mut line).await.lease.subtask.task(), asked);
    rig.stop().await;
}

#[tokio::test]
async fn the_largest_plan_works_and_a_key_makes_it_once() {
    let rig = Rig::start(Options::default()).await;
    let steps: Vec<_> =
        (0..10_000_u32).map(|n| step(&n.to_string(), &if n == 0 { vec![] } else { vec!["0"] }, None)).collect();
    let key = || Some(regatta_engine::IdempotencyKey { key: "k".into(), body: 7 });
    let request = || vec![task(TaskType::Custom, Some(steps.clone()))];
    let (one, two) =
        tokio::join!(rig.engine.submit("tester", request(), key()), rig.engine.submit("tester", request(), key()));
    let id = one.unwrap()[0];
    assert_eq!(two.unwrap(), [id]);
    let detail = rig.engine.decompose(id).await.unwrap();
    assert_eq!((detail.row.status, detail.row.total, detail.subtasks.len()), (TaskStatus::InProgress, 10_000, 10_000));
    let mut line = rig.worker("one", &["claude_code"], 300).await;
    rig.complete(&assigned(&mut line).await).await;
    for _ in 0..300 {
        rig.complete(&assigned(&mut line).await).await;
    }
    assert!(rig.engine.progress(id).await.unwrap().completed >= 301);
    rig.engine.cancel(id, None).await.unwrap();
    let detail = rig.engine.task(id).await.unwrap();
    assert_eq!(detail.row.completed + detail.row.cancelled, 10_000);
    assert_eq!(detail.row.running, 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_backlog_for_one_worker_hides_no_work_of_another() {
    // No safety net: what is not given away when a slot becomes free is not given away at all.
    let rig = Rig::start(Options { poll_milliseconds: 3_600_000, ..Options::default() }).await;
    for tool in ["claude_code", "gemini_cli"] {
        for _ in 0..40 {
            rig.submit(task(TaskType::Custom, Some(vec![step("a", &[], Some(tool))]))).await;
        }
    }
    let mut claude = rig.worker("one", &["claude_code"], 1).await;
    let first = assigned(&mut claude).await;
    let mut gemini = rig.worker("two", &["gemini_cli"], 4).await;
    for _ in 0..40 {
        rig.complete(&assigned(&mut gemini).await).await;
    }
    rig.complete(&first).await;
    assigned(&mut claude).await;
    rig.stop().await;
}
