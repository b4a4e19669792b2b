//! What all checks of a run share: the server, how it is called, the run's label, the workers, and how it is cleaned up.
//!
//! Everything a run makes carries its label: workers are reserved for it, and tasks require it. A second label says for which
//! part of the run a worker is, so that a task which nobody shall run stays where it is. What is removed at the end is found by
//! that label, whatever a check that was cut off had noted.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use regatta_client::api::task::{CreateTask, CreateTasks, TaskIds, TasksQuery};
use regatta_client::api::worker::{RegisterWorker, WorkerSummary, WorkersQuery};
use regatta_client::api::{Step, TaskType};
use regatta_client::{Client, Options, RetryPolicy};
use uuid::Uuid;

use crate::blame::Pulse;
use crate::caller::Caller;
use crate::fixtures::{LABEL, SampleTasks, SampleWorkers, run_concurrent_timed};
use crate::fixtures::{sample_task_data_factory, sample_worker_data_factory};
use crate::platform::Fleet;
use crate::platform::hold;
use crate::trial::Trouble;

/// The label that says for which part of a run a worker is, or a task.
pub const PART: &str = "regatta-perf-part";
/// The part that no worker is for.
const NOBODY: &str = "nobody";
/// Rows a page, as many as the server gives.
pub const PAGE: u32 = 100;
/// The most tasks in one call.
const BATCH: usize = 1_000;
/// So many calls that only prepare are made at once.
const BOUND: usize = 32;
/// So long a server may rest while something is prepared or removed.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct World {
    /// Makes the calls that are measured.
    pub caller: Caller,
    /// Makes those that prepare.
    pub client: Client,
    /// The run: its label's value, and a word in all its descriptions.
    pub run: String,
    /// How late our own thread is.
    pub pulse: Pulse,
    /// The workers, when a check needs them.
    pub fleet: OnceCell<Fleet>,
    scale: f64,
    workers: RefCell<SampleWorkers>,
    tasks: RefCell<SampleTasks>,
    rounds: Cell<u64>,
}

impl World {
    /// The world of a server; its workers come later.
    pub fn new(caller: Caller, client: Client, run: String, scale: f64, pulse: Pulse) -> Self {
        Self {
            caller,
            client,
            workers: RefCell::new(sample_worker_data_factory(&run)),
            tasks: RefCell::new(sample_task_data_factory(&run)),
            run,
            pulse,
            fleet: OnceCell::new(),
            scale,
            rounds: Cell::new(0),
        }
    }

    /// A client for what only prepares.
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn client(url: &str, token: Option<&str>, tls_ca: Option<&std::path::Path>) -> Result<Client, Trouble> {
        let options = Options {
            server: url.to_owned(),
            token: token.map(str::to_owned),
            tls_ca: tls_ca.map(std::path::Path::to_owned),
            retry: RetryPolicy::within(PATIENCE),
            reconnect: RetryPolicy::none(),
            ..Options::default()
        };
        Ok(Client::new(options)?)
    }

    /// So many at this scale.
    pub fn scaled(&self, base: usize) -> usize {
        scaled(base, self.scale)
    }

    /// A worker to register: it takes nobody's work.
    pub fn worker(&self) -> RegisterWorker {
        self.workers.borrow_mut().make()
    }

    /// A worker for one part of the run.
    pub fn worker_for(&self, part: &str) -> RegisterWorker {
        let mut worker = self.worker();
        worker.labels.insert(PART.to_owned(), part.to_owned());
        worker.tools = vec![hold::TOOL.to_owned()];
        worker
    }

    /// A task to submit: planned by the server, and run by nobody.
    pub fn task(&self) -> CreateTask {
        let mut task = self.tasks.borrow_mut().make();
        task.requires.get_or_insert_default().insert(PART.to_owned(), NOBODY.to_owned());
        task
    }

    /// A task that waits for `decompose`.
    pub fn waiting_task(&self) -> CreateTask {
        CreateTask { start: false, ..self.task() }
    }

    /// A task of one step for the workers of a part of the run.
    pub fn task_for(&self, part: &str, round: &str) -> CreateTask {
        let mut input = regatta_client::api::JsonObject::new();
        input.insert("round".to_owned(), round.into());
        let step = Step { tool: Some(hold::TOOL.to_owned()), input: Some(input), ..Step::new("Hold") };
        let mut task = self.tasks.borrow_mut().make();
        task.task_type = TaskType::Custom;
        task.requires.get_or_insert_default().insert(PART.to_owned(), part.to_owned());
        task.subtasks = Some(vec![step]);
        task
    }

