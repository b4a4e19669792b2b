//! A store to test, a clock that moves when told, and short ways to say what a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use regatta_model::command::*;
use regatta_model::event::Event;
use regatta_model::ledger::ProgressChange;
use regatta_model::plan::{self, Brief, NewSteps, Plan, PlannedStep, Step};
use regatta_model::routing::{Labels, Lane, Offer};
use regatta_model::task::{NewPlan, NewTask, Start, TaskText};
use regatta_model::worker::{Profile, Registration};
use regatta_model::*;
use regatta_services::{Database, database};
use regatta_store::memory::MemoryStore;
use regatta_store::postgres::{self, PostgresStore};
use regatta_store::sqlite::{Options, SqliteStore, Synchronous};
use regatta_store::{Committed, Sink, Start as From, Store, StoreExt, TaskQuery, WorkerQuery};
use uuid::Uuid;

/// Keeps all that it is told, in order.
#[derive(Default)]
pub struct Recorder {
    pub told: Mutex<Vec<Told>>,
}

/// One call of the sink.
#[derive(Debug, Clone)]
pub enum Told {
    Progressed(Vec<ProgressChange>),
    Committed(Committed),
}

impl Sink for Recorder {
    fn progressed(&self, changes: &[ProgressChange]) {
        self.told.lock().push(Told::Progressed(changes.to_vec()));
    }
    fn committed(&self, effects: Committed) {
        self.told.lock().push(Told::Committed(effects));
    }
}

/// Holds the writer up after a commit while it is shut.
#[derive(Default)]
pub struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    groups: AtomicU64,
}

impl Gate {
    /// Until the sink has heard of every commit so far: it hears of one after its answers and before the next.
    pub async fn settle(store: &dyn Store) {
        store.run(BEGIN, Acknowledge { worker: WorkerId(Uuid::nil()) }).await.unwrap();
    }
    /// From the next commit on the writer waits behind it.
    pub fn shut(&self) {
        *self.shut.lock() = true;
    }
    /// It goes on.
    pub fn open(&self) {
        *self.shut.lock() = false;
        self.opened.notify_all();
    }
    /// Commits so far.
    pub fn groups(&self) -> u64 {
        self.groups.load(Ordering::SeqCst)
    }
}

impl Sink for Gate {
    fn progressed(&self, _: &[ProgressChange]) {}
    fn committed(&self, _: Committed) {
        self.groups.fetch_add(1, Ordering::SeqCst);
        let mut shut = self.shut.lock();
        while *shut {
            self.opened.wait(&mut shut);
        }
    }
}

/// A store under test. What it needs on disk goes when it does.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub sink: Arc<Recorder>,
    now: AtomicI64,
    kept: Kept,
}

/// Where a store is kept, so that it can be opened again.
enum Kept {
    Nowhere,
    Folder(tempfile::TempDir),
    Database(Database),
}

/// When tests begin.
pub const BEGIN: Timestamp = Timestamp(1_700_000_000_000_000);
/// Leases of tests.
pub const LEASE: Span = Span::seconds(90);

static IDS: AtomicU64 = AtomicU64::new(1);

/// An id that no other call gave.
pub fn fresh_uuid() -> Uuid {
    Uuid::from_u128(u128::from(IDS.fetch_add(1, Ordering::Relaxed)) << 20)
}

fn options(folder: &tempfile::TempDir) -> Options {
    Options { synchronous: Synchronous::Off, ..Options::new(folder.path().join("deep/er/test.db")) }
}

/// A fresh store in memory.
pub async fn memory() -> Option<Fixture> {
    let sink = Arc::new(Recorder::default());
    let store = Arc::new(MemoryStore::new(sink.clone()));
    Some(Fixture { store, sink, now: AtomicI64::new(BEGIN.0), kept: Kept::Nowhere })
}

/// A fresh SQLite store.
pub async fn sqlite() -> Option<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(Recorder::default());
    let store = Arc::new(SqliteStore::open(options(&folder), sink.clone()).unwrap());
    Some(Fixture { store, sink, now: AtomicI64::new(BEGIN.0), kept: Kept::Folder(folder) })
}

/// A fresh store in a PostgreSQL database of its own; `None` where there is no PostgreSQL.
pub async fn postgres() -> Option<Fixture> {
    let database = database("the PostgreSQL store")?;
    let sink = Arc::new(Recorder::default());
    let store = Arc::new(PostgresStore::open(postgres_options(&database), sink.clone()).await.unwrap());
    Some(Fixture { store, sink, now: AtomicI64::new(BEGIN.0), kept: Kept::Database(database) })
}

