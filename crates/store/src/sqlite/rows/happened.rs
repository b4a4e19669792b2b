//! What happened: events of a task in one row for each group, log lines in rows of their own.

use std::collections::BTreeMap;

use regatta_model::TaskKey;
use regatta_model::event::{Event, What};
use rusqlite::params;

use super::{Lazy, Result, SqliteRows};
use crate::sqlite::records::{self, KeptHead};
use crate::sqlite::{codec, sql};

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
        let mut array = std::mem::take(&mut self.buffer);
        let mut insert = Lazy::new(&self.conn, sql::INSERT_EVENTS);
        let mut insert_log = Lazy::new(&self.conn, sql::INSERT_LOG);
        for (task, events) in by_task {
            array.clear();
            let thrown_away = self.discarded_plans.contains(&task);
            let mut last = 0;
            for event in events {
                let stamp = records::stamp(event);
                match &event.what {
                    What::Task(record) => records::push(&mut array, stamp, None, record, None)?,
                    What::Subtask(head, record) => {
                        let kept = thrown_away.then(|| KeptHead::of(head));
                        records::push(&mut array, stamp, Some(head.key.position()), record, kept.as_ref())?;
                    }
                    What::Log(line) => {
                        insert_log.get()?.execute(params![
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
                records::finish(&mut array);
                let key = codec::event_key(task, last)?;
                insert.get()?.execute(params![key, array])?;
            }
        }
        self.buffer = array;
        Ok(())
    }

    /// Writes into the events of a task what never changes of their subtasks, before these are thrown away.
    pub(super) fn keep_heads_in_events(&mut self, task: TaskKey) -> Result<()> {
        self.discarded_plans.insert(task);
        let (first, last) = codec::event_range(task);
        let groups: Vec<(i64, String)> = {
            let mut statement = self.conn.prepare_cached(sql::READ_EVENTS)?;
            let rows = statement.query_map(params![first, last, -1], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (key, group) in groups {
            let mut array = String::new();
            for record in records::read(&group)? {
                let position = record.2;
                let kept = match (record.4, position) {
                    (Some(kept), _) => Some(kept),
                    (None, Some(position)) => {
                        self.subtask_row(task.subtask(position))?.map(|row| KeptHead::of(&row.head))
                    }
                    (None, None) => None,
                };
                records::push(&mut array, (record.0, record.1), position, record.3, kept.as_ref())?;
            }
            records::finish(&mut array);
            self.conn.prepare_cached(sql::UPDATE_EVENTS)?.execute(params![key, array])?;
        }
        Ok(())
    }
}
