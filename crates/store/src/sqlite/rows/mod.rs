//! The rows under the ledger: loaded on demand, kept as changed, written back once for each group of commands.
//!
//! Changes are written when the group ends ([`SqliteRows::flush`]) or just before an index of the database is asked,
//! so that queries see them; what claims and sweeps ask is in [`order`], which is not written. Counters are kept from the difference between what was written and what is written now.
//! Not here: transactions and their order, which are the writer's.

mod counters;
mod happened;
mod ledger;
mod leftovers;
mod order;
mod subtasks;
mod tasks;
mod workers;

use std::collections::{HashMap, HashSet};

use regatta_model::command::IDEMPOTENCY_KEPT;
use regatta_model::routing::Lane;
use regatta_model::{LaneKey, SubtaskKey, TaskId, TaskKey, Timestamp, WorkerId, WorkerKey};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params};

use super::cache::{Cache, KeyMap};
use super::error::DbError;
use super::sql;
use counters::Counters;
pub(super) use counters::{SUBTASKS, TASKS};
use leftovers::Leftovers;
use order::Order;
use subtasks::SubtaskEntry;
use tasks::TaskEntry;
use workers::WorkerEntry;

/// Tasks kept between transactions (each of two generations).
const TASKS_KEPT: usize = 2_048;
/// Subtasks kept between transactions (each of two generations).
const SUBTASKS_KEPT: usize = 4_096;
/// Texts up to this many bytes are kept with their rows.
const TEXT_KEPT: usize = 512;
/// Old idempotency keys that one sweep forgets, at most.
const KEYS_FORGOTTEN: u32 = 1_000;

/// A result of the rows.
type Result<T> = std::result::Result<T, DbError>;

/// The writer's connection and what it knows of its rows.
pub(super) struct SqliteRows {
    conn: Connection,
    tasks: Cache<TaskKey, TaskEntry>,
    task_keys: KeyMap<TaskId, TaskKey>,
    changed_tasks: Vec<TaskKey>,
    deleted_tasks: HashSet<TaskKey>,
    /// Tasks whose plan was thrown away in this transaction.
    discarded_plans: HashSet<TaskKey>,
    subtasks: Cache<SubtaskKey, SubtaskEntry>,
    changed_subtasks: Vec<SubtaskKey>,
    /// What is ready and what is due, up to those subtasks that `unplaced` names.
    order: Order,
    unplaced: Vec<SubtaskKey>,
    workers: KeyMap<WorkerKey, WorkerEntry>,
    worker_keys: HashMap<WorkerId, WorkerKey>,
    changed_workers: Vec<WorkerKey>,
    lanes: HashMap<Lane, LaneKey>,
    /// The one that was asked for last.
    last_lane: Option<(Lane, LaneKey)>,
    counters: Counters,
    last_task: GivenKeys,
    last_worker: GivenKeys,
    leftovers: Leftovers,
    /// Reused for the records of events.
    buffer: Vec<u8>,
}

/// A statement that is looked up when it is first used in a loop, and kept for the rest of it.
struct Lazy<'a> {
    conn: &'a Connection,
    sql: &'static str,
    statement: Option<CachedStatement<'a>>,
}

impl<'a> Lazy<'a> {
    fn new(conn: &'a Connection, sql: &'static str) -> Self {
        Self { conn, sql, statement: None }
    }

    fn get(&mut self) -> Result<&mut CachedStatement<'a>> {
        let statement = match self.statement.take() {
            Some(statement) => statement,
            None => self.conn.prepare_cached(self.sql)?,
        };
        Ok(self.statement.insert(statement))
    }
}

/// Inserts a known number of rows, several with one statement as far as they go: a statement has costs of its own.
struct Inserts<'a> {
    one: Lazy<'a>,
    several: Lazy<'a>,
    /// Rows that are still to come.
    left: usize,
    /// Rows that are bound and not inserted yet.
    bound: usize,
}

impl<'a> Inserts<'a> {
    fn new(conn: &'a Connection, one: &'static str, several: &'static str, rows: usize) -> Self {
        Self { one: Lazy::new(conn, one), several: Lazy::new(conn, several), left: rows, bound: 0 }
    }

    fn add(&mut self, row: &[&dyn ToSql]) -> Result<()> {
        let together = self.bound > 0 || self.left >= sql::ROWS;
        self.left = self.left.saturating_sub(1);
        if !together {
            self.one.get()?.execute(row)?;
            return Ok(());
        }
        let statement = self.several.get()?;
        for (place, value) in (self.bound * row.len() + 1..).zip(row) {
            statement.raw_bind_parameter(place, value)?;
        }
        self.bound += 1;
        if self.bound == sql::ROWS {
            statement.raw_execute()?;
            self.bound = 0;
        }
        Ok(())
    }

