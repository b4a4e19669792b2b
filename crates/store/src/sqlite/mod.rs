//! The embedded store: SQLite, one writer with group commit, readers beside it.
//!
//! [`open`] opens, locks and migrates; [`writer`] runs it in groups over [`rows`];
//! [`checkpoint`] empties the log; [`read`] answers queries; [`backup`] and [`restore`] copy the file whole. A row's columns are read by [`codec`]. Statements are files in `sql/`.

mod backup;
mod cache;
mod checkpoint;
mod codec;
mod error;
pub(crate) mod files;
mod lock;
mod migrate;
mod open;
mod pack_wide;
mod place;
mod read;
mod restore;
mod rows;
mod schema;
mod sql;
mod tokens;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use regatta_model::command::{Answer, Command};
use regatta_model::routing::Lane;
use regatta_model::task::Progress;
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::{LaneKey, SubtaskId, TaskId, Timestamp, TokenId, WorkerId};
use uuid::Uuid;

pub use backup::{Contents, backup, inspect};
pub use open::{Options, Synchronous};
pub use restore::{Restored, restore};
pub use schema::{migrate, schema};
pub use tokens::TokenFile;

use crate::query::{
    Counters, EventPage, LogPage, LogQuery, Pool, StoreHealth, SubtaskDetail, SubtaskSummary, TaskDetail, TaskPage,
    TaskQuery, WorkerDetail, WorkerPage, WorkerQuery,
};
use crate::queue::{Job, Queue};
use crate::{Sink, Store, StoreError, Timed};
use checkpoint::Checkpoints;
use error::DbError;
use lock::DatabaseLock;
use place::Place;
use read::Readers;
use rows::SqliteRows;
use writer::Writer;

/// No sweep in this process yet.
const NO_SWEEP: i64 = i64::MIN;

/// A store in one SQLite file.
pub struct SqliteStore {
    queue: Arc<Queue>,
    readers: Arc<Readers>,
    place: Arc<Place>,
    checkpoints: Arc<Checkpoints>,
    cluster: Uuid,
    last_sweep: AtomicI64,
    version: Arc<AtomicU64>,
    /// The writer and the checkpointer, until they are waited for.
    threads: tokio::sync::Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
    lock: DatabaseLock,
}

impl Threads {
    /// Waits for what is queued to be done, then lets the file go. Call after the queue is closed.
    fn finish(self, checkpoints: &Checkpoints, readers: &Readers) {
        // A thread that panicked has said so already.
        let _ = self.writer.join();
        readers.close();
        // The last connection to go is one that writes: SQLite then folds the log into the database and removes it.
        checkpoints.close();
        let _ = self.checkpointer.join();
        drop(self.lock);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| StoreError::Open(format!("no thread could be started for the store: {error}")))
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| {
        StoreError::Open(format!(
            "the folder {} for the database cannot be made: {error}; make it, or choose another place",
            folder.display()
        ))
    })
}

impl SqliteStore {
    /// Opens the database, makes it where it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`] with a sentence that says what to do: another server uses it, it cannot be written,
    /// it is no database, or a newer regatta wrote it.
    pub fn open(options: Options, sink: Arc<dyn Sink>) -> Result<Self, StoreError> {
        if options.path.as_os_str().is_empty() {
            return Err(StoreError::Open("no database is named; name a file".into()));
        }
        make_folder(&options.path)?;
        let lock = DatabaseLock::take(&options.path)?;
        let conn = open::writer(&options)?;
        let at_open = |error: DbError| match &error {
            DbError::Sql(sql) => open::cannot_open(&options.path, sql),
            _ => StoreError::Open(format!("{}: {error}", options.path.display())),
        };
        let place = Arc::new(Place::of(&options.path).map_err(|error| {
            StoreError::Open(format!("the database {} cannot be looked at: {error}", options.path.display()))
        })?);
        let cluster = open::cluster_id(&conn).map_err(|error| at_open(error.into()))?;
        let copier = open::checkpointer(&options).map_err(|error| at_open(error.into()))?;
        if options.synchronous == Synchronous::Full {
            checkpoint::lengthen_log(&conn, &options.path).map_err(|error| at_open(error.into()))?;
        }
        let rows = SqliteRows::new(conn).map_err(at_open)?;
        let queue = Arc::new(Queue::new(options.queue_rows));
        let checkpoints = Arc::new(Checkpoints::default());
        let group_time = Duration::from_millis(options.group_millis);
        let version = Arc::new(AtomicU64::new(0));
        let writer =
            Writer::new(rows, place.clone(), sink, queue.clone(), checkpoints.clone(), version.clone(), group_time);
        let writer = spawn("store-writer", move || writer.run())?;
        let copying = checkpoints.clone();
        let checkpointer = spawn("store-checkpoints", move || copying.run(&copier))?;
        Ok(Self {
            queue,
            readers: Arc::new(Readers::new(options)),
            place,
            checkpoints,
            cluster,
            last_sweep: AtomicI64::new(NO_SWEEP),
            version,
            threads: tokio::sync::Mutex::new(Some(Threads { writer, checkpointer, lock })),
        })
    }

