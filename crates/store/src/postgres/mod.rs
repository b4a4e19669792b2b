//! The store of many nodes: PostgreSQL, one writer with group commit in each node, a pool of readers beside it.
//!
//! [`connect`] reaches the server; [`migrate`] brings the schema up to date; [`writer`] runs what waits in groups over
//! [`rows`], which are locked in the order that [`wanted`] says; [`read`] answers queries. A row's columns are read by
//! [`codec`]. Statements are files in `sql/`.

mod clock;
mod codec;
mod connect;
mod error;
mod link;
mod migrate;
mod read;
mod relay;
mod rows;
mod sql;
mod tokens;
mod wanted;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use regatta_model::command::{Answer, Command};
use regatta_model::routing::Lane;
use regatta_model::task::Progress;
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::{LaneKey, Span, SubtaskId, TaskId, Timestamp, TokenId, WorkerId};
use uuid::Uuid;

pub use clock::DatabaseClock;
pub(crate) use codec::without_nul;
pub use connect::without_password;
pub(crate) use error::DbError;
pub use relay::{Heard, Relay};

use crate::query::{
    Counters, EventPage, LogPage, LogQuery, StoreHealth, SubtaskDetail, SubtaskSummary, TaskDetail, TaskPage,
    TaskQuery, WorkerDetail, WorkerPage, WorkerQuery,
};
use crate::queue::{Job, Queue};
use crate::{Duty, SchemaChange, Sink, Store, StoreError, Timed};
use connect::Connector;
use link::Link;
use read::Readers;
use rows::PostgresRows;
pub use tokens::Tokens;
use writer::Writer;

/// Names of single values.
pub(crate) const CLUSTER_ID: &str = "cluster_id";
const LAST_SWEEP: &str = "last_sweep";
pub(crate) const RESTORED_AT: &str = "restored_at";
/// Stands for a node that has not swept yet.
const NO_SWEEP: i64 = i64::MIN;
/// How often connections that nobody wants are let go.
const SHRINK_EVERY: Duration = Duration::from_secs(30);

/// Whose clock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// The database's, whatever a caller says: nodes have clocks of their own.
    #[default]
    Database,
    /// The caller's: for tests that let time pass.
    Given,
}

/// How a [`PostgresStore`] is opened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where it is, as libpq has it: `postgres://user:password@host:port/database?sslmode=verify-full`.
    pub url: String,
    /// Most connections for reading; 0 makes one for each use.
    pub pool_size: usize,
    /// How long a read waits for a connection, in milliseconds.
    pub pool_wait_millis: u64,
    /// Most work that may wait for the writer before calls are refused as overloaded, in rows (a text counts
    /// as one more row for each KiB). What workers say has as much again for itself, and so have log lines.
    pub queue_rows: usize,
    /// Whose clock counts.
    pub time: Time,
}

impl Default for Options {
    fn default() -> Self {
        Self { url: String::new(), pool_size: 60, pool_wait_millis: 5_000, queue_rows: 65_536, time: Time::Database }
    }
}

impl Options {
    /// The usual options for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// Brings the schema up to date; ten that come together do it once.
///
/// # Errors
/// [`StoreError::Open`] with a sentence that says what to do.
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    migrate::migrate(&Connector::new(url)?, env!("CARGO_PKG_VERSION")).await
}

/// Every change of the schema that this binary or the database knows, in order. Nothing is changed.
///
/// # Errors
/// [`StoreError::Open`] when the database cannot be reached.
pub async fn schema(url: &str) -> Result<Vec<SchemaChange>, StoreError> {
    migrate::status(&Connector::new(url)?).await
}

/// Connections that a node has beside those of its pool: two that write, two for news.
const BESIDE_POOL: i64 = 4;

/// Says so when the nodes that are there and this one may want more connections than PostgreSQL has.
async fn room(connector: &Connector, pool_size: usize) -> Result<(), StoreError> {
    let client = connector.connect("start").await?;
    let sql = "SELECT current_setting('max_connections')::bigint \
                      - current_setting('superuser_reserved_connections')::bigint, \
                      count(*) FILTER (WHERE application_name = 'regatta writer') \
               FROM pg_stat_activity WHERE datname = current_database()";
    let row = client.query_one(sql, &[]).await.map_err(DbError::from)?;
    let (has, writers): (i64, i64) =
        row.try_get(0).and_then(|has| Ok((has, row.try_get(1)?))).map_err(DbError::from)?;
    if let Some(wants) = wants_more(has, writers, pool_size) {
        tracing::warn!(
            connections = has,
            wants,
            "with this one, servers may want more connections than PostgreSQL has; raise its max_connections, or give each server less with --pool-size"
        );
    }
    Ok(())
}

