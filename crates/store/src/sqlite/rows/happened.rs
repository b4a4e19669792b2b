//! What happened: events as one JSON array for each task and group, log lines as rows of their own.
//!
//! A record of the array is `[seq, at, null, {task}]` or `[seq, at, position, {subtask}]`. Names and
//! dependencies are not repeated in it: they are read with the subtask's row.

use std::collections::BTreeMap;
use std::fmt::Write;

use regatta_model::TaskKey;
use regatta_model::event::{Event, What};
use rusqlite::params;
use serde::Serialize;

use super::{Result, SqliteRows};
use crate::sqlite::error::DbError;
use crate::sqlite::{codec, sql};

fn unwritable(error: serde_json::Error) -> DbError {
    DbError::Limit(format!("an event cannot be kept: {error}"))
}

fn push_record(out: &mut String, event: &Event, position: Option<u16>, record: &impl Serialize) -> Result<()> {
    out.push(if out.is_empty() { '[' } else { ',' });
    // Writing to a String cannot fail.
    let _ = write!(out, "[{},{},", event.seq, event.at.0);
    match position {
        Some(position) => {
            let _ = write!(out, "{position},");
        }
        None => out.push_str("null,"),
    }
    out.push_str(&serde_json::to_string(record).map_err(unwritable)?);
    out.push(']');
    Ok(())
}

impl SqliteRows {
    /// Writes the events of a group down.
    pub(in crate::sqlite) fn keep_events(&mut self, events: &[Event]) -> Result<()> {
        let mut by_task: BTreeMap<TaskKey, Vec<&Event>> = BTreeMap::new();
        for event in events {
            // A task that was deleted in the same group takes its events along.
            if !self.deleted_tasks.contains(&event.task.key) {
                by_task.entry(event.task.key).or_default().push(event);
            }
        }
        for (task, events) in by_task {
            self.buffer.clear();
            let mut last = 0;
            for event in events {
                match &event.what {
                    What::Task(record) => push_record(&mut self.buffer, event, None, record)?,
                    What::Subtask(head, record) => {
                        push_record(&mut self.buffer, event, Some(head.key.position()), record)?;
                    }
                    What::Log(line) => {
                        self.conn.prepare_cached(sql::INSERT_LOG)?.execute(params![
                            codec::event_key(task, event.seq)?,
                            event.at.0,
                            line.subtask.position(),
                            line.level.code(),
                            line.stale,
                            line.worker.map(|worker| *worker.uuid().as_bytes()),
                            line.message,
                            line.metadata,
                        ])?;
                        continue;
                    }
                }
                last = event.seq;
            }
            if last > 0 {
                self.buffer.push(']');
                let key = codec::event_key(task, last)?;
                self.conn.prepare_cached(sql::INSERT_EVENTS)?.execute(params![key, self.buffer])?;
            }
        }
        Ok(())
    }
}
