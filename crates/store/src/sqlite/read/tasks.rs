//! Tasks: one, its counters, pages of them.

use std::collections::HashMap;

use regatta_model::task::{Progress, TaskRow};
use regatta_model::{TaskId, TaskKey, TaskStatus};
use rusqlite::params;

use super::{Reader, Result, json_keys};
use crate::pack::keys;
use crate::query::{
    Queued, SEARCH_COUNT_CAP, Start, SubtaskSummary, TaskDetail, TaskPage, TaskQuery, TaskSummary, Total, like,
};
use crate::sqlite::{codec, sql};

impl Reader<'_> {
    pub(in crate::sqlite) fn task(&self, id: TaskId) -> Result<Option<TaskDetail>> {
        self.snapshot(|| {
            let found = self.first(sql::READ_TASK, [id.uuid().as_bytes()], |row| {
                Ok((codec::task_row(row)?, codec::task_text(row, codec::TASK_COLUMNS)?))
            })?;
            let Some((row, text)) = found else { return Ok(None) };
            let (first, last) = keys::subtask_range(row.head.key);
            let subtasks = self.all(sql::LIST_SUBTASKS, params![first, last, -1], |found| {
                Ok(SubtaskSummary { row: codec::subtask_row(found, id)? })
            })?;
            Ok(Some(TaskDetail { row, text, subtasks }))
        })
    }

    pub(in crate::sqlite) fn progress(&self, id: TaskId) -> Result<Option<Progress>> {
        self.first(sql::READ_PROGRESS, [id.uuid().as_bytes()], |row| {
            Ok(Progress {
                status: codec::word(row, 0, TaskStatus::from_code, "a task's status")?,
                total: row.get(1)?,
                completed: row.get(2)?,
                running: row.get(3)?,
                failed: row.get(4)?,
                version: row.get::<_, i64>(5)? as u64,
            })
        })
    }

    pub(in crate::sqlite) fn tasks(&self, query: &TaskQuery) -> Result<TaskPage> {
        self.snapshot(|| {
            let (before, offset) = match query.start {
                Start::Offset(offset) => (i64::MAX, i64::try_from(offset).unwrap_or(i64::MAX)),
                Start::After(key) => (key.0, 0),
            };
            // One more than asked for tells whether there is another page.
            let limit = i64::from(query.limit) + 1;
            let status = query.status.map(|status| status.code());
            let task_type = query.task_type.map(|task_type| task_type.code());
            let mut rows: Vec<TaskRow> = match (&query.search, status, task_type) {
                (Some(search), _, _) => self.all(
                    sql::SEARCH_TASKS,
                    params![before, limit, offset, like(search), status, task_type],
                    codec::task_row,
                )?,
                (None, None, None) => self.all(sql::LIST_TASKS, params![before, limit, offset], codec::task_row)?,
                (None, Some(status), None) => {
                    self.all(sql::LIST_TASKS_STATUS, params![before, limit, offset, status], codec::task_row)?
                }
                (None, None, Some(task_type)) => {
                    self.all(sql::LIST_TASKS_TYPE, params![before, limit, offset, task_type], codec::task_row)?
                }
                (None, Some(status), Some(task_type)) => {
                    self.all(sql::LIST_TASKS_BOTH, params![before, limit, offset, status, task_type], codec::task_row)?
                }
            };
            let more = rows.len() as i64 == limit;
            rows.truncate(query.limit as usize);
            let next = rows.last().filter(|_| more).map(|row| row.head.key);
            let total = match query.start {
                Start::Offset(_) => Some(self.total(query)?),
                Start::After(_) => None,
            };
            let mut queued = self.first_queued(&rows)?;
            let tasks = rows
                .into_iter()
                .map(|row| {
                    let first_queued = queued.remove(&row.head.key);
                    TaskSummary { row, first_queued }
                })
                .collect();
            Ok(TaskPage { tasks, total, next })
        })
    }

    fn total(&self, query: &TaskQuery) -> Result<Total> {
        let status = query.status.map(|status| status.code());
        let task_type = query.task_type.map(|task_type| task_type.code());
        let count = match &query.search {
            Some(search) => self.first(
                sql::COUNT_SEARCH,
                params![like(search), status, task_type, SEARCH_COUNT_CAP as i64 + 1],
                |row| Ok(row.get::<_, i64>(0)?),
            )?,
            None => self.first(sql::COUNT_TASKS, params![status, task_type], |row| Ok(row.get(0)?))?,
        };
        let count = count.unwrap_or(0).max(0) as u64;
        let capped = query.search.is_some() && count > SEARCH_COUNT_CAP;
        Ok(Total { count: if capped { SEARCH_COUNT_CAP } else { count }, capped })
    }

    /// For those tasks of a page of which nothing runs: what is first in their queue.
    fn first_queued(&self, rows: &[TaskRow]) -> Result<HashMap<TaskKey, Queued>> {
        let still = rows.iter().filter(|row| row.status == TaskStatus::InProgress && row.running == 0);
        let keys = json_keys(still.map(|row| row.head.key.0));
        let found = self.all(sql::FIRST_QUEUED, [keys], codec::queued)?;
        Ok(found.into_iter().map(|queued| (queued.key.task(), queued)).collect())
    }
}
