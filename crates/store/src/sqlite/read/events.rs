//! What happened to a task: events and log lines.

use std::collections::HashMap;
use std::sync::Arc;

use regatta_model::event::{Event, LogRecord, What};
use regatta_model::subtask::SubtaskHead;
use regatta_model::task::TaskHead;
use regatta_model::{LogLevel, SubtaskKey, TaskId, Timestamp, WorkerId};
use rusqlite::{Row, params};
use uuid::Uuid;

use super::{Reader, Result, json_keys};
use crate::pack::keys;
use crate::pack::records::{Changed, Record};
use crate::query::{EventPage, LogPage, LogQuery};
use crate::sqlite::error::DbError;
use crate::sqlite::{codec, sql};

type Line = (u64, Timestamp, LogRecord);

fn line(row: &Row<'_>, task: TaskId) -> Result<Line> {
    let worker: Option<[u8; 16]> = row.get(5)?;
    let record = LogRecord {
        subtask: task.subtask(row.get(2)?),
        level: codec::word(row, 3, LogLevel::from_code, "a log level")?,
        stale: row.get(4)?,
        worker: worker.map(|bytes| WorkerId(Uuid::from_bytes(bytes))),
        message: row.get(6)?,
        metadata: row.get(7)?,
    };
    Ok((keys::event_seq(row.get(0)?), codec::sure_time(row, 1)?, record))
}

/// Numbers above any that an event can have are none.
fn above(task: &TaskHead, seq: u64) -> (i64, i64) {
    let (first, last) = keys::event_range(task.key);
    (keys::event_key(task.key, seq).unwrap_or(last).max(first), last)
}

impl Reader<'_> {
    fn head(&self, id: TaskId) -> Result<Option<(Arc<TaskHead>, u64)>> {
        self.first(sql::READ_HEAD, [id.uuid().as_bytes()], |row| {
            Ok((Arc::new(codec::task_head(row)?), row.get::<_, i64>(codec::HEAD_COLUMNS)? as u64))
        })
    }

    pub(in crate::sqlite) fn events(&self, id: TaskId, after: u64, limit: u32) -> Result<Option<EventPage>> {
        self.snapshot(|| {
            let Some((task, last_seq)) = self.head(id)? else { return Ok(None) };
            let (first, last) = above(&task, after);
            // A row holds at least one event, so so many rows of each kind hold the first `limit` of both.
            let groups = self.all(sql::READ_EVENTS, params![first, last, limit], |row| codec::records(row, &task))?;
            let lines = self.all(sql::READ_LOGS, params![first, last, limit], |row| line(row, id))?;
            let mut kept: Vec<Record> = groups.into_iter().flatten().filter(|record| record.seq > after).collect();
            kept.truncate(limit as usize);
            let mut keys: Vec<i64> = kept
                .iter()
                .filter_map(|record| match record.changed {
                    Changed::Subtask(position, _, None) => Some(task.key.subtask(position).0),
                    _ => None,
                })
                .collect();
            keys.sort_unstable();
            keys.dedup();
            let heads: HashMap<SubtaskKey, Arc<SubtaskHead>> = self
                .all(sql::SUBTASKS_BY_KEYS, [json_keys(keys)], |row| codec::subtask_head(row, id))?
                .into_iter()
                .map(|head| (head.key, Arc::new(head)))
                .collect();
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
    }

    pub(in crate::sqlite) fn logs(&self, id: TaskId, query: LogQuery) -> Result<Option<LogPage>> {
        self.snapshot(|| {
            let Some((task, last_seq)) = self.head(id)? else { return Ok(None) };
            let (limit, mut lines) = match query {
                LogQuery::After { seq, limit } => {
                    let (first, last) = above(&task, seq);
                    let limit_and_one = i64::from(limit) + 1;
                    (limit, self.all(sql::READ_LOGS, params![first, last, limit_and_one], |row| line(row, id))?)
                }
                LogQuery::Last(limit) => {
                    let (first, last) = keys::event_range(task.key);
                    let limit_and_one = i64::from(limit) + 1;
                    (limit, self.all(sql::READ_LAST_LOGS, params![first, last, limit_and_one], |row| line(row, id))?)
                }
            };
            let more = lines.len() > limit as usize;
            lines.truncate(limit as usize);
            if matches!(query, LogQuery::Last(_)) {
                lines.reverse();
            }
            Ok(Some(LogPage { lines, last_seq, more }))
        })
    }
}