/// How many connections the nodes may want, when that is more than there are. A node has one or two that write.
fn wants_more(has: i64, writers: i64, pool_size: usize) -> Option<i64> {
    let nodes = 1 + (writers + 1) / 2;
    let wants = nodes.saturating_mul(i64::try_from(pool_size).unwrap_or(i64::MAX).saturating_add(BESIDE_POOL));
    (wants > has).then_some(wants)
}

/// A connection of its own, for what is done beside the store.
pub(crate) async fn connect_to(url: &str, name: &str) -> Result<tokio_postgres::Client, StoreError> {
    Ok(Connector::new(url)?.connect(name).await?)
}

/// A store in a PostgreSQL database, which other nodes may use too.
pub struct PostgresStore {
    queue: Arc<Queue>,
    readers: Arc<Readers>,
    connector: Connector,
    cluster: Uuid,
    /// This node, while it has the store open.
    node: Uuid,
    clock: DatabaseClock,
    reached: Arc<AtomicBool>,
    /// When this node swept last, in microseconds.
    last_sweep: Arc<AtomicI64>,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    shrinking: tokio::task::JoinHandle<()>,
}

impl PostgresStore {
    /// Reaches the database, brings its schema up to date, and begins to write.
    ///
    /// # Errors
    /// [`StoreError::Open`] with a sentence that says what to do.
    pub async fn open(options: Options, sink: Arc<dyn Sink>) -> Result<Self, StoreError> {
        let connector = Connector::new(&options.url)?;
        migrate::migrate(&connector, env!("CARGO_PKG_VERSION")).await?;
        let wait = Duration::from_millis(options.pool_wait_millis);
        let readers = Arc::new(Readers::new(connector.clone(), options.pool_size, wait)?);
        let cluster = readers.read(|reader| async move {
            let value = reader.noted_text(CLUSTER_ID).await;
            (reader, value)
        });
        let cluster = cluster.await?.value.and_then(|text| Uuid::parse_str(&text).ok());
        let cluster = cluster.ok_or_else(|| StoreError::Open(format!("{} has no cluster id", connector.shown())))?;
        room(&connector, options.pool_size).await?;
        let queue = Arc::new(Queue::new(options.queue_rows));
        let now = readers.read(|reader| async move {
            let value = reader.now().await;
            (reader, value)
        });
        let clock = DatabaseClock::starting_at(now.await?.value);
        let reached = Arc::new(AtomicBool::new(true));
        let last_sweep = Arc::new(AtomicI64::new(NO_SWEEP));
        let no_thread = |error| StoreError::Open(format!("no thread could be started for the store: {error}"));
        let link = || Link::new(connector.clone()).map_err(no_thread);
        let writer = Writer {
            rows: PostgresRows::new(link()?, link()?),
            sink,
            queue: queue.clone(),
            time: options.time,
            clock: clock.clone(),
            reached: reached.clone(),
            last_sweep: last_sweep.clone(),
            sweep_noted: None,
        };
        let writer =
            std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run()).map_err(no_thread)?;
        let shrunk = readers.clone();
        let shrinking = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SHRINK_EVERY);
            loop {
                ticks.tick().await;
                shrunk.shrink();
            }
        });
        let writer = tokio::sync::Mutex::new(Some(writer));
        let node = Uuid::now_v7();
        Ok(Self { queue, readers, connector, cluster, node, clock, reached, last_sweep, writer, shrinking })
    }

    /// Statements that reads have run so far, to see that a read's number does not grow with its rows.
    pub fn read_statements(&self) -> u64 {
        self.readers.statements()
    }

    /// Tokens are changed beside the writer, as any process may.
    fn token_changes(&self) -> Result<Tokens, StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Closed);
        }
        Ok(Tokens { connector: self.connector.clone() })
    }

    /// The clock that counts.
    pub fn clock(&self) -> DatabaseClock {
        self.clock.clone()
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.queue.close();
        self.shrinking.abort();
        if let Some(writer) = self.writer.get_mut().take() {
            // A thread that panicked has said so already.
            let _ = writer.join();
        }
    }
}

/// A read by [`Readers::read`], which may be run again on another connection.
macro_rules! read {
    ($self:ident, $reader:ident => $call:expr) => {
        $self
            .readers
            .read(|$reader| async {
                let value = $call.await;
                ($reader, value)
            })
            .await
    };
}

