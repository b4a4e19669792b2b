//! What happened: events of a task in one row for each group, log lines in rows of their own.

use std::collections::BTreeMap;

use regatta_model::TaskKey;
use regatta_model::event::{Event, What};
use rusqlite::params;

use super::{Inserts, Lazy, Result, SqliteRows};
use crate::pack::keys;
use crate::pack::records::{self, Changed, Record};
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
        let mut packed = std::mem::take(&mut self.buffer);
        let is_log = |event: &&Event| matches!(event.what, What::Log(_));
        let rows = by_task.values().filter(|events| !events.iter().all(is_log)).count();
        let mut insert = Inserts::new(&self.conn, sql::INSERT_EVENTS, &sql::INSERT_SEVERAL_EVENTS, rows);
        let mut insert_log = Lazy::new(&self.conn, sql::INSERT_LOG);
        for (task, events) in by_task {
            records::begin(&mut packed);
            let thrown_away = self.discarded_plans.contains(&task);
            let mut last = 0;
            for event in events {
                match &event.what {
                    What::Task(record) => records::push_task(&mut packed, event.seq, event.at, record),
                    What::Subtask(head, record) => {
                        let kept = thrown_away.then_some(&**head);
                        records::push_subtask(&mut packed, event.seq, event.at, head.key.position(), record, kept);
                    }
                    What::Log(line) => {
                        insert_log.get()?.execute(params![
                            keys::event_key(task, event.seq)?,
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
                let key = keys::event_key(task, last)?;
                insert.add(params![key, packed])?;
            }
        }
        insert.end()?;
        self.buffer = packed;
        Ok(())
    }

    /// Writes into the events of a task what never changes of their subtasks, before these are thrown away.
    pub(super) fn keep_heads_in_events(&mut self, task: TaskKey) -> Result<()> {
        self.discarded_plans.insert(task);
        let (first, last) = keys::event_range(task);
        let head = self.task_row(task)?.head.clone();
        let mut groups = Vec::new();
        {
            let mut statement = self.conn.prepare_cached(sql::READ_EVENTS)?;
            let mut rows = statement.query(params![first, last, -1])?;
            while let Some(row) = rows.next()? {
                groups.push((row.get::<_, i64>(0)?, codec::records(row, &head)?));
            }
        }
        let mut packed = Vec::new();
        for (key, group) in groups {
            records::begin(&mut packed);
            for Record { seq, at, changed } in group {
                match changed {
                    Changed::Task(record) => records::push_task(&mut packed, seq, at, &record),
                    Changed::Subtask(position, record, Some(kept)) => {
                        records::push_subtask(&mut packed, seq, at, position, &record, Some(&kept));
                    }
                    Changed::Subtask(position, record, None) => {
                        let kept = self.subtask_row(task.subtask(position))?.map(|row| row.head.clone());
                        records::push_subtask(&mut packed, seq, at, position, &record, kept.as_deref());
                    }
                }
            }
            self.conn.prepare_cached(sql::UPDATE_EVENTS)?.execute(params![key, packed])?;
        }
        Ok(())
    }
}
