//! Reading: from a pool of connections, or from one made for each read when the pool's size is 0.
//!
//! A read that needs several statements runs them in one snapshot, and their number does not depend on the number of rows.

mod events;
mod stats;
mod subtasks;
mod tasks;
mod tokens;
mod workers;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use regatta_model::Span;
use uuid::Uuid;

use super::connect::Connector;
use super::error::DbError;
use super::link::Result;
use super::sql;
use crate::query::Pool;
use crate::{Duty, StoreError, Timed, Timing, delayed};

/// Idle connections that are kept however long nobody wants them.
const IDLE_KEPT: usize = 20;
/// After this long unused a connection beyond those goes.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Longer than PostgreSQL itself lets a read run.
const PATIENCE: Duration = Duration::from_secs(35);
/// What holds for every read.
const SETTINGS: &str = "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'; \
     SET default_transaction_read_only = on; SET jit = off";

/// Connections for reading.
pub(super) struct Readers {
    connector: Connector,
    /// `None`: a connection for each use.
    pool: Option<deadpool_postgres::Pool>,
    closed: AtomicBool,
    statements: AtomicU64,
    /// With a connection for each use: how many there are.
    in_use: AtomicU64,
}

/// The connection of one read.
enum Conn {
    Pooled(deadpool_postgres::Client),
    Own(Client),
}

/// One connection during one read.
pub(super) struct Reader<'a> {
    conn: Conn,
    statements: &'a AtomicU64,
}

fn pool_error(connector: &Connector, error: PoolError) -> DbError {
    match error {
        PoolError::Timeout(_) => DbError::Unreachable(format!(
            "{}: no connection became free in time; raise the pool's size or its wait limit",
            connector.shown()
        )),
        PoolError::Backend(error) if error.as_db_error().is_some() => error.into(),
        PoolError::Backend(error) => {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            DbError::Unreachable(format!("{}: {why}", connector.shown()))
        }
        other => DbError::Unreachable(format!("{}: {other}", connector.shown())),
    }
}

