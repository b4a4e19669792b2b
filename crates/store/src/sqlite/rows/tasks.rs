//! Tasks: rows, plans not yet made, idempotency keys.

use regatta_model::command::{Idempotency, LONG_TASK};
use regatta_model::ledger::Remembered;
use regatta_model::task::{NewTask, TaskRow, TaskText};
use regatta_model::{TaskId, TaskKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Inserts, Lazy, Result, SqliteRows};
use crate::pack::keys;
use crate::sqlite::error::DbError;
use crate::sqlite::{codec, sql};

/// A task that was loaded or made.
pub(super) struct TaskEntry {
    pub(super) row: TaskRow,
    /// As it is in the database; `None` when it is not there yet.
    written: Option<TaskRow>,
    /// What is to be written once and for all, of a task that was made in this transaction.
    unwritten: Option<Box<TaskText>>,
    changed: bool,
    /// Whether steps of the caller may be kept with it.
    deferred: bool,
}

impl TaskEntry {
    pub(super) fn load(conn: &Connection, key: TaskKey) -> Result<Self> {
        let mut statement = conn.prepare_cached(sql::TASK_BY_KEY)?;
        let mut found = statement.query([key.0])?;
        let row = codec::task_row(found.next()?.ok_or_else(|| missing(key))?)?;
        Ok(Self::written(row))
    }

    /// As it is in the database.
    fn written(row: TaskRow) -> Self {
        Self { written: Some(row.clone()), row, unwritten: None, changed: false, deferred: true }
    }
}

fn missing(key: TaskKey) -> DbError {
    DbError::Missing(format!("there is no task with key {}", key.0))
}

impl SqliteRows {
    pub(super) fn task_key(&mut self, id: TaskId) -> Result<Option<TaskKey>> {
        if let Some(&key) = self.task_keys.get(&id) {
            return Ok(Some(key));
        }
        let mut statement = self.conn.prepare_cached(sql::TASK_BY_UUID)?;
        let mut found = statement.query([id.uuid().as_bytes()])?;
        let Some(row) = found.next()? else { return Ok(None) };
        let row = codec::task_row(row)?;
        let key = row.head.key;
        self.task_keys.insert(id, key);
        if !self.tasks.has(key) {
            self.tasks.insert(key, TaskEntry::written(row));
        }
        Ok(Some(key))
    }

    fn load_task(&mut self, key: TaskKey) -> Result<()> {
        if self.tasks.has(key) {
            return Ok(());
        }
        self.tasks.insert(key, TaskEntry::load(&self.conn, key)?);
        Ok(())
    }

    pub(super) fn task_row(&mut self, key: TaskKey) -> Result<&TaskRow> {
        self.load_task(key)?;
        self.tasks.get(key).map(|entry| &entry.row).ok_or_else(|| missing(key))
    }

    pub(super) fn change_task(&mut self, key: TaskKey) -> Result<&mut TaskRow> {
        self.load_task(key)?;
        let entry = self.tasks.get_mut(key).ok_or_else(|| missing(key))?;
        if !entry.changed {
            entry.changed = true;
            self.changed_tasks.push(key);
        }
        Ok(&mut entry.row)
    }

    pub(super) fn add_task(&mut self, task: &NewTask, now: Timestamp) -> Result<TaskKey> {
        let key = TaskKey(self.last_task.next());
        let row = task.first_row(key, now);
        self.task_keys.insert(task.id, key);
        let deferred = task.text.deferred_steps.is_some();
        let unwritten = Some(Box::new(task.text.clone()));
        self.tasks.insert(key, TaskEntry { row, written: None, unwritten, changed: true, deferred });
        self.changed_tasks.push(key);
        Ok(key)
    }

    pub(super) fn forget_task(&mut self, key: TaskKey) -> Result<()> {
        self.flush_tasks()?;
        let (status, head, length) = {
            let row = self.task_row(key)?;
            (row.status, row.head.clone(), u64::from(row.total) + row.seq)
        };
        self.counters.task(status, head.task_type, -1);
        if length > LONG_TASK {
            self.uncount_subtasks(key)?;
            self.leave(key);
        } else {
            self.forget_subtasks(key)?;
            let (first, last) = keys::event_range(key);
            self.conn.prepare_cached(sql::DELETE_EVENTS)?.execute([first, last])?;
            self.conn.prepare_cached(sql::DELETE_LOGS)?.execute([first, last])?;
        }
        self.conn.prepare_cached(sql::DELETE_TASK_STATE)?.execute([key.0])?;
        self.conn.prepare_cached(sql::DELETE_TASK)?.execute([key.0])?;
        self.tasks.remove(key);
        self.task_keys.remove(&head.id);
        self.deleted_tasks.insert(key);
        Ok(())
    }

    pub(super) fn forget_deferred_steps(&mut self, key: TaskKey) -> Result<()> {
        self.load_task(key)?;
        let Some(entry) = self.tasks.get_mut(key) else { return Ok(()) };
        if std::mem::take(&mut entry.deferred) {
            match &mut entry.unwritten {
                Some(text) => text.deferred_steps = None,
                None => drop(self.conn.prepare_cached(sql::DROP_DEFERRED_STEPS)?.execute([key.0])?),
            }
        }
        Ok(())
    }