    /// # Errors
    /// When fewer rows came than were announced: then some are not inserted, and the transaction must not come through.
    fn end(self) -> Result<()> {
        match self.bound {
            0 => Ok(()),
            rows => Err(DbError::Missing(format!("{rows} rows were announced and did not all come"))),
        }
    }
}

/// The last key given to something, and whether that is written down.
#[derive(Clone, Copy, Default)]
struct GivenKeys {
    last: i64,
    written: i64,
}

impl GivenKeys {
    fn next(&mut self) -> i64 {
        self.last += 1;
        self.last
    }
}

const LAST_TASK: &str = "last_task";
const LAST_WORKER: &str = "last_worker";
/// Where the time of the last sweep is kept.
pub(super) const LAST_SWEEP: &str = "last_sweep";

impl SqliteRows {
    pub(super) fn new(conn: Connection) -> Result<Self> {
        let order = Order::load(&conn)?;
        let mut rows = Self {
            conn,
            tasks: Cache::new(TASKS_KEPT),
            task_keys: KeyMap::default(),
            changed_tasks: Vec::new(),
            deleted_tasks: HashSet::new(),
            discarded_plans: HashSet::new(),
            subtasks: Cache::new(SUBTASKS_KEPT),
            changed_subtasks: Vec::new(),
            order,
            unplaced: Vec::new(),
            workers: KeyMap::default(),
            worker_keys: HashMap::new(),
            changed_workers: Vec::new(),
            lanes: HashMap::new(),
            last_lane: None,
            counters: Counters::default(),
            last_task: GivenKeys::default(),
            last_worker: GivenKeys::default(),
            leftovers: Leftovers::default(),
            buffer: Vec::new(),
        };
        rows.forget()?;
        Ok(rows)
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// Forgets everything that is not in the database, after a rollback.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.tasks.clear();
        self.task_keys.clear();
        self.changed_tasks.clear();
        self.deleted_tasks.clear();
        self.discarded_plans.clear();
        self.subtasks.clear();
        self.changed_subtasks.clear();
        self.order.undo();
        self.unplaced.clear();
        self.workers.clear();
        self.worker_keys.clear();
        self.changed_workers.clear();
        self.lanes.clear();
        self.last_lane = None;
        self.counters = Counters::default();
        self.leftovers = Leftovers::load(&self.conn)?;
        for (name, keys) in [(LAST_TASK, &mut self.last_task), (LAST_WORKER, &mut self.last_worker)] {
            let last =
                self.conn.prepare_cached(sql::META)?.query_row([name], |row| row.get(0)).optional()?.unwrap_or(0);
            *keys = GivenKeys { last, written: last };
        }
        Ok(())
    }

    /// Writes everything that changed. Call before COMMIT, after the effects are sealed.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.flush_subtasks()?;
        self.flush_tasks()?;
        self.flush_workers()?;
        self.counters.flush(&self.conn)?;
        self.leftovers.flush(&self.conn)?;
        for (name, keys) in [(LAST_TASK, &mut self.last_task), (LAST_WORKER, &mut self.last_worker)] {
            if keys.last != keys.written {
                self.conn.prepare_cached(sql::SET_META)?.execute(params![name, keys.last])?;
                keys.written = keys.last;
            }
        }
        Ok(())
    }

    /// After a COMMIT: lets go of what was not used for long.
    pub(super) fn committed(&mut self) {
        self.order.committed();
        self.deleted_tasks.clear();
        self.discarded_plans.clear();
        self.tasks.age();
        self.subtasks.age();
        if self.task_keys.len() > 4 * TASKS_KEPT {
            self.task_keys.clear();
        }
    }

    /// Notes when a sweep was, and forgets keys that are over.
    pub(super) fn note_sweep(&mut self, now: Timestamp) -> Result<()> {
        self.conn.prepare_cached(sql::SET_META)?.execute(params![LAST_SWEEP, now.0])?;
        let over = now - IDEMPOTENCY_KEPT;
        self.conn.prepare_cached(sql::FORGET_OLD_KEYS)?.execute(params![over.0, KEYS_FORGOTTEN])?;
        Ok(())
    }

    fn keys(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<SubtaskKey>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let keys = statement.query_map(params, |row| Ok(SubtaskKey(row.get(0)?)))?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    }
}
