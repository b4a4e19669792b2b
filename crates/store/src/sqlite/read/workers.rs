//! Workers: one, or pages of them, with their status as of the reader's time.

use regatta_model::worker::{SAMPLES_KEPT, SILENCE};
use regatta_model::{SubtaskKey, Timestamp, WorkerId};
use rusqlite::params;

use super::{Reader, Result};
use crate::query::{Start, Total, WorkerDetail, WorkerPage, WorkerQuery};
use crate::sqlite::{codec, sql};

/// Who was last heard of at or before this is offline.
pub(super) fn silent_since(now: Timestamp) -> i64 {
    (now - SILENCE).0
}

impl Reader<'_> {
    pub(in crate::sqlite) fn workers(&self, query: &WorkerQuery, now: Timestamp) -> Result<WorkerPage> {
        self.snapshot(|| {
            let (before, offset) = match query.start {
                Start::Offset(offset) => (i64::MAX, i64::try_from(offset).unwrap_or(i64::MAX)),
                Start::After(key) => (key.0, 0),
            };
            let limit = i64::from(query.limit) + 1;
            let silent = silent_since(now);
            let status = query.status.map(|status| status.code());
            let (label, value) = query.label.as_ref().map(|(label, value)| (label, value)).unzip();
            let mut workers = self.all(
                sql::LIST_WORKERS,
                params![silent, status, query.tool, label, value, before, limit, offset],
                codec::worker_row,
            )?;
            let more = workers.len() as i64 == limit;
            workers.truncate(query.limit as usize);
            let next = workers.last().filter(|_| more).map(|row| row.key);
            let total = match query.start {
                Start::Offset(_) => {
                    let filters = params![silent, status, query.tool, label, value];
                    let count = self.first(sql::COUNT_WORKERS, filters, |row| Ok(row.get::<_, i64>(0)?))?;
                    Some(Total { count: count.unwrap_or(0) as u64, capped: false })
                }
                Start::After(_) => None,
            };
            Ok(WorkerPage { workers, total, next })
        })
    }

    pub(in crate::sqlite) fn worker(&self, id: WorkerId, now: Timestamp) -> Result<Option<WorkerDetail>> {
        self.snapshot(|| {
            let found = self.first(sql::READ_WORKER, [id.uuid().as_bytes()], |row| {
                Ok((codec::worker_row(row)?, row.get(codec::WORKER_COLUMNS)?))
            })?;
            let Some((row, system_info)) = found else { return Ok(None) };
            let current = self.all(sql::READ_CURRENT, [row.key.0], |found| {
                let task = codec::task_id(found, 1)?;
                Ok((task.subtask(SubtaskKey(found.get(0)?).position()), task, found.get(2)?))
            })?;
            let history = self.all(sql::READ_SAMPLES, [row.key.0, (now - SAMPLES_KEPT).0], codec::sample)?;
            Ok(Some(WorkerDetail { row, system_info, current, history }))
        })
    }
}