#[async_trait]
impl Store for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn cluster_id(&self) -> Uuid {
        self.cluster
    }

    async fn execute(&self, now: Timestamp, command: Command) -> Result<Timed<Answer>, StoreError> {
        let (job, answered) = Job::new(now, command);
        self.queue.push(job)?;
        // The writer answers everything it took, unless it was ended with the process.
        answered.await.map_err(|_| StoreError::Closed)?
    }

    async fn task(&self, id: TaskId) -> Result<Timed<Option<TaskDetail>>, StoreError> {
        read!(self, reader => reader.task(id))
    }

    async fn progress(&self, id: TaskId) -> Result<Timed<Option<Progress>>, StoreError> {
        read!(self, reader => reader.progress(id))
    }

    async fn tasks(&self, query: TaskQuery) -> Result<Timed<TaskPage>, StoreError> {
        read!(self, reader => reader.tasks(&query))
    }

    async fn subtask(&self, id: SubtaskId) -> Result<Timed<Option<SubtaskDetail>>, StoreError> {
        read!(self, reader => reader.subtask(id))
    }

    async fn subtasks(
        &self,
        id: TaskId,
        first: u16,
        limit: u32,
        ready_only: bool,
    ) -> Result<Timed<Option<Vec<SubtaskSummary>>>, StoreError> {
        read!(self, reader => reader.subtasks(id, first, limit, ready_only))
    }

    async fn events(&self, id: TaskId, after: u64, limit: u32) -> Result<Timed<Option<EventPage>>, StoreError> {
        read!(self, reader => reader.events(id, after, limit))
    }

    async fn logs(&self, id: TaskId, query: LogQuery) -> Result<Timed<Option<LogPage>>, StoreError> {
        read!(self, reader => reader.logs(id, query))
    }

    async fn workers(&self, query: WorkerQuery, now: Timestamp) -> Result<Timed<WorkerPage>, StoreError> {
        read!(self, reader => reader.workers(&query, now))
    }

    async fn worker(&self, id: WorkerId, now: Timestamp) -> Result<Timed<Option<WorkerDetail>>, StoreError> {
        read!(self, reader => reader.worker(id, now))
    }

    async fn counters(&self, now: Timestamp) -> Result<Timed<Counters>, StoreError> {
        read!(self, reader => reader.counters(now))
    }

    async fn lanes(&self, after: LaneKey) -> Result<Vec<(LaneKey, Lane)>, StoreError> {
        Ok(read!(self, reader => reader.lanes(after))?.value)
    }

    async fn ready_lanes(&self) -> Result<Vec<(LaneKey, u64)>, StoreError> {
        Ok(read!(self, reader => reader.ready_lanes())?.value)
    }

    async fn last_sweep(&self) -> Result<Option<Timestamp>, StoreError> {
        let noted = read!(self, reader => reader.noted(LAST_SWEEP))?.value;
        // Noted every few seconds only; this node knows its own to the moment.
        let own = self.last_sweep.load(Ordering::Acquire);
        Ok(noted.max((own != NO_SWEEP).then_some(Timestamp(own))))
    }

    async fn restored_at(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(read!(self, reader => reader.noted(RESTORED_AT))?.value)
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn take_duty(&self, duty: Duty, length: Span) -> Result<bool, StoreError> {
        Ok(read!(self, reader => reader.take_duty(duty, self.node, length))?.value)
    }

    async fn add_token(&self, token: TokenRow) -> Result<(), StoreError> {
        Ok(self.token_changes()?.add(&token).await?)
    }

    async fn revoke_token(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.token_changes()?.revoke(id, now).await?)
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        Ok(read!(self, reader => reader.tokens())?.value)
    }

    async fn token(&self, hash: TokenHash) -> Result<Option<TokenRow>, StoreError> {
        Ok(read!(self, reader => reader.token(&hash))?.value)
    }

    async fn health(&self) -> StoreHealth {
        let started = Instant::now();
        let answered = match self.queue.is_closed() {
            true => Err(StoreError::Closed),
            false => read!(self, reader => reader.now()),
        };
        let error = match &answered {
            Err(error) => Some(error.to_string()),
            Ok(_) if !self.reached.load(Ordering::Relaxed) => Some("the last write did not reach PostgreSQL".into()),
            Ok(_) => None,
        };
        StoreHealth {
            connected: answered.is_ok(),
            error,
            latency: started.elapsed(),
            pools: vec![self.readers.state()],
            queued: self.queue.len() as u64,
        }
    }

    async fn close(&self) {
        self.queue.close();
        // Whoever comes second waits here until the first is through.
        let mut writer = self.writer.lock().await;
        if let Some(writer) = writer.take() {
            let finished = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(finished, Ok(Ok(()))) {
                tracing::error!("the store's writer did not end cleanly");
            }
        }
        self.readers.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_connections_are_noticed() {
        assert_eq!(wants_more(97, 0, 60), None);
        // The second server of two.
        assert_eq!(wants_more(97, 2, 60), Some(128));
        assert_eq!(wants_more(97, 1, 60), Some(128));
        assert_eq!(wants_more(97, 2, 20), None);
    }
}
