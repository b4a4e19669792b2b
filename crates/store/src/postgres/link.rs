//! The writer's connection: statements prepared once, each waited for by the thread that asks, with a limit of time.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::try_maybe_done;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::connect::Connector;
use super::error::DbError;
use super::sql;

/// A result of the connection.
pub(super) type Result<T> = std::result::Result<T, DbError>;

/// A value bound to a statement.
pub(super) type Param = Box<dyn ToSql + Sync>;

/// What the planner may not do. Prepared while tables are small it would read them whole for ever; with these, and with
/// statements that name keys as arrays, it has only the indexes. Writers wait for locks, so they wait with a limit; and
/// one that is stopped in the middle of a transaction loses it rather than hold the rest up.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET enable_bitmapscan = off; SET jit = off; SET synchronous_commit = on; \
     SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'";

/// Longer than PostgreSQL itself lets a statement run.
const PATIENCE: Duration = Duration::from_secs(35);

/// See the module.
pub(super) struct Link {
    runtime: Runtime,
    connector: Connector,
    open: Option<Open>,
    /// How often answers were waited for.
    trips: u64,
}

struct Open {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    shard: i64,
}

/// Statements that are sent one behind the other without waiting for answers in between.
#[derive(Default)]
pub(super) struct Batch {
    statements: Vec<(&'static str, Vec<Param>)>,
}

/// Why statements that were sent one behind the other did not all succeed.
pub(super) struct Broken {
    pub(super) error: DbError,
    /// Whether the last of them was on its way.
    pub(super) sent: bool,
}

impl Batch {
    pub(super) fn add(&mut self, sql: &'static str, params: Vec<Param>) {
        self.statements.push((sql, params));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
}

async fn in_time<T>(work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>) -> Result<T> {
    timeout(PATIENCE, work).await.map_err(|_| DbError::Late(PATIENCE.as_secs()))?.map_err(DbError::from)
}

fn refs(params: &[Param]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| &**param).collect()
}

impl Link {
    pub(super) fn new(connector: Connector) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, connector, open: None, trips: 0 })
    }

    /// Connects where there is no connection.
    pub(super) fn connect(&mut self) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| !open.client.is_closed()) {
            return Ok(());
        }
        self.open = None;
        let open = self.runtime.block_on(async {
            let client = self.connector.connect("writer").await?;
            in_time(client.batch_execute(SETTINGS)).await?;
            let shard = in_time(client.query_one(sql::TAKE_SHARD, &[])).await?.try_get(0)?;
            Ok::<_, DbError>(Open { client, statements: HashMap::new(), shard })
        })?;
        self.open = Some(open);
        Ok(())
    }

    /// Gives the connection up; PostgreSQL undoes what was not committed.
    pub(super) fn disconnect(&mut self) {
        self.open = None;
    }

    /// How often answers were waited for, to see whether something was asked since.
    pub(super) fn trips(&self) -> u64 {
        self.trips
    }

    /// The rows of the counters that are this connection's alone.
    pub(super) fn shard(&self) -> Result<i64> {
        Ok(self.open()?.shard)
    }

    fn open(&self) -> Result<&Open> {
        self.open.as_ref().ok_or_else(|| DbError::Unreachable("the connection was lost".into()))
    }

    fn prepare(&mut self, sql: &'static str) -> Result<Statement> {
        let Self { runtime, open, .. } = self;
        let open = open.as_mut().ok_or_else(|| DbError::Unreachable("the connection was lost".into()))?;
        if let Some(statement) = open.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = runtime.block_on(in_time(open.client.prepare(sql)))?;
        open.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// All rows of a statement.
    pub(super) fn query(&mut self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let statement = self.prepare(sql)?;
        self.trips += 1;
        self.runtime.block_on(in_time(self.open()?.client.query(&statement, params)))
    }

    /// How many rows a statement changed.
    pub(super) fn execute(&mut self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let statement = self.prepare(sql)?;
        self.trips += 1;
        self.runtime.block_on(in_time(self.open()?.client.execute(&statement, params)))
    }

    /// Statements that must all succeed; the rows of each.
    pub(super) fn pipeline(&mut self, batch: &Batch) -> Result<Vec<Vec<Row>>> {
        let statements = self.prepare_all(batch)?;
        self.send(&statements, batch).map_err(|broken| broken.error)
    }

    /// Statements that must all succeed, the last of which commits, without waiting for what comes before it: where one
    /// fails PostgreSQL undoes the transaction instead.
    pub(super) fn commit(&mut self, batch: &Batch) -> std::result::Result<(), Broken> {
        let statements = self.prepare_all(batch).map_err(|error| Broken { error, sent: false })?;
        self.send(&statements, batch).map(drop)
    }

    fn prepare_all(&mut self, batch: &Batch) -> Result<Vec<Statement>> {
        batch.statements.iter().map(|(sql, _)| self.prepare(sql)).collect()
    }

    fn send(&mut self, statements: &[Statement], batch: &Batch) -> std::result::Result<Vec<Vec<Row>>, Broken> {
        self.trips += 1;
        let client = &self.open().map_err(|error| Broken { error, sent: false })?.client;
        let mut sent = false;
        let answers = self.runtime.block_on(in_time(async {
            let params: Vec<_> = batch.statements.iter().map(|(_, params)| refs(params)).collect();
            let mut queries: Vec<_> = statements
                .iter()
                .zip(&params)
                .map(|(statement, params)| Box::pin(try_maybe_done(client.query(statement, params.as_slice()))))
                .collect();
            // Each is sent when it is first asked. In their order, and none behind one that could not be sent: no commit
            // follows half of its transaction.
            for query in &mut queries {
                if let Poll::Ready(answered) = poll_fn(|context| Poll::Ready(query.as_mut().poll(context))).await {
                    answered?;
                }
            }
            sent = true;
            let mut answers = Vec::with_capacity(queries.len());
            for mut query in queries {
                query.as_mut().await?;
                answers.push(query.as_mut().take_output().unwrap_or_default());
            }
            Ok(answers)
        }));
        answers.map_err(|error| Broken { error, sent })
    }

    /// A statement without parameters or rows: the borders of transactions.
    pub(super) fn simple(&mut self, sql: &'static str) -> Result<()> {
        let client = &self.open()?.client;
        self.runtime.block_on(in_time(client.batch_execute(sql)))
    }
}