/// With a clock that moves when told.
pub fn postgres_options(database: &Database) -> postgres::Options {
    postgres::Options { time: postgres::Time::Given, pool_size: 4, ..postgres::Options::new(database.url()) }
}

impl Fixture {
    /// A store that a test opened itself, at this time.
    pub fn over(store: Arc<dyn Store>, now: Timestamp) -> Self {
        Self { store, sink: Arc::default(), now: AtomicI64::new(now.0), kept: Kept::Nowhere }
    }

    /// The file of one that has a file.
    pub fn file(&self) -> std::path::PathBuf {
        let Kept::Folder(folder) = &self.kept else { panic!("it has no file") };
        options(folder).path
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    /// Lets time pass.
    pub fn pass(&self, span: Span) {
        self.now.fetch_add(span.0, Ordering::Relaxed);
    }

    /// Does one command and returns its answer.
    pub async fn run<O: Operation>(&self, operation: O) -> O::Answer {
        self.store.run(self.now(), operation).await.unwrap().value
    }

    /// The same store opened again, as after a restart; `None` where there is nothing to open again. The store
    /// is closed first when `gently`, else just dropped.
    pub async fn reopen(self, gently: bool) -> Option<Self> {
        let Self { store, sink, now, kept } = self;
        if matches!(kept, Kept::Nowhere) {
            return None;
        }
        if gently {
            store.close().await;
            store.close().await;
        }
        drop(store);
        let store: Arc<dyn Store> = match &kept {
            Kept::Nowhere => return None,
            Kept::Folder(folder) => Arc::new(SqliteStore::open(options(folder), sink.clone()).unwrap()),
            Kept::Database(database) => {
                Arc::new(PostgresStore::open(postgres_options(database), sink.clone()).await.unwrap())
            }
        };
        Some(Self { store, sink, now, kept })
    }

    /// The last key that the database took for a task. Those that a store had taken and not used when it ended are used no more.
    pub async fn last_task_key(&self) -> Option<i64> {
        let Kept::Database(database) = &self.kept else { return None };
        let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
        let _connection = tokio::spawn(connection);
        let row = client.query_one("SELECT last_value, is_called FROM task_keys", &[]).await.unwrap();
        row.get::<_, bool>(1).then(|| row.get(0))
    }

    /// Everything published so far. The sink hears of a commit after its answers and before the next one.
    pub async fn events(&self) -> Vec<Event> {
        Gate::settle(&*self.store).await;
        let told = self.sink.told.lock();
        let committed = told.iter().filter_map(|told| match told {
            Told::Committed(effects) => Some(effects.events.clone()),
            Told::Progressed(_) => None,
        });
        committed.flatten().collect()
    }

    /// Submits one task with these steps, `(name, dependencies)`, for the tool `t`.
    pub async fn submit(&self, steps: &[(&str, &[&str])]) -> TaskId {
        let task = new_task(steps);
        let id = task.id;
        assert_eq!(self.run(Submit { tasks: vec![task], idempotency: None }).await, Submitted::Made);
        id
    }

    /// Registers a worker for the tool `t`.
    pub async fn register(&self, machine: &str, slots: u32) -> Registered {
        self.run(registration(machine, slots, None)).await.unwrap()
    }

    /// Claims up to `limit` for one worker from all lanes.
    pub async fn claim(&self, worker: Registered, limit: u32) -> Vec<Assignment> {
        let lanes = self.store.lanes(LaneKey(0)).await.unwrap();
        let lanes = lanes
            .into_iter()
            .map(|(lane, _)| LaneOffer { lane, takers: vec![(0, "t".into()); limit as usize] })
            .collect();
        let seat = Seat { worker: worker.key, session: worker.session, free: limit };
        self.run(Claim { seats: vec![seat], lanes, limit, lease: LEASE, nonce: 7 }).await
    }

    /// Reports a success with this output.
    pub async fn complete(&self, lease: Lease, output: &str) -> Reported {
        self.run(report(lease, Ok(()), output)).await
    }

    /// Reports a failure.
    pub async fn fail(&self, lease: Lease, error: &str) -> Reported {
        self.run(report(lease, Err(error.into()), "{}")).await
    }

    /// A subtask's row.
    pub async fn row(&self, id: SubtaskId) -> subtask::SubtaskRow {
        self.store.subtask(id).await.unwrap().value.unwrap().row
    }

    /// A task's row.
    pub async fn task(&self, id: TaskId) -> task::TaskRow {
        self.store.task(id).await.unwrap().value.unwrap().row
    }

    /// A heartbeat that names what runs.
    pub async fn heartbeat(&self, worker: WorkerId, running: Option<Vec<Lease>>) -> Heard {
        self.run(heartbeat(worker, running)).await
    }

    /// A sweep.
    pub async fn sweep(&self) -> Swept {
        self.run(Sweep { limit: 100, jitter: 32_768 }).await
    }
}

/// A heartbeat that names what runs.
pub fn heartbeat(worker: WorkerId, running: Option<Vec<Lease>>) -> Heartbeat {
    let resources = routing::Resources { cpu_percent: Some(10.0), memory_percent: None, disk_percent: Some(0.5) };
    Heartbeat {
        worker,
        said: WorkerStatus::Idle,
        resources: Some(resources),
        figures: Some(r#"{"load_1m":0.25}"#.into()),
        current_task: None,
        running,
        lease: LEASE,
        late: false,
    }
}

/// A result under a lease.
pub fn report(lease: Lease, result: Result<(), Arc<str>>, output: &str) -> Report {
    Report {
        subtask: lease.subtask,
        lease: Some(lease),
        by: None,
        bound: None,
        result,
        output: output.into(),
        execution_time: 1.25,
        exit_code: Some(0),
        simulated: false,
        jitter: 32_768,
    }
}

/// A registration for the tool `t`.
pub fn registration(machine: &str, slots: u32, running: Option<Vec<Lease>>) -> Register {
    let offer = Offer { tools: vec!["t".into()], ..Offer::default() };
    let profile = Profile { machine_id: machine.into(), machine_name: machine.into(), offer, slots, owner: None };
    let registration = Registration {
        new_id: WorkerId(fresh_uuid()),
        profile: Arc::new(profile),
        system_info: r#"{"os":"test"}"#.into(),
    };
    Register { registration, take_over: TakeOver::Any, running, lease: LEASE }
}

/// A plan of steps `(name, dependencies)` for the tool `t`.
pub fn planned(steps: &[(&str, &[&str])]) -> Plan {
    let steps: Vec<Step> = steps
        .iter()
        .map(|(name, depends_on)| Step {
            name: (*name).to_owned(),
            description: None,
            depends_on: depends_on.iter().map(|&name| name.to_owned()).collect(),
            tool: Some("t".into()),
            requires: Labels::new(),
            input: (name.len() % 2 == 0).then(|| r#"{"x":1}"#.into()),
            complexity: 2,
            priority: 0,
            timeout_seconds: 3_600,
            max_attempts: 3,
        })
        .collect();
    let requires = Labels::new();
    let brief = Brief {
        // As that of `new_task`, so that what a step is to do is made up by the store where it has no input.
        description: "do what is to be done",
        task_type: TaskType::Custom,
        privacy: Privacy::Normal,
        priority: Priority::Normal,
        tool_preferences: &[],
        requires: &requires,
    };
    plan::plan(&brief, Some(&steps)).unwrap()
}

/// A whole plan.
pub fn whole(plan: Plan) -> NewPlan {
    let total = plan.steps.len() as u32;
    NewPlan { steps: NewSteps { first: 0, steps: plan.steps }, total }
}

/// A task with a plan of steps `(name, dependencies)`; without steps, without a plan.
pub fn new_task(steps: &[(&str, &[&str])]) -> NewTask {
    let plan = (!steps.is_empty()).then(|| whole(planned(steps)));
    NewTask {
        id: TaskId::from_random(fresh_uuid()),
        user: "local".into(),
        task_type: TaskType::Custom,
        priority: Priority::Normal,
        text: TaskText { metadata: Some(r#"{"b":1,"a":2}"#.into()), ..TaskText::plain("do what is to be done") },
        start: if plan.is_some() { Start::Now } else { Start::OnRequest },
        plan,
    }
}

/// A step without dependencies in a lane of its own.
pub fn step_in(lane: Lane, name: &str) -> PlannedStep {
    PlannedStep { lane, ..planned(&[(name, &[])]).steps.remove(0) }
}

/// All tasks, from the newest on.
pub fn all_tasks() -> TaskQuery {
    TaskQuery { status: None, task_type: None, search: None, start: From::Offset(0), limit: 100 }
}

/// All workers, from the newest on.
pub fn all_workers() -> WorkerQuery {
    WorkerQuery { status: None, tool: None, label: None, start: From::Offset(0), limit: 100 }
}
