//! What happened: events of a task in one row for each group, log lines in rows of their own.

use std::collections::BTreeMap;

use regatta_model::TaskKey;
use regatta_model::event::{Event, LogRecord, What};
use uuid::Uuid;

use super::PostgresRows;
use crate::pack::keys;
use crate::pack::records::{self, Changed, Record};
use crate::postgres::link::{Batch, Result};
use crate::postgres::{codec, sql};

impl PostgresRows {
    /// Writes the events of a group down.
    pub(super) fn write_events(&mut self, events: &[Event], batch: &mut Batch) -> Result<()> {
        let mut by_task: BTreeMap<TaskKey, Vec<&Event>> = BTreeMap::new();
        for event in events {
            // A task that was deleted in the same group takes its events along.
            if self.tasks.contains_key(&event.task.key) {
                by_task.entry(event.task.key).or_default().push(event);
            }
        }
        let (mut rows, mut packs) = (Vec::new(), Vec::new());
        let mut lines: Vec<(i64, &Event, &LogRecord)> = Vec::new();
        for (task, events) in by_task {
            let mut packed = Vec::new();
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
                        lines.push((keys::event_key(task, event.seq)?, event, line));
                        continue;
                    }
                }
                last = event.seq;
            }
            if last > 0 {
                rows.push(keys::event_key(task, last)?);
                packs.push(packed);
            }
        }
        if !rows.is_empty() {
            batch.add(sql::INSERT_EVENTS, vec![Box::new(rows), Box::new(packs)]);
        }
        if !lines.is_empty() {
            batch.add(
                sql::INSERT_LOGS,
                vec![
                    Box::new(lines.iter().map(|(key, ..)| *key).collect::<Vec<i64>>()),
                    Box::new(lines.iter().map(|(_, event, _)| event.at.0).collect::<Vec<i64>>()),
                    Box::new(lines.iter().map(|(.., line)| line.subtask.position().into()).collect::<Vec<i64>>()),
                    Box::new(lines.iter().map(|(.., line)| line.level.code().into()).collect::<Vec<i16>>()),
                    Box::new(lines.iter().map(|(.., line)| line.stale).collect::<Vec<bool>>()),
                    Box::new(
                        lines
                            .iter()
                            .map(|(.., line)| line.worker.map(|worker| worker.uuid()))
                            .collect::<Vec<Option<Uuid>>>(),
                    ),
                    Box::new(lines.iter().map(|(.., line)| codec::kept(&line.message)).collect::<Vec<String>>()),
                    Box::new(
                        lines
                            .iter()
                            .map(|(.., line)| line.metadata.as_ref().map(|json| codec::kept(json)))
                            .collect::<Vec<Option<String>>>(),
                    ),
                ],
            );
        }
        Ok(())
    }

    /// Writes into the events of a task what never changes of their subtasks, before these are thrown away.
    pub(super) fn keep_heads_in_events(&mut self, task: TaskKey) -> Result<()> {
        self.load_plan(task)?;
        self.discarded_plans.insert(task);
        let (first, last) = keys::event_range(task);
        let head = self.task_row(task)?.head.clone();
        let mut batch = Batch::default();
        for row in self.link.query(sql::READ_EVENTS, &[&first, &last, &i64::MAX])? {
            let group = records::read(&head, "", Some(codec::get(&row, 1)?))?;
            let mut packed = Vec::new();
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
            batch.add(sql::UPDATE_EVENTS, vec![Box::new(codec::get::<i64>(&row, 0)?), Box::new(packed)]);
        }
        if !batch.is_empty() {
            self.link.pipeline(&batch)?;
        }
        Ok(())
    }
}