impl Readers {
    /// A pool of up to `size` connections, of whom nobody waits longer than `wait`.
    pub(super) fn new(connector: Connector, size: usize, wait: Duration) -> std::result::Result<Self, StoreError> {
        let pool = match size {
            0 => None,
            size => {
                let (config, tls) = connector.parts("reader");
                let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
                let manager = Manager::from_config(config, tls, settings);
                let timeouts = Timeouts { wait: Some(wait), create: Some(wait), recycle: Some(wait) };
                let set = deadpool_postgres::Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
                    Box::pin(async move {
                        client.batch_execute(SETTINGS).await.map_err(deadpool_postgres::HookError::Backend)
                    })
                });
                let pool = deadpool_postgres::Pool::builder(manager)
                    .max_size(size)
                    .timeouts(timeouts)
                    .runtime(Runtime::Tokio1)
                    .post_create(set)
                    .build()
                    .map_err(|error| StoreError::Open(format!("the pool cannot be made: {error}")))?;
                Some(pool)
            }
        };
        Ok(Self {
            connector,
            pool,
            closed: AtomicBool::new(false),
            statements: AtomicU64::new(0),
            in_use: AtomicU64::new(0),
        })
    }

    async fn conn(&self) -> Result<Conn> {
        match &self.pool {
            Some(pool) => pool.get().await.map(Conn::Pooled).map_err(|error| pool_error(&self.connector, error)),
            None => {
                let client = self.connector.connect("reader").await?;
                client.batch_execute(SETTINGS).await?;
                Ok(Conn::Own(client))
            }
        }
    }

    /// Runs a read and says how long it took. One whose connection turns out to be gone is run again on a new one.
    pub(super) async fn read<'a, T, F>(
        &'a self,
        read: impl Fn(Reader<'a>) -> F,
    ) -> std::result::Result<Timed<T>, StoreError>
    where
        F: Future<Output = (Reader<'a>, Result<T>)>,
    {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let started = Instant::now();
        delayed("pool");
        let mut tries = 0;
        loop {
            tries += 1;
            let conn = self.conn().await?;
            let pool = started.elapsed();
            delayed("db");
            self.in_use.fetch_add(1, Ordering::Relaxed);
            let done = tokio::time::timeout(PATIENCE, read(Reader { conn, statements: &self.statements })).await;
            self.in_use.fetch_sub(1, Ordering::Relaxed);
            let error = match done {
                Ok((_, Ok(value))) => {
                    let timing = Timing { pool, db: started.elapsed() - pool, ..Timing::default() };
                    return Ok(Timed { value, timing });
                }
                Ok((reader, Err(error))) => {
                    // Whatever it left open must not be the next one's.
                    reader.discard();
                    error
                }
                Err(_) => DbError::Late(PATIENCE.as_secs()),
            };
            // All that were idle were lost together, so as many may turn out to be gone.
            if !error.ends_connection() || matches!(error, DbError::Late(_)) || tries > 3 {
                tracing::error!(%error, "a read failed");
                return Err(error.into());
            }
            if let Some(pool) = &self.pool {
                pool.retain(|_, _| false);
            }
        }
    }

    /// Statements run so far.
    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// How the pool stands.
    pub(super) fn state(&self) -> Pool {
        match &self.pool {
            Some(pool) => {
                let status = pool.status();
                Pool {
                    name: "readers".into(),
                    size: status.max_size as u64,
                    in_use: (status.size - status.available.min(status.size)) as u64,
                    waiting: status.waiting as u64,
                }
            }
            None => {
                let in_use = self.in_use.load(Ordering::Relaxed);
                Pool { name: "readers".into(), size: in_use, in_use, waiting: 0 }
            }
        }
    }

    /// Lets connections go that nobody wanted for long, but for some.
    pub(super) fn shrink(&self) {
        if let Some(pool) = &self.pool {
            let mut kept = 0;
            pool.retain(|_, metrics| {
                kept += 1;
                kept <= IDLE_KEPT || metrics.last_used() < IDLE_FOR
            });
        }
    }

    /// Takes no more reads and closes what is idle.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(pool) = &self.pool {
            pool.close();
        }
    }
}

impl Reader<'_> {
    fn discard(self) {
        if let Conn::Pooled(client) = self.conn {
            drop(deadpool_postgres::Client::take(client));
        }
    }

    /// All rows of a statement.
    pub(super) async fn all(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        match &self.conn {
            Conn::Pooled(client) => {
                let statement = client.prepare_cached(sql).await?;
                Ok(client.query(&statement, params).await?)
            }
            Conn::Own(client) => Ok(client.query(sql, params).await?),
        }
    }

    /// The first row of a statement, if there is one.
    pub(super) async fn first(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        Ok(self.all(sql, params).await?.into_iter().next())
    }

    async fn simple(&self, sql: &str) -> Result<()> {
        match &self.conn {
            Conn::Pooled(client) => client.batch_execute(sql).await?,
            Conn::Own(client) => client.batch_execute(sql).await?,
        }
        Ok(())
    }

    /// Takes a duty, or keeps it: the one thing that is written here, because it must not wait for the writer.
    pub(super) async fn take_duty(&self, duty: Duty, holder: Uuid, length: Span) -> Result<bool> {
        self.simple("BEGIN READ WRITE").await?;
        let taken = self.first(sql::TAKE_DUTY, &[&duty.name(), &holder, &length.0]).await?.is_some();
        self.simple("COMMIT").await?;
        Ok(taken)
    }

    /// Several statements that see the same moment.
    pub(super) async fn snapshot<T>(&self, read: impl Future<Output = Result<T>>) -> Result<T> {
        self.simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let value = read.await?;
        self.simple("COMMIT").await?;
        Ok(value)
    }
}