    /// A name that this run has not used before.
    pub fn fresh(&self, what: &str) -> String {
        self.rounds.set(self.rounds.get() + 1);
        format!("{what}-{}-{}", self.rounds.get(), self.run)
    }

    /// The workers, which the check said it needs.
    ///
    /// # Errors
    /// When there are none.
    pub fn fleet(&self) -> Result<&Fleet, Trouble> {
        self.fleet.get().ok_or_else(|| Trouble::new("this check needs workers, and there are none"))
    }

    /// Registers so many workers.
    ///
    /// # Errors
    /// When the server refuses one.
    pub async fn register(&self, count: usize) -> Result<Vec<Uuid>, Trouble> {
        let registering = (0..count).map(|_| async { self.client.register(&self.worker()).await });
        let registered = run_concurrent_timed(registering, Some(BOUND)).await.results;
        Ok(registered.into_iter().map(|one| one.map(|one| one.worker_id)).collect::<Result<_, _>>()?)
    }

    /// Submits these tasks.
    ///
    /// # Errors
    /// When the server refuses them.
    pub async fn submit(&self, tasks: impl IntoIterator<Item = CreateTask>) -> Result<Vec<Uuid>, Trouble> {
        let tasks: Vec<CreateTask> = tasks.into_iter().collect();
        let mut ids = Vec::with_capacity(tasks.len());
        for batch in tasks.chunks(BATCH) {
            let created = self.client.submit_batch(&CreateTasks { tasks: batch.to_vec() }).await?;
            ids.extend(created.tasks.into_iter().map(|task| task.task_id));
        }
        Ok(ids)
    }

    /// Submits so many tasks that nobody runs.
    ///
    /// # Errors
    /// As [`World::submit`].
    pub async fn submit_many(&self, count: usize) -> Result<Vec<Uuid>, Trouble> {
        self.submit((0..count).map(|_| self.task())).await
    }

    /// Removes what the run has made.
    ///
    /// # Errors
    /// When something is left, and how to find it.
    pub async fn sweep(&self) -> Result<(), Trouble> {
        self.remove_all().await.map_err(|error| {
            Trouble(format!(
                "what the run {0} has made could not be removed: {error}; workers carry the label {LABEL}={0}, tasks the text \
                 `{0}` in their description",
                self.run
            ))
        })
    }

    async fn remove_all(&self) -> Result<(), regatta_client::Error> {
        let query = WorkersQuery { label: Some(format!("{LABEL}={}", self.run)), ..WorkersQuery::default() };
        let workers = all_workers(&self.client, query).await?;
        let removing = workers.iter().map(|worker| async {
            self.client.unregister(worker.worker_id).await?;
            self.client.remove_worker(worker.worker_id).await
        });
        run_concurrent_timed(removing, Some(BOUND)).await.results.into_iter().collect::<Result<Vec<()>, _>>()?;
        loop {
            let query = TasksQuery { search: Some(self.run.clone()), limit: Some(PAGE), ..TasksQuery::default() };
            let page = self.client.tasks(&query).await?.tasks;
            if page.is_empty() {
                return Ok(());
            }
            let task_ids: Vec<Uuid> = page.iter().map(|task| task.task_id).collect();
            // One that has ended already is not cancelled, and is removed all the same.
            self.client.cancel_many(&TaskIds { task_ids: task_ids.clone(), reason: None }).await?;
            let removing = task_ids.into_iter().map(|id| self.client.remove_task(id));
            run_concurrent_timed(removing, Some(BOUND)).await.results.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
    }
}

/// So many at a scale; never none.
pub fn scaled(base: usize, scale: f64) -> usize {
    ((base as f64 * scale).round() as usize).max(1)
}

/// All workers that a query finds, page by page.
///
/// # Errors
/// When the server does not answer.
pub async fn all_workers(client: &Client, query: WorkersQuery) -> Result<Vec<WorkerSummary>, regatta_client::Error> {
    let mut query = WorkersQuery { limit: Some(PAGE), ..query };
    let mut rows = Vec::new();
    loop {
        let page = client.workers(&query).await?;
        rows.extend(page.workers);
        query.cursor = page.page.next_cursor;
        if query.cursor.is_none() {
            return Ok(rows);
        }
    }
}

/// The labels of a run's part.
pub fn labels(run: &str, part: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(LABEL.to_owned(), run.to_owned()), (PART.to_owned(), part.to_owned())])
}
