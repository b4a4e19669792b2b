//! Tasks: rows, plans not yet made, idempotency keys.

use std::collections::BTreeSet;

use regatta_model::command::{Idempotency, LONG_TASK};
use regatta_model::ledger::Remembered;
use regatta_model::task::{NewTask, TaskRow, TaskText};
use regatta_model::{TaskId, TaskKey, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::PostgresRows;
use crate::pack::keys;
use crate::postgres::error::DbError;
use crate::postgres::link::{Batch, Result};
use crate::postgres::wanted::Wanted;
use crate::postgres::{codec, sql};

/// A task that is locked, or that was made in this transaction.
pub(super) struct TaskEntry {
    pub(super) row: TaskRow,
    /// As it is in the database; `None` when it is not there yet.
    written: Option<TaskRow>,
    /// What is to be written once and for all, of a task that was made in this transaction.
    unwritten: Option<Box<TaskText>>,
    changed: bool,
}

impl TaskEntry {
    /// Whether none of it was in the database when this transaction began.
    pub(super) fn is_new(&self) -> bool {
        self.written.is_none()
    }
}

fn missing(key: TaskKey) -> DbError {
    DbError::Missing(format!("there is no task with key {}", key.0))
}

impl PostgresRows {
    /// Takes rows of tasks that were just locked.
    pub(super) fn take_tasks(&mut self, rows: &[Row]) -> Result<()> {
        for found in rows {
            let row = codec::task_row(found)?;
            self.known.task_keys.insert(row.head.id, row.head.key);
            self.tasks.entry(row.head.key).or_insert_with(|| TaskEntry {
                written: Some(row.clone()),
                row,
                unwritten: None,
                changed: false,
            });
        }
        Ok(())
    }

    /// Sees that these tasks are locked, without waiting; those that are not there stay away.
    pub(super) fn lock_tasks(&mut self, keys: impl IntoIterator<Item = TaskKey>) -> Result<()> {
        let missing: BTreeSet<TaskKey> = keys.into_iter().filter(|key| !self.tasks.contains_key(key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let keys: Vec<i64> = missing.iter().map(|key| key.0).collect();
        let rows = self.link.query(sql::LOCK_TASKS_NOWAIT, &[&keys]).map_err(|error| match error {
            DbError::Sql(sql) if sql.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                DbError::Locked(Box::new(Wanted { task_keys: missing, ..Wanted::default() }))
            }
            error => error,
        })?;
        self.take_tasks(&rows)
    }

    pub(super) fn task_key(&mut self, id: TaskId) -> Result<Option<TaskKey>> {
        if self.no_tasks.contains(&id) {
            return Ok(None);
        }
        let key = match self.known.task_keys.get(&id) {
            Some(&key) => key,
            None => match self.link.query(sql::TASK_KEY, &[&id.uuid()])?.first() {
                Some(row) => TaskKey(codec::get(row, 0)?),
                None => return Ok(None),
            },
        };
        self.lock_tasks([key])?;
        // Its key may be known from before it was deleted.
        Ok(self.tasks.contains_key(&key).then_some(key))
    }

    pub(super) fn task_row(&mut self, key: TaskKey) -> Result<&TaskRow> {
        self.lock_tasks([key])?;
        self.tasks.get(&key).map(|entry| &entry.row).ok_or_else(|| missing(key))
    }

    pub(super) fn change_task(&mut self, key: TaskKey) -> Result<&mut TaskRow> {
        self.lock_tasks([key])?;
        let entry = self.tasks.get_mut(&key).ok_or_else(|| missing(key))?;
        entry.changed = true;
        Ok(&mut entry.row)
    }

    pub(super) fn add_task(&mut self, task: &NewTask, now: Timestamp) -> Result<TaskKey> {
        let key = match self.known.spare_keys.pop() {
            Some(key) => TaskKey(key),
            None => TaskKey(codec::get(
                self.link.query(sql::NEXT_TASK_KEYS, &[&1_i64])?.first().ok_or_else(|| missing(TaskKey(0)))?,
                0,
            )?),
        };
        let row = task.first_row(key, now);
        self.known.task_keys.insert(task.id, key);
        self.no_tasks.remove(&task.id);
        let unwritten = Some(Box::new(task.text.clone()));
        self.tasks.insert(key, TaskEntry { row, written: None, unwritten, changed: true });
        Ok(key)
    }

    pub(super) fn forget_task(&mut self, key: TaskKey) -> Result<()> {
        self.flush()?;
        let (status, head, length) = {
            let row = self.task_row(key)?;
            (row.status, row.head.clone(), u64::from(row.total) + row.seq)
        };
        self.counters.task(status, head.task_type, -1);
        self.uncount_subtasks(key)?;
        let mut batch = Batch::default();
        let events = keys::event_range(key);
        if length > LONG_TASK {
            batch.add(sql::LEAVE, vec![Box::new(key.0)]);
        } else {
            for (statement, (first, last)) in [
                (sql::DELETE_SUBTASKS, keys::subtask_range(key)),
                (sql::DELETE_TEXTS, keys::subtask_range(key)),
                (sql::DELETE_ATTEMPTS, keys::subtask_range(key)),
                (sql::DELETE_EVENTS, events),
                (sql::DELETE_LOGS, events),
            ] {
                batch.add(statement, vec![Box::new(first), Box::new(last)]);
            }
        }
        batch.add(sql::DELETE_TASK_STATE, vec![Box::new(key.0)]);
        batch.add(sql::DELETE_TASK, vec![Box::new(key.0)]);
        self.link.pipeline(&batch)?;
        self.tasks.remove(&key);
        self.known.task_keys.remove(&head.id);
        self.no_tasks.insert(head.id);
        Ok(())
    }

    pub(super) fn forget_deferred_steps(&mut self, key: TaskKey) -> Result<()> {
        self.lock_tasks([key])?;
        match self.tasks.get_mut(&key) {
            Some(TaskEntry { unwritten: Some(text), .. }) => text.deferred_steps = None,
            Some(_) => self.changes.planned.push(key),
            None => {}
        }
        Ok(())
    }

    pub(super) fn find_tasks_after(&mut self, after: TaskKey, limit: u32) -> Result<Vec<TaskKey>> {
        self.flush()?;
        let rows = self.link.query(sql::TASKS_AFTER, &[&after.0, &i64::from(limit)])?;
        let keys = rows.iter().map(|row| Ok(TaskKey(codec::get(row, 0)?))).collect::<Result<Vec<_>>>()?;
        self.lock_tasks(keys.iter().copied())?;
        Ok(keys.into_iter().filter(|key| self.tasks.contains_key(key)).collect())
    }

    pub(super) fn find_tasks_to_start(&mut self, now: Timestamp, limit: u32) -> Result<Vec<TaskId>> {
        let rows = self.link.query(sql::TASKS_TO_START, &[&now.0, &i64::from(limit)])?;
        rows.iter().map(|row| codec::task_id(row, 0)).collect()
    }

    pub(super) fn write_tasks(&mut self, batch: &mut Batch) -> Result<()> {
        let mut made: Vec<(&TaskRow, Box<TaskText>)> = Vec::new();
        let (mut inserted, mut updated): (Vec<&TaskRow>, Vec<&TaskRow>) = (Vec::new(), Vec::new());
        for entry in self.tasks.values_mut() {
            if !std::mem::take(&mut entry.changed) {
                continue;
            }
            let TaskEntry { row, written, unwritten, .. } = entry;
            let moved = written.as_ref().is_none_or(|written| written.status != row.status);
            if moved {
                if let Some(written) = written {
                    self.counters.task(written.status, row.head.task_type, -1);
                }
                self.counters.task(row.status, row.head.task_type, 1);
            }
            let target = if written.is_some() { &mut updated } else { &mut inserted };
            *written = Some(row.clone());
            if let Some(text) = unwritten.take() {
                made.push((&*row, text));
            }
            target.push(&*row);
        }
        if !made.is_empty() {
            let column = |value: fn(&TaskText) -> &str| -> Vec<String> {
                made.iter().map(|(_, text)| codec::kept(value(text))).collect()
            };
            let maybe = |value: fn(&TaskText) -> Option<&str>| -> Vec<Option<String>> {
                made.iter().map(|(_, text)| value(text).map(str::to_owned)).collect()
            };
            batch.add(
                sql::INSERT_TASKS,
                vec![
                    Box::new(made.iter().map(|(row, _)| row.head.key.0).collect::<Vec<i64>>()),
                    Box::new(made.iter().map(|(row, _)| row.head.id.uuid()).collect::<Vec<uuid::Uuid>>()),
                    Box::new(made.iter().map(|(row, _)| codec::kept(&row.head.user)).collect::<Vec<String>>()),
                    Box::new(made.iter().map(|(row, _)| row.head.task_type.code().into()).collect::<Vec<i16>>()),
                    Box::new(made.iter().map(|(row, _)| row.head.priority.code().into()).collect::<Vec<i16>>()),
                    Box::new(made.iter().map(|(row, _)| row.head.created_at.0).collect::<Vec<i64>>()),
                    Box::new(made.iter().map(|(row, _)| codec::kept(&row.head.summary)).collect::<Vec<String>>()),
                    Box::new(
                        made.iter().map(|(_, text)| text.checkpoint_frequency.code().into()).collect::<Vec<i16>>(),
                    ),
                    Box::new(made.iter().map(|(_, text)| text.privacy.code().into()).collect::<Vec<i16>>()),
                    Box::new(column(|text| &text.tool_preferences)),
                    Box::new(column(|text| &text.requires)),
                    Box::new(maybe(|text| text.metadata.as_deref())),
                    Box::new(maybe(|text| text.requirements.as_deref())),
                    Box::new(column(|text| &text.description)),
                    Box::new(maybe(|text| text.deferred_steps.as_deref())),
                ],
            );
        }
        for (statement, rows) in [(sql::INSERT_TASK_STATES, inserted), (sql::UPDATE_TASK_STATES, updated)] {
            if rows.is_empty() {
                continue;
            }
            let number =
                |value: fn(&TaskRow) -> i64| -> Box<Vec<i64>> { Box::new(rows.iter().map(|row| value(row)).collect()) };
            let time = |value: fn(&TaskRow) -> Option<Timestamp>| -> Box<Vec<Option<i64>>> {
                Box::new(rows.iter().map(|row| value(row).map(|at| at.0)).collect())
            };
            batch.add(
                statement,
                vec![
                    number(|row| row.head.key.0),
                    Box::new(rows.iter().map(|row| row.status.code().into()).collect::<Vec<i16>>()),
                    number(|row| row.total.into()),
                    number(|row| row.completed.into()),
                    number(|row| row.failed.into()),
                    number(|row| row.cancelled.into()),
                    number(|row| row.running.into()),
                    number(|row| row.seq as i64),
                    time(|row| row.started_at),
                    time(|row| row.completed_at),
                    number(|row| row.updated_at.0),
                    time(|row| row.start_at),
                    Box::new(
                        rows.iter()
                            .map(|row| row.error.as_ref().map(|error| codec::kept(error)))
                            .collect::<Vec<Option<String>>>(),
                    ),
                ],
            );
        }
        Ok(())
    }

    pub(super) fn find_remembered(&mut self, key: &Idempotency) -> Result<Option<Remembered>> {
        Ok(self.remembered.get(&(key.scope.clone(), key.key.clone())).cloned())
    }

    pub(super) fn keep_remembered(&mut self, key: &Idempotency, made: &Remembered) {
        self.remembered.insert((key.scope.clone(), key.key.clone()), made.clone());
        self.changes.remembered.push((key.scope.clone(), key.key.clone(), made.clone()));
    }
}
