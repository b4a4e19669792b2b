//! Subtasks: one with everything, or a run of a task's.

use std::sync::Arc;

use regatta_model::ledger::context_json;
use regatta_model::plan::Json;
use regatta_model::{SubtaskId, SubtaskKey, TaskId, TaskKey};
use rusqlite::params;

use super::{Reader, Result, json_keys};
use crate::attempt::current_attempt;
use crate::pack::keys;
use crate::query::{SubtaskDetail, SubtaskSummary};
use crate::sqlite::{codec, sql};

impl Reader<'_> {
    fn task_key(&self, id: TaskId) -> Result<Option<TaskKey>> {
        self.first(sql::TASK_KEY, [id.uuid().as_bytes()], |row| Ok(TaskKey(row.get(0)?)))
    }

    pub(in crate::sqlite) fn subtask(&self, id: SubtaskId) -> Result<Option<SubtaskDetail>> {
        self.snapshot(|| {
            let Some(task) = self.task_key(id.task())? else { return Ok(None) };
            let key = task.subtask(id.position());
            let found = self.first(sql::READ_SUBTASK, [key.0], |row| {
                let first = codec::SUBTASK_COLUMNS;
                let texts: (Arc<str>, Option<Json>, Option<Json>) =
                    (row.get(first)?, row.get(first + 1)?, row.get(first + 2)?);
                Ok((codec::subtask_row(row, id.task())?, texts))
            })?;
            let Some((row, (description, input, output))) = found else { return Ok(None) };
            let keys = json_keys(row.head.dependencies.iter().map(|&position| task.subtask(position).0));
            let outputs = self.all(sql::READ_CONTEXT, [keys], |row| {
                Ok((row.get::<_, Arc<str>>(0)?, row.get::<_, Option<Json>>(1)?.unwrap_or_else(|| "{}".into())))
            })?;
            let mut attempts = self.all(sql::READ_ATTEMPTS, [key.0], codec::attempt)?;
            attempts.extend(current_attempt(&row));
            Ok(Some(SubtaskDetail { row, description, input, output, context: context_json(outputs), attempts }))
        })
    }

    pub(in crate::sqlite) fn subtasks(
        &self,
        id: TaskId,
        first: u16,
        limit: u32,
        ready_only: bool,
    ) -> Result<Option<Vec<SubtaskSummary>>> {
        self.snapshot(|| {
            let Some(task) = self.task_key(id)? else { return Ok(None) };
            let sql = if ready_only { sql::LIST_READY_SUBTASKS } else { sql::LIST_SUBTASKS };
            let from = SubtaskKey(task.subtask(0).0 + i64::from(first)).0;
            let (_, last) = keys::subtask_range(task);
            self.all(sql, params![from, last, limit], |row| Ok(SubtaskSummary { row: codec::subtask_row(row, id)? }))
                .map(Some)
        })
    }
}
