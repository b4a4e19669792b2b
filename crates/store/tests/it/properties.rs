//! Whatever is asked in whatever order: the promises hold, and the real store does what the model does.

use std::any::Any;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regatta_model::command::*;
use regatta_model::invariants::History;
use regatta_model::ledger::Effects;
use regatta_model::memory::Memory;
use regatta_model::*;
use regatta_services::database;
use regatta_store::memory::MemoryStore;
use regatta_store::postgres::PostgresStore;
use regatta_store::sqlite::{Options, SqliteStore, Synchronous};
use regatta_store::{LogQuery, Start, Store, TaskQuery, WorkerQuery};

use crate::sequences::{Move, World, any_move};
use crate::shown::Shown;
use crate::support::{Fixture, Gate, LEASE, Recorder, postgres, postgres_options, registration, sqlite};

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

/// After what else of its group a command comes: claims after what frees and fills, sweeps last.
fn phase_on_sqlite(command: &Command) -> u8 {
    match command {
        Command::Claim(_) => 1,
        Command::Sweep(_) => 2,
        _ => 0,
    }
}

/// The same on PostgreSQL, where each phase is a transaction of its own.
fn phase_on_postgres(command: &Command) -> u8 {
    match command {
        Command::Forget(_) | Command::ExtendLeases(_) => 2,
        command => phase_on_sqlite(command),
    }
}

/// What commands that are one transaction do to the model: one event for each task that changed.
fn apply_transaction(memory: &mut Memory, jobs: &[&(Timestamp, Command)]) -> Vec<Answer> {
    let mut effects = Effects::default();
    let apply = |(now, command): &&(Timestamp, Command)| {
        let Ok(answer) = ledger::apply(memory, &mut effects, *now, command);
        answer
    };
    let answers = jobs.iter().map(apply).collect();
    let latest = jobs.iter().map(|(now, _)| *now).max().unwrap();
    let Ok(()) = effects.seal(memory, latest);
    for event in effects.events {
        // What was deleted in the same transaction has no events any more.
        if memory.tasks.contains_key(&event.task.key) {
            memory.events.entry(event.task.key).or_default().push(event);
        }
    }
    answers
}

/// A store whose writer stands at a gate, and how it runs a group.
pub struct Gated {
    pub store: Arc<dyn Store>,
    pub gate: Arc<Gate>,
    phase: fn(&Command) -> u8,
    /// Whether each phase is a transaction of its own.
    parted: bool,
    /// Where it is kept.
    _kept: Box<dyn Any>,
}

impl Gated {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gate = Arc::new(Gate::default());
        let options = Options {
            synchronous: Synchronous::Off,
            group_millis: 600_000,
            ..Options::new(folder.path().join("test.db"))
        };
        let store = Arc::new(SqliteStore::open(options, gate.clone()).unwrap());
        Self { store, gate, phase: phase_on_sqlite, parted: false, _kept: Box::new(folder) }
    }

    pub async fn postgres() -> Option<Self> {
        let database = database("a PostgreSQL store at a gate")?;
        let gate = Arc::new(Gate::default());
        let store = Arc::new(PostgresStore::open(postgres_options(&database), gate.clone()).await.unwrap());
        Some(Self { store, gate, phase: phase_on_postgres, parted: true, _kept: Box::new(database) })
    }

    /// What a group does to the model, in the order that this store promises.
    fn apply(&self, memory: &mut Memory, group: &[(Timestamp, Command)]) -> Vec<Answer> {
        let mut order: Vec<usize> = (0..group.len()).collect();
        order.sort_by_key(|&place| (self.phase)(&group[place].1));
        let together = |a: &usize, b: &usize| !self.parted || (self.phase)(&group[*a].1) == (self.phase)(&group[*b].1);
        let mut answers: Vec<Option<Answer>> = vec![None; group.len()];
        for places in order.chunk_by(together) {
            let jobs: Vec<_> = places.iter().map(|&place| &group[place]).collect();
            for (&place, answer) in places.iter().zip(apply_transaction(memory, &jobs)) {
                answers[place] = Some(answer);
            }
        }
        answers.into_iter().map(Option::unwrap).collect()
    }

    /// The answers to commands that its writer finds waiting together.
    async fn group(&self, world: &mut World, memory: &mut Memory, group: &[(Timestamp, Command)]) -> Vec<Answer> {
        // A commit of its own, behind which the writer is held up until the group is together.
        let first = Command::Submit(Submit { tasks: vec![world.bystander()], idempotency: None });
        self.apply(memory, &[(world.now, first.clone())]);
        Gate::settle(&*self.store).await;
        self.gate.shut();
        self.store.execute(world.now, first).await.unwrap();
        let call = |(now, command): &(Timestamp, Command)| {
            let (store, now, command) = (self.store.clone(), *now, command.clone());
            tokio::spawn(async move { store.execute(now, command).await.unwrap().value })
        };
        let calls: Vec<_> = group.iter().map(call).collect();
        while self.store.health().await.queued < group.len() as u64 {
            tokio::task::yield_now().await;
        }
        self.gate.open();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        answers
    }
}

async fn run_groups(real: Gated, groups: &[Vec<Move>]) {
    let (mut memory, mut world) = (Memory::default(), World::new());
    for moves in groups {
        let group: Vec<(Timestamp, Command)> =
            moves.iter().filter_map(|step| world.command(step).map(|command| (world.now, command))).collect();
        if group.is_empty() {
            continue;
        }
        let found = real.group(&mut world, &mut memory, &group).await;
        let wanted = real.apply(&mut memory, &group);
        for ((found, wanted), (_, command)) in found.iter().zip(&wanted).zip(&group) {
            assert_eq!(found, wanted, "answer to {}", command.name());
            world.learn(wanted);
        }
    }
    let model = MemoryStore::with(memory, Arc::new(Recorder::default()));
    compare(&*real.store, &model, &world).await;
}

/// Sequences of groups against a store that each makes anew.
fn groups<F: Future<Output = Option<Gated>>>(cases: u32, store: fn() -> F) {
    // One thread, so that what is called in order is queued in order.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, max_shrink_iters: 400, ..Config::default() });
    runner
        .run(&prop::collection::vec(prop::collection::vec(any_move(), 1..12), 1..16), |groups| {
            runtime.block_on(async {
                if let Some(store) = store().await {
                    run_groups(store, &groups).await;
                }
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_group_on_sqlite_does_what_its_commands_do_one_after_the_other() {
    groups(40, || async { Some(Gated::sqlite()) });
}

#[test]
fn a_group_on_postgres_does_what_its_commands_do_one_after_the_other() {
    groups(8, Gated::postgres);
}
