//! Reading: connections of their own, used where the caller is, without a hop to another thread.
//!
//! A connection is taken from a stack and put back after the read; reads never wait within, so there are never
//! more connections than threads, and the one last used has the warmest cache. (Thread-local connections would
//! save the stack's lock, some 20 ns, and would outlive their store.) A read that needs several statements runs
//! them in one snapshot, and their number does not depend on the number of rows.

mod events;
mod stats;
mod subtasks;
mod tasks;
mod tokens;
mod workers;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection};

use super::error::DbError;
use super::open::{self, Options};
use crate::{StoreError, Timed, Timing, delayed};

/// A result of a read.
type Result<T> = std::result::Result<T, DbError>;

/// How long reads under way are waited for at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Connections for reading.
pub(super) struct Readers {
    options: Options,
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
    statements: AtomicU64,
    in_use: AtomicU64,
}

/// A read under way, until its connection is put back or closed.
struct InUse<'a>(&'a AtomicU64);

impl<'a> InUse<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection during one read.
pub(super) struct Reader<'a> {
    conn: &'a Connection,
    statements: &'a AtomicU64,
}

/// Keys as a JSON array, for `json_each`: one statement for any number of them.
fn json_keys(keys: impl IntoIterator<Item = i64>) -> String {
    let keys: Vec<String> = keys.into_iter().map(|key| key.to_string()).collect();
    format!("[{}]", keys.join(","))
}

impl Readers {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
            statements: AtomicU64::new(0),
            in_use: AtomicU64::new(0),
        }
    }

    /// Runs a read and says how long it took.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T>,
    ) -> std::result::Result<Timed<T>, StoreError> {
        // Before the look at `closed`: whoever closes waits for those who have not seen it.
        let _use = InUse::begin(&self.in_use);
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let started = Instant::now();
        delayed("pool");
        let kept = self.idle.lock().pop();
        let conn = match kept {
            Some(conn) => conn,
            None => open::reader(&self.options).map_err(|error| {
                tracing::error!(%error, "no connection to read with could be opened");
                DbError::from(error)
            })?,
        };
        let pool = started.elapsed();
        delayed("db");
        let value = read(&Reader { conn: &conn, statements: &self.statements });
        match &value {
            Ok(_) => {
                let mut idle = self.idle.lock();
                if !self.closed.load(Ordering::SeqCst) {
                    idle.push(conn);
                }
            }
            // Nothing of it may stay open, so the connection goes.
            Err(error) => tracing::error!(%error, "a read failed"),
        }
        let timing = Timing { pool, db: started.elapsed() - pool, ..Timing::default() };
        Ok(Timed { value: value?, timing })
    }

    /// How the database was opened.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Statements run so far.
    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Connections open, and those of them in use.
    pub(super) fn connections(&self) -> (u64, u64) {
        let in_use = self.in_use.load(Ordering::Relaxed);
        (self.idle.lock().len() as u64 + in_use, in_use)
    }

    /// Takes no more reads, lets those under way finish for a while, and closes their connections.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let asked = Instant::now();
        while self.in_use.load(Ordering::SeqCst) > 0 && asked.elapsed() < GOODBYE {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.idle.lock().clear();
    }
}

impl Reader<'_> {
    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        Ok(self.conn.prepare_cached(sql)?)
    }

    /// Several statements that see the same moment.
    fn snapshot<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        let value = read()?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(value)
    }

    /// All rows of a statement.
    fn all<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        map: impl Fn(&rusqlite::Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(map(row)?);
        }
        Ok(found)
    }

    /// The first row of a statement, if there is one.
    fn first<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        map: impl Fn(&rusqlite::Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(map).transpose()
    }
}
