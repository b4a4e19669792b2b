//! Tasks: one, its counters, pages of them.

use std::collections::HashMap;

use regatta_model::task::{Progress, TaskRow};
use regatta_model::{LaneKey, TaskId, TaskKey, TaskStatus};
use tokio_postgres::Row;

use super::Reader;
use crate::pack::keys;
use crate::postgres::link::Result;
use crate::postgres::{codec, sql};
use crate::query::{
    Queued, SEARCH_COUNT_CAP, Start, SubtaskSummary, TaskDetail, TaskPage, TaskQuery, TaskSummary, Total, like,
};

/// A subtask for showing why it waits; ids are not part of that.
fn queued(row: &Row) -> Result<Queued> {
    Ok((&codec::subtask_row(row, TaskId::from_random(uuid::Uuid::nil()))?).into())
}

impl Reader<'_> {
    pub(in crate::postgres) async fn task(&self, id: TaskId) -> Result<Option<TaskDetail>> {
        self.snapshot(async {
            let Some(found) = self.first(sql::READ_TASK, &[&id.uuid()]).await? else { return Ok(None) };
            let (row, text) = (codec::task_row(&found)?, codec::task_text(&found, codec::TASK_COLUMNS)?);
            let (first, last) = keys::subtask_range(row.head.key);
            let subtasks = self.all(sql::LIST_SUBTASKS, &[&first, &last, &i64::MAX]).await?;
            let subtasks = subtasks.iter().map(|found| Ok(SubtaskSummary { row: codec::subtask_row(found, id)? }));
            Ok(Some(TaskDetail { row, text, subtasks: subtasks.collect::<Result<_>>()? }))
        })
        .await
    }

    pub(in crate::postgres) async fn progress(&self, id: TaskId) -> Result<Option<Progress>> {
        let Some(row) = self.first(sql::READ_PROGRESS, &[&id.uuid()]).await? else { return Ok(None) };
        Ok(Some(Progress {
            status: codec::word(&row, 0, TaskStatus::from_code, "a task's status")?,
            total: codec::number(&row, 1)?,
            completed: codec::number(&row, 2)?,
            running: codec::number(&row, 3)?,
            failed: codec::number(&row, 4)?,
            version: codec::number(&row, 5)?,
        }))
    }

    pub(in crate::postgres) async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage> {
        self.snapshot(async {
            let (before, offset) = match query.start {
                Start::Offset(offset) => (i64::MAX, i64::try_from(offset).unwrap_or(i64::MAX)),
                Start::After(key) => (key.0, 0),
            };
            // One more than asked for tells whether there is another page.
            let limit = i64::from(query.limit) + 1;
            let status = query.status.map(|status| i16::from(status.code()));
            let task_type = query.task_type.map(|task_type| i16::from(task_type.code()));
            let found = match (&query.search, status, task_type) {
                (Some(search), _, _) => {
                    let pattern = like(&codec::kept(search));
                    self.all(sql::SEARCH_TASKS, &[&before, &limit, &offset, &pattern, &status, &task_type]).await?
                }
                (None, None, None) => self.all(sql::LIST_TASKS, &[&before, &limit, &offset]).await?,
                (None, Some(status), None) => {
                    self.all(sql::LIST_TASKS_STATUS, &[&before, &limit, &offset, &status]).await?
                }
                (None, None, Some(task_type)) => {
                    self.all(sql::LIST_TASKS_TYPE, &[&before, &limit, &offset, &task_type]).await?
                }
                (None, Some(status), Some(task_type)) => {
                    self.all(sql::LIST_TASKS_BOTH, &[&before, &limit, &offset, &status, &task_type]).await?
                }
            };
            let mut rows = found.iter().map(codec::task_row).collect::<Result<Vec<TaskRow>>>()?;
            let more = rows.len() as i64 == limit;
            rows.truncate(query.limit as usize);
            let next = rows.last().filter(|_| more).map(|row| row.head.key);
            let total = match query.start {
                Start::Offset(_) => Some(self.total(query, status, task_type).await?),
                Start::After(_) => None,
            };
            let mut queued = self.first_queued(&rows).await?;
            let tasks = rows
                .into_iter()
                .map(|row| {
                    let first_queued = queued.remove(&row.head.key);
                    TaskSummary { row, first_queued }
                })
                .collect();
            Ok(TaskPage { tasks, total, next })
        })
        .await
    }

    async fn total(&self, query: &TaskQuery, status: Option<i16>, task_type: Option<i16>) -> Result<Total> {
        let row = match &query.search {
            Some(search) => {
                let (pattern, cap) = (like(&codec::kept(search)), SEARCH_COUNT_CAP as i64 + 1);
                self.first(sql::COUNT_SEARCH, &[&pattern, &status, &task_type, &cap]).await?
            }
            None => self.first(sql::COUNT_TASKS, &[&status, &task_type]).await?,
        };
        let count = row.map(|row| codec::get::<i64>(&row, 0)).transpose()?.unwrap_or(0).max(0) as u64;
        let capped = query.search.is_some() && count > SEARCH_COUNT_CAP;
        Ok(Total { count: if capped { SEARCH_COUNT_CAP } else { count }, capped })
    }

    /// For those tasks of a page of which nothing runs: what is first in their queue.
    async fn first_queued(&self, rows: &[TaskRow]) -> Result<HashMap<TaskKey, Queued>> {
        let still = rows.iter().filter(|row| row.status == TaskStatus::InProgress && row.running == 0);
        let keys: Vec<i64> = still.map(|row| row.head.key.0).collect();
        let mut found = HashMap::new();
        for row in self.all(sql::FIRST_QUEUED, &[&keys]).await? {
            let queued = queued(&row)?;
            found.insert(queued.key.task(), queued);
        }
        Ok(found)
    }

    pub(in crate::postgres) async fn ready_lanes(&self) -> Result<Vec<(LaneKey, u64)>> {
        let rows = self.all(sql::READY_LANES, &[]).await?;
        rows.iter().map(|row| Ok((LaneKey(codec::get(row, 0)?), codec::number(row, 1)?))).collect()
    }
}
