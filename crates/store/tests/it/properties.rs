//! Whatever is asked in whatever order: the promises hold, and the real store does what the model does.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regatta_model::command::*;
use regatta_model::memory::Memory;
use regatta_model::*;
use regatta_store::memory::MemoryStore;
use regatta_store::{LogQuery, Start, Store, TaskQuery, WorkerQuery};

use crate::invariants::History;
use crate::sequences::{Move, World, any_move};
use crate::support::{LEASE, Recorder, registration, sqlite};

/// Ends everything that was started: one willing worker, time, and sweeps.
fn drain(memory: &mut Memory, world: &mut World, history: &mut History) {
    for command in world.rest_of_plans() {
        memory.apply(world.now, &command);
    }
    let (answer, _) = memory.apply(world.now, &Command::Register(registration("the last", 1_000, Some(Vec::new()))));
    let Answer::Register(worker) = answer else { panic!("not {answer:?}") };
    for _ in 0..100 {
        let running = memory
            .tasks
            .values()
            .any(|(row, _)| matches!(row.status, TaskStatus::Initializing | TaskStatus::InProgress));
        if !running {
            return;
        }
        world.now = world.now + Span::seconds(100);
        memory.apply(world.now, &Command::Sweep(Sweep { limit: 1_000, jitter: 0 }));
        let takers = vec![(0, "t".into()); 1_000];
        let lanes =
            (1..=memory.lanes.len() as i64).map(|lane| LaneOffer { lane: LaneKey(lane), takers: takers.clone() });
        let seat = Seat { worker: worker.key, session: worker.session, free: 1_000 };
        let claim = Claim { seats: vec![seat], lanes: lanes.collect(), limit: 1_000, lease: LEASE, nonce: 1 };
        let (answer, _) = memory.apply(world.now, &Command::Claim(claim));
        let Answer::Claim(assignments) = answer else { panic!("not {answer:?}") };
        for assignment in assignments {
            let report = crate::support::report(assignment.lease, Ok(()), "{}");
            let (answer, _) = memory.apply(world.now, &Command::Report(report));
            assert!(matches!(answer, Answer::Report(Reported::Accepted { .. })), "{answer:?}");
        }
        history.check(memory);
    }
    let left: Vec<_> = memory.tasks.values().map(|(row, _)| (row.head.id, row.status)).collect();
    panic!("a task never ends: {left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold_in_any_sequence(moves in prop::collection::vec(any_move(), 1..150)) {
        let (mut memory, mut world, mut history) = (Memory::default(), World::new(), History::default());
        for step in &moves {
            let Some(command) = world.command(step) else { continue };
            let before = world.epochs();
            let (answer, _) = memory.apply(world.now, &command);
            if let Answer::Claim(assignments) = &answer {
                for assignment in assignments {
                    let older = before.get(&assignment.lease.subtask);
                    prop_assert!(older.is_none_or(|&older| assignment.lease.epoch > older), "a lease came again");
                }
            }
            world.learn(&answer);
            history.check(&memory);
        }
        drain(&mut memory, &mut world, &mut history);
    }
}

/// Compares everything that can be read.
async fn compare(real: &dyn Store, model: &dyn Store, world: &World) {
    macro_rules! same {
        ($($call:tt)+) => {{
            let (real, model) = (real.$($call)+.await.unwrap().value, model.$($call)+.await.unwrap().value);
            assert_eq!(real, model, "{}", stringify!($($call)+));
            real
        }};
    }
    let now = world.now;
    for &(id, _) in &world.tasks {
        let detail = same!(task(id));
        same!(progress(id));
        for (first, limit, ready) in [(0, 100, false), (1, 2, false), (0, 100, true)] {
            same!(subtasks(id, first, limit, ready));
        }
        for subtask in detail.iter().flat_map(|detail| &detail.subtasks) {
            same!(subtask(subtask.row.head.id));
        }
        for (after, limit) in [(0, 10_000), (3, 5)] {
            same!(events(id, after, limit));
        }
        for query in [LogQuery::After { seq: 0, limit: 1_000 }, LogQuery::After { seq: 4, limit: 2 }, LogQuery::Last(3)]
        {
            same!(logs(id, query));
        }
    }
    for worker in &world.workers {
        same!(worker(worker.worker, now));
    }
    let all = TaskQuery { status: None, task_type: None, search: None, start: Start::Offset(0), limit: 100 };
    let mut queries = vec![all.clone(), TaskQuery { start: Start::Offset(1), limit: 2, ..all.clone() }];
    queries.extend(TaskStatus::ALL.iter().map(|&status| TaskQuery { status: Some(status), limit: 2, ..all.clone() }));
    queries.push(TaskQuery { task_type: Some(TaskType::Testing), ..all.clone() });
    queries.push(TaskQuery { task_type: Some(TaskType::Custom), status: Some(TaskStatus::InProgress), ..all.clone() });
    queries.push(TaskQuery { search: Some("TASK 1".into()), ..all.clone() });
    queries.push(TaskQuery { search: Some("0%_s".into()), status: Some(TaskStatus::Failed), ..all.clone() });
    for query in queries {
        let page = same!(tasks(query.clone()));
        if let Some(next) = page.next {
            same!(tasks(TaskQuery { start: Start::After(next), ..query.clone() }));
        }
    }
    let all = WorkerQuery { status: None, tool: None, label: None, start: Start::Offset(0), limit: 2 };
    let mut queries = vec![all.clone(), WorkerQuery { tool: Some("u".into()), ..all.clone() }];
    queries.extend(WorkerStatus::ALL.iter().map(|&status| WorkerQuery { status: Some(status), ..all.clone() }));
    queries.push(WorkerQuery { label: Some(("room".into(), "\"é\"".into())), ..all.clone() });
    queries.push(WorkerQuery { label: Some(("room".into(), "é".into())), ..all });
    for query in queries {
        let page = same!(workers(query.clone(), now));
        if let Some(next) = page.next {
            same!(workers(WorkerQuery { start: Start::After(next), ..query.clone() }, now));
        }
    }
    same!(counters(now));
    assert_eq!(real.lanes(LaneKey(0)).await.unwrap(), model.lanes(LaneKey(0)).await.unwrap());
    assert_eq!(real.ready_lanes().await.unwrap(), model.ready_lanes().await.unwrap());
    assert_eq!(real.last_sweep().await.unwrap(), model.last_sweep().await.unwrap());
}

async fn run_both(moves: &[Move]) {
    let mut real = sqlite();
    let model = MemoryStore::new(std::sync::Arc::new(Recorder::default()));
    let mut world = World::new();
    for (place, step) in moves.iter().enumerate() {
        let Some(command) = world.command(step) else { continue };
        let name = command.name();
        let wanted = model.execute(world.now, command.clone()).await.unwrap().value;
        let found = real.store.execute(world.now, command).await.unwrap().value;
        assert_eq!(found, wanted, "answer to {name}, move {place}");
        world.learn(&wanted);
        if place == moves.len() / 2 {
            compare(&*real.store, &model, &world).await;
            // What only the writer remembered must be in the file.
            real = real.reopen(place % 2 == 0).await.unwrap();
        }
    }
    compare(&*real.store, &model, &world).await;
}

#[test]
fn the_real_store_does_what_the_model_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 60, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&prop::collection::vec(any_move(), 1..120), |moves| {
            runtime.block_on(run_both(&moves));
            Ok(())
        })
        .unwrap();
}
