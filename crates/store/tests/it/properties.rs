//! Whatever is asked in whatever order: the promises hold, and the real store does what the model does.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regatta_model::command::*;
use regatta_model::invariants::History;
use regatta_model::ledger::Effects;
use regatta_model::memory::Memory;
use regatta_model::*;
use regatta_store::memory::MemoryStore;
use regatta_store::sqlite::{Options, SqliteStore, Synchronous};
use regatta_store::{LogQuery, Start, Store, TaskQuery, WorkerQuery};

use crate::sequences::{Move, World, any_move};
use crate::shown::Shown;
use crate::support::{Fixture, Gate, LEASE, Recorder, postgres, registration, sqlite};

/// Ends everything that was started: one willing worker, time, and sweeps.
fn drain(memory: &mut Memory, world: &mut World, history: &mut History) {
    for command in world.rest_of_plans() {
        memory.apply(world.now, &command);
    }
    let (answer, _) = memory.apply(world.now, &Command::Register(registration("the last", 1_000, Some(Vec::new()))));
    let Answer::Register(Ok(worker)) = answer else { panic!("not {answer:?}") };
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
        let mut shown = Shown::default();
        for step in &moves {
            let Some(command) = world.command(step) else { continue };
            let before = world.epochs();
            let (answer, effects) = memory.apply(world.now, &command);
            if let Answer::Claim(assignments) = &answer {
                for assignment in assignments {
                    let older = before.get(&assignment.lease.subtask);
                    prop_assert!(older.is_none_or(|&older| assignment.lease.epoch > older), "a lease came again");
                }
            }
            world.learn(&answer);
            history.check(&memory);
            shown.check(&memory, &effects);
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
}

async fn run_both(mut real: Fixture, moves: &[Move]) {
    let model = MemoryStore::new(Arc::new(Recorder::default()));
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
            assert_eq!(real.store.last_sweep().await.unwrap(), model.last_sweep().await.unwrap());
            // What only the writer remembered must be in the file.
            real = real.reopen(place % 2 == 0).await.unwrap();
            if let Some(last) = real.last_task_key().await {
                model.skip_task_keys(last);
            }
        }
    }
    compare(&*real.store, &model, &world).await;
}

/// Sequences of commands against a store that each makes anew.
fn sequences<F: Future<Output = Option<Fixture>>>(cases: u32, store: fn() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, max_shrink_iters: 400, ..Config::default() });
    runner
        .run(&prop::collection::vec(any_move(), 1..120), |moves| {
            runtime.block_on(async {
                if let Some(store) = store().await {
                    run_both(store, &moves).await;
                }
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn sqlite_does_what_the_model_does() {
    sequences(60, sqlite);
}

#[test]
fn postgres_does_what_the_model_does() {
    sequences(30, postgres);
}

/// What a group of commands does to the model: as the store promises, claims after what frees and fills, sweeps
/// last, and one event for each task that changed.
fn apply_group(memory: &mut Memory, group: &[(Timestamp, Command)]) -> Vec<Answer> {
    let mut order: Vec<usize> = (0..group.len()).collect();
    order.sort_by_key(|&place| match group[place].1 {
        Command::Claim(_) => 1,
        Command::Sweep(_) => 2,
        _ => 0,
    });
    let mut effects = Effects::default();
    let mut answers: Vec<Option<Answer>> = vec![None; group.len()];
    for place in order {
        let (now, command) = &group[place];
        let Ok(answer) = ledger::apply(memory, &mut effects, *now, command);
        answers[place] = Some(answer);
    }
    let latest = group.iter().map(|(now, _)| *now).max().unwrap();
    let Ok(()) = effects.seal(memory, latest);
    for event in effects.events {
        // What was deleted in the same group has no events any more.
        if memory.tasks.contains_key(&event.task.key) {
            memory.events.entry(event.task.key).or_default().push(event);
        }
    }
    answers.into_iter().map(Option::unwrap).collect()
}

async fn run_groups(groups: &[Vec<Move>]) {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(Gate::default());
    let options =
        Options { synchronous: Synchronous::Off, group_millis: 600_000, ..Options::new(folder.path().join("test.db")) };
    let real = Arc::new(SqliteStore::open(options, sink.clone()).unwrap());
    let (mut memory, mut world) = (Memory::default(), World::new());
    for moves in groups {
        let group: Vec<(Timestamp, Command)> =
            moves.iter().filter_map(|step| world.command(step).map(|command| (world.now, command))).collect();
        if group.is_empty() {
            continue;
        }
        // A commit of its own, behind which the writer is held up until the group is together.
        let first = Command::Submit(Submit { tasks: vec![world.bystander()], idempotency: None });
        apply_group(&mut memory, &[(world.now, first.clone())]);
        Gate::settle(&*real).await;
        sink.shut();
        real.execute(world.now, first).await.unwrap();
        let call = |(now, command): &(Timestamp, Command)| {
            let (real, now, command) = (real.clone(), *now, command.clone());
            tokio::spawn(async move { real.execute(now, command).await.unwrap().value })
        };
        let calls: Vec<_> = group.iter().map(call).collect();
        while real.queued() < group.len() {
            tokio::task::yield_now().await;
        }
        sink.open();
        let wanted = apply_group(&mut memory, &group);
        for ((call, wanted), (_, command)) in calls.into_iter().zip(wanted).zip(&group) {
            assert_eq!(call.await.unwrap(), wanted, "answer to {}", command.name());
            world.learn(&wanted);
        }
    }
    let model = MemoryStore::with(memory, Arc::new(Recorder::default()));
    compare(&*real, &model, &world).await;
}

#[test]
fn a_group_does_what_its_commands_do_one_after_the_other() {
    // One thread, so that what is called in order is queued in order.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, max_shrink_iters: 400, ..Config::default() });
    let groups = prop::collection::vec(prop::collection::vec(any_move(), 1..12), 1..16);
    runner
        .run(&groups, |groups| {
            runtime.block_on(run_groups(&groups));
            Ok(())
        })
        .unwrap();
}
