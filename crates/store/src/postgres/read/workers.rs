//! Workers: one, or pages of them, with their status as of the reader's time.

use regatta_model::worker::{SAMPLES_KEPT, SILENCE, WorkerRow};
use regatta_model::{SubtaskKey, Timestamp, WorkerId};
use tokio_postgres::Row;

use super::Reader;
use crate::postgres::link::Result;
use crate::postgres::{codec, sql};
use crate::query::{Start, Total, WorkerDetail, WorkerPage, WorkerQuery};

/// Who was last heard of at or before this is offline.
pub(super) fn silent_since(now: Timestamp) -> i64 {
    (now - SILENCE).0
}

/// With the profile in the column behind.
fn worker_row(row: &Row) -> Result<WorkerRow> {
    codec::worker_row(row, codec::profile(codec::get(row, codec::WORKER_COLUMNS)?)?)
}

impl Reader<'_> {
    pub(in crate::postgres) async fn workers(&self, query: &WorkerQuery, now: Timestamp) -> Result<WorkerPage> {
        self.snapshot(async {
            let (before, offset) = match query.start {
                Start::Offset(offset) => (i64::MAX, i64::try_from(offset).unwrap_or(i64::MAX)),
                Start::After(key) => (key.0, 0),
            };
            let limit = i64::from(query.limit) + 1;
            let silent = silent_since(now);
            let status = query.status.map(|status| i16::from(status.code()));
            let tool = query.tool.as_deref().map(codec::kept);
            let label = query.label.as_ref().map(|(label, value)| (codec::kept(label), codec::kept(value)));
            let (label, value) = label.unzip();
            let found = self
                .all(sql::LIST_WORKERS, &[&silent, &status, &tool, &label, &value, &before, &limit, &offset])
                .await?;
            let mut workers = found.iter().map(worker_row).collect::<Result<Vec<_>>>()?;
            let more = workers.len() as i64 == limit;
            workers.truncate(query.limit as usize);
            let next = workers.last().filter(|_| more).map(|row| row.key);
            let total = match query.start {
                Start::Offset(_) => {
                    let row = self.first(sql::COUNT_WORKERS, &[&silent, &status, &tool, &label, &value]).await?;
                    let count = row.map(|row| codec::number(&row, 0)).transpose()?.unwrap_or(0);
                    Some(Total { count, capped: false })
                }
                Start::After(_) => None,
            };
            Ok(WorkerPage { workers, total, next })
        })
        .await
    }

    pub(in crate::postgres) async fn worker(&self, id: WorkerId, now: Timestamp) -> Result<Option<WorkerDetail>> {
        self.snapshot(async {
            let Some(found) = self.first(sql::READ_WORKER, &[&id.uuid()]).await? else { return Ok(None) };
            let (row, system_info) = (worker_row(&found)?, codec::text(&found, codec::WORKER_COLUMNS + 1)?);
            let mut current = Vec::new();
            for found in self.all(sql::READ_CURRENT, &[&row.key.0]).await? {
                let task = codec::task_id(&found, 1)?;
                let key = SubtaskKey(codec::get(&found, 0)?);
                current.push((task.subtask(key.position()), task, codec::text(&found, 2)?));
            }
            let history = self.all(sql::READ_SAMPLES, &[&row.key.0, &(now - SAMPLES_KEPT).0]).await?;
            let history = history.iter().map(codec::sample).collect::<Result<_>>()?;
            Ok(Some(WorkerDetail { row, system_info, current, history }))
        })
        .await
    }
}