    pub(super) fn find_tasks_after(&mut self, after: TaskKey, limit: u32) -> Result<Vec<TaskKey>> {
        self.flush_tasks()?;
        let mut statement = self.conn.prepare_cached(sql::TASKS_AFTER)?;
        let keys = statement.query_map(params![after.0, limit], |row| Ok(TaskKey(row.get(0)?)))?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn find_tasks_to_start(&mut self, now: Timestamp, limit: u32) -> Result<Vec<TaskId>> {
        self.flush_tasks()?;
        let mut statement = self.conn.prepare_cached(sql::TASKS_TO_START)?;
        let mut rows = statement.query(params![now.0, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(codec::task_id(row, 0)?);
        }
        Ok(found)
    }

    pub(super) fn flush_tasks(&mut self) -> Result<()> {
        let mut changed = std::mem::take(&mut self.changed_tasks);
        changed.sort_unstable();
        let new =
            changed.iter().filter(|&&key| self.tasks.get(key).is_some_and(|entry| entry.written.is_none())).count();
        let mut insert_task = Inserts::new(&self.conn, sql::INSERT_TASK, &sql::INSERT_TASKS, new);
        let mut insert = Inserts::new(&self.conn, sql::INSERT_TASK_STATE, &sql::INSERT_TASK_STATES, new);
        let mut counts = Lazy::new(&self.conn, sql::UPDATE_TASK_COUNTS);
        let mut update = Lazy::new(&self.conn, sql::UPDATE_TASK_STATE);
        for key in changed.drain(..) {
            // A deleted one is not here any more.
            let Some(entry) = self.tasks.get_mut(key) else { continue };
            entry.changed = false;
            let row = &entry.row;
            let task_type = row.head.task_type;
            if let Some(text) = entry.unwritten.take() {
                let head = &row.head;
                insert_task.add(params![
                    key.0,
                    head.id.uuid().as_bytes(),
                    head.user,
                    task_type.code(),
                    head.priority.code(),
                    head.created_at.0,
                    head.summary,
                    text.checkpoint_frequency.code(),
                    text.privacy.code(),
                    text.tool_preferences,
                    text.requires,
                    text.metadata,
                    text.requirements,
                    text.description,
                    text.deferred_steps,
                ])?;
            }
            if let Some(written) = &entry.written
                && written.status == row.status
                && written.total == row.total
                && written.started_at == row.started_at
                && written.completed_at == row.completed_at
                && written.start_at == row.start_at
                && written.error == row.error
            {
                // Leaves the indexes alone, which is most of the cost.
                counts.get()?.execute(params![
                    key.0,
                    row.completed,
                    row.failed,
                    row.cancelled,
                    row.running,
                    row.seq as i64,
                    row.updated_at.0,
                ])?;
            } else {
                let state = params![
                    key.0,
                    row.status.code(),
                    row.total,
                    row.completed,
                    row.failed,
                    row.cancelled,
                    row.running,
                    row.seq as i64,
                    row.started_at.map(|at| at.0),
                    row.completed_at.map(|at| at.0),
                    row.updated_at.0,
                    row.start_at.map(|at| at.0),
                    row.error,
                ];
                match entry.written {
                    Some(_) => drop(update.get()?.execute(state)?),
                    None => insert.add(state)?,
                }
                if let Some(written) = &entry.written {
                    self.counters.task(written.status, task_type, -1);
                }
                self.counters.task(row.status, task_type, 1);
            }
            entry.written = Some(row.clone());
        }
        insert_task.end()?;
        insert.end()?;
        self.changed_tasks = changed;
        Ok(())
    }

    pub(super) fn find_remembered(&mut self, key: &Idempotency) -> Result<Option<Remembered>> {
        let found = self
            .conn
            .prepare_cached(sql::REMEMBERED)?
            .query_row(params![key.scope, key.key], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, i64>(2)?))
            })
            .optional()?;
        let Some((body, tasks, at)) = found else { return Ok(None) };
        let tasks = tasks
            .as_chunks::<16>()
            .0
            .iter()
            .map(|bytes| {
                TaskId::from_uuid(Uuid::from_bytes(*bytes))
                    .ok_or_else(|| DbError::Corrupt("an idempotency key with an id that is no task's".into()))
            })
            .collect::<Result<_>>()?;
        Ok(Some(Remembered { body: body as u64, tasks, at: Timestamp(at) }))
    }

    pub(super) fn keep_remembered(&mut self, key: &Idempotency, made: &Remembered) -> Result<()> {
        let tasks: Vec<u8> = made.tasks.iter().flat_map(|id| *id.uuid().as_bytes()).collect();
        self.conn.prepare_cached(sql::REMEMBER)?.execute(params![
            key.scope,
            key.key,
            made.body as i64,
            tasks,
            made.at.0
        ])?;
        Ok(())
    }
}
