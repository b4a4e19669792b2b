//! What happened to a task: events and log lines.

use std::collections::HashMap;
use std::sync::Arc;

use regatta_model::event::{Event, LogRecord, What};
use regatta_model::subtask::SubtaskHead;
use regatta_model::task::TaskHead;
use regatta_model::{LogLevel, SubtaskKey, TaskId, Timestamp, WorkerId};
use tokio_postgres::Row;

use super::Reader;
use crate::pack::keys;
use crate::pack::records::{self, Changed, Record};
use crate::postgres::error::DbError;
use crate::postgres::link::Result;
use crate::postgres::{codec, sql};
use crate::query::{EventPage, LogPage, LogQuery};

type Line = (u64, Timestamp, LogRecord);

fn line(row: &Row, task: TaskId) -> Result<Line> {
    let record = LogRecord {
        subtask: task.subtask(codec::number(row, 2)?),
        level: codec::word(row, 3, LogLevel::from_code, "a log level")?,
        stale: codec::get(row, 4)?,
        worker: codec::get::<Option<uuid::Uuid>>(row, 5)?.map(WorkerId),
        message: codec::text(row, 6)?,
        metadata: codec::maybe_text(row, 7)?,
    };
    Ok((keys::event_seq(codec::get(row, 0)?), codec::sure_time(row, 1)?, record))
}

/// Numbers above any that an event can have are none.
fn above(task: &TaskHead, seq: u64) -> (i64, i64) {
    let (first, last) = keys::event_range(task.key);
    (keys::event_key(task.key, seq).unwrap_or(last).max(first), last)
}

impl Reader<'_> {
    async fn head(&self, id: TaskId) -> Result<Option<(Arc<TaskHead>, u64)>> {
        let row = self.first(sql::READ_HEAD, &[&id.uuid()]).await?;
        row.map(|row| Ok((Arc::new(codec::task_head(&row)?), codec::number(&row, codec::HEAD_COLUMNS)?))).transpose()
    }

    async fn lines(&self, sql: &str, id: TaskId, range: (i64, i64), limit: i64) -> Result<Vec<Line>> {
        let rows = self.all(sql, &[&range.0, &range.1, &limit]).await?;
        rows.iter().map(|row| line(row, id)).collect()
    }

    pub(in crate::postgres) async fn events(&self, id: TaskId, after: u64, limit: u32) -> Result<Option<EventPage>> {
        self.snapshot(async {
            let Some((task, last_seq)) = self.head(id).await? else { return Ok(None) };
            let (first, last) = above(&task, after);
            // A row holds at least one event, so so many rows of each kind hold the first `limit` of both.
            let mut kept: Vec<Record> = Vec::new();
            for row in self.all(sql::READ_EVENTS, &[&first, &last, &i64::from(limit)]).await? {
                kept.extend(records::read(&task, "", Some(codec::get(&row, 1)?))?);
            }
            let lines = self.lines(sql::READ_LOGS, id, (first, last), limit.into()).await?;
            kept.retain(|record| record.seq > after);
            kept.truncate(limit as usize);
            let mut wanted: Vec<i64> = kept
                .iter()
                .filter_map(|record| match record.changed {
                    Changed::Subtask(position, _, None) => Some(task.key.subtask(position).0),
                    _ => None,
                })
                .collect();
            wanted.sort_unstable();
            wanted.dedup();
            let mut heads: HashMap<SubtaskKey, Arc<SubtaskHead>> = HashMap::new();
            for row in self.all(sql::SUBTASKS_BY_KEYS, &[&wanted]).await? {
                let head = codec::subtask_head(&row, id)?;
                heads.insert(head.key, Arc::new(head));
            }
            let mut events = Vec::with_capacity(kept.len() + lines.len());
            for Record { seq, at, changed } in kept {
                let what = match changed {
                    Changed::Task(record) => What::Task(record),
                    Changed::Subtask(_, record, Some(head)) => What::Subtask(Arc::from(head), record),
                    Changed::Subtask(position, record, None) => {
                        let key = task.key.subtask(position);
                        let head = heads.get(&key).cloned().ok_or_else(|| {
                            DbError::Corrupt(format!("an event of subtask {}, which is not there", key.0))
                        })?;
                        What::Subtask(head, record)
                    }
                };
                events.push(Event { task: task.clone(), seq, at, what });
            }
            events.extend(lines.into_iter().map(|(seq, at, line)| Event {
                task: task.clone(),
                seq,
                at,
                what: What::Log(line),
            }));
            events.sort_by_key(|event| event.seq);
            events.truncate(limit as usize);
            Ok(Some(EventPage { events, last_seq }))
        })
        .await
    }

    pub(in crate::postgres) async fn logs(&self, id: TaskId, query: LogQuery) -> Result<Option<LogPage>> {
        self.snapshot(async {
            let Some((task, last_seq)) = self.head(id).await? else { return Ok(None) };
            let (limit, mut lines) = match query {
                LogQuery::After { seq, limit } => {
                    (limit, self.lines(sql::READ_LOGS, id, above(&task, seq), i64::from(limit) + 1).await?)
                }
                LogQuery::Last(limit) => {
                    let range = keys::event_range(task.key);
                    (limit, self.lines(sql::READ_LAST_LOGS, id, range, i64::from(limit) + 1).await?)
                }
            };
            let more = lines.len() > limit as usize;
            lines.truncate(limit as usize);
            if matches!(query, LogQuery::Last(_)) {
                lines.reverse();
            }
            Ok(Some(LogPage { lines, last_seq, more }))
        })
        .await
    }
}