    /// Changes tokens, which waits for the writer's transaction: not on a thread that serves others.
    async fn with_tokens<T: Send + 'static>(
        &self,
        change: impl FnOnce(&TokenFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Closed);
        }
        let options = self.readers.options().clone();
        tokio::task::spawn_blocking(move || change(&TokenFile::beside(&options)?))
            .await
            .map_err(|error| StoreError::Database(format!("the change of a token was given up: {error}")))?
    }

    /// Commands that wait for the writer.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Statements that reads have run so far, to see that a read's number does not grow with its rows.
    pub fn read_statements(&self) -> u64 {
        self.readers.statements()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(threads) = self.threads.get_mut().take() {
            threads.finish(&self.checkpoints, &self.readers);
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn cluster_id(&self) -> Uuid {
        self.cluster
    }

    async fn execute(&self, now: Timestamp, command: Command) -> Result<Timed<Answer>, StoreError> {
        let sweep = matches!(command, Command::Sweep(_));
        let (job, answered) = Job::new(now, command);
        self.queue.push(job)?;
        // The writer answers everything it took, unless it was ended with the process.
        let answer = answered.await.map_err(|_| StoreError::Closed)??;
        if sweep {
            self.last_sweep.store(now.0, Ordering::Release);
        }
        Ok(answer)
    }

    async fn task(&self, id: TaskId) -> Result<Timed<Option<TaskDetail>>, StoreError> {
        self.readers.read(|reader| reader.task(id))
    }

    async fn progress(&self, id: TaskId) -> Result<Timed<Option<Progress>>, StoreError> {
        self.readers.read(|reader| reader.progress(id))
    }

    async fn tasks(&self, query: TaskQuery) -> Result<Timed<TaskPage>, StoreError> {
        if query.search.is_none() {
            return self.readers.read(|reader| reader.tasks(&query));
        }
        // A search reads every description there is: not on a thread that serves others.
        let readers = self.readers.clone();
        tokio::task::spawn_blocking(move || readers.read(|reader| reader.tasks(&query)))
            .await
            .map_err(|error| StoreError::Database(format!("the search was given up: {error}")))?
    }

    async fn subtask(&self, id: SubtaskId) -> Result<Timed<Option<SubtaskDetail>>, StoreError> {
        self.readers.read(|reader| reader.subtask(id))
    }

    async fn subtasks(
        &self,
        id: TaskId,
        first: u16,
        limit: u32,
        ready_only: bool,
    ) -> Result<Timed<Option<Vec<SubtaskSummary>>>, StoreError> {
        self.readers.read(|reader| reader.subtasks(id, first, limit, ready_only))
    }

    async fn events(&self, id: TaskId, after: u64, limit: u32) -> Result<Timed<Option<EventPage>>, StoreError> {
        self.readers.read(|reader| reader.events(id, after, limit))
    }

    async fn logs(&self, id: TaskId, query: LogQuery) -> Result<Timed<Option<LogPage>>, StoreError> {
        self.readers.read(|reader| reader.logs(id, query))
    }

    async fn workers(&self, query: WorkerQuery, now: Timestamp) -> Result<Timed<WorkerPage>, StoreError> {
        self.readers.read(|reader| reader.workers(&query, now))
    }

    async fn worker(&self, id: WorkerId, now: Timestamp) -> Result<Timed<Option<WorkerDetail>>, StoreError> {
        self.readers.read(|reader| reader.worker(id, now))
    }

    async fn counters(&self, now: Timestamp) -> Result<Timed<Counters>, StoreError> {
        self.readers.read(|reader| reader.counters(now))
    }

    async fn lanes(&self, after: LaneKey) -> Result<Vec<(LaneKey, Lane)>, StoreError> {
        Ok(self.readers.read(|reader| reader.lanes(after))?.value)
    }

    async fn ready_lanes(&self) -> Result<Vec<(LaneKey, u64)>, StoreError> {
        Ok(self.readers.read(|reader| reader.ready_lanes())?.value)
    }

    async fn last_sweep(&self) -> Result<Option<Timestamp>, StoreError> {
        match self.last_sweep.load(Ordering::Acquire) {
            NO_SWEEP => Ok(self.readers.read(|reader| reader.last_sweep())?.value),
            at => Ok(Some(Timestamp(at))),
        }
    }

    async fn restored_at(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.readers.read(|reader| reader.restored_at())?.value)
    }

    fn version(&self) -> Option<u64> {
        Some(self.version.load(Ordering::Acquire))
    }

    async fn add_token(&self, token: TokenRow) -> Result<(), StoreError> {
        self.with_tokens(move |tokens| tokens.add(&token)).await
    }

    async fn revoke_token(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        self.with_tokens(move |tokens| tokens.revoke(id, now)).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        Ok(self.readers.read(|reader| reader.tokens())?.value)
    }

    async fn token(&self, hash: TokenHash) -> Result<Option<TokenRow>, StoreError> {
        Ok(self.readers.read(|reader| reader.token(&hash))?.value)
    }

    async fn health(&self) -> StoreHealth {
        let started = Instant::now();
        let answered = match self.queue.is_closed() {
            true => Err(StoreError::Closed),
            false => self.readers.read(|reader| {
                self.place.look()?;
                reader.last_sweep()
            }),
        };
        let (size, in_use) = self.readers.connections();
        StoreHealth {
            connected: answered.is_ok(),
            error: answered.err().map(|error| error.to_string()),
            latency: started.elapsed(),
            pools: vec![Pool { name: "readers".into(), size, in_use, waiting: 0 }],
            queued: self.queue.len() as u64,
        }
    }

    async fn close(&self) {
        self.queue.close();
        // Whoever comes second waits here until the first is through.
        let mut threads = self.threads.lock().await;
        if let Some(threads) = threads.take() {
            let (checkpoints, readers) = (self.checkpoints.clone(), self.readers.clone());
            let finished = tokio::task::spawn_blocking(move || threads.finish(&checkpoints, &readers)).await;
            if let Err(error) = finished {
                tracing::error!(%error, "the store did not close cleanly");
            }
        }
    }
}
