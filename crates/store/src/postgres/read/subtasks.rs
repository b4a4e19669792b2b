//! Subtasks: one with everything, or a run of a task's.

use regatta_model::ledger::context_json;
use regatta_model::{SubtaskId, SubtaskKey, TaskId, TaskKey};

use super::Reader;
use crate::attempt::current_attempt;
use crate::pack::keys;
use crate::postgres::link::Result;
use crate::postgres::{codec, sql};
use crate::query::{SubtaskDetail, SubtaskSummary};

impl Reader<'_> {
    async fn task_key(&self, id: TaskId) -> Result<Option<TaskKey>> {
        let row = self.first(sql::TASK_KEY, &[&id.uuid()]).await?;
        row.map(|row| Ok(TaskKey(codec::get(&row, 0)?))).transpose()
    }

    pub(in crate::postgres) async fn subtask(&self, id: SubtaskId) -> Result<Option<SubtaskDetail>> {
        self.snapshot(async {
            let Some(task) = self.task_key(id.task()).await? else { return Ok(None) };
            let key = task.subtask(id.position());
            let Some(found) = self.first(sql::READ_SUBTASK, &[&key.0]).await? else { return Ok(None) };
            let row = codec::subtask_row(&found, id.task())?;
            let first = codec::SUBTASK_COLUMNS;
            let (description, input) = (codec::text(&found, first)?, codec::maybe_text(&found, first + 1)?);
            let output = codec::maybe_text(&found, first + 2)?;
            let keys: Vec<i64> = row.head.dependencies.iter().map(|&position| task.subtask(position).0).collect();
            let mut outputs = Vec::with_capacity(keys.len());
            for row in self.all(sql::READ_CONTEXT, &[&keys]).await? {
                outputs.push((codec::text(&row, 0)?, codec::maybe_text(&row, 1)?.unwrap_or_else(|| "{}".into())));
            }
            let attempts = self.all(sql::READ_ATTEMPTS, &[&key.0]).await?;
            let mut attempts = attempts.iter().map(codec::attempt).collect::<Result<Vec<_>>>()?;
            attempts.extend(current_attempt(&row));
            Ok(Some(SubtaskDetail { row, description, input, output, context: context_json(outputs), attempts }))
        })
        .await
    }

    pub(in crate::postgres) async fn subtasks(
        &self,
        id: TaskId,
        first: u16,
        limit: u32,
        ready_only: bool,
    ) -> Result<Option<Vec<SubtaskSummary>>> {
        self.snapshot(async {
            let Some(task) = self.task_key(id).await? else { return Ok(None) };
            let sql = if ready_only { sql::LIST_READY_SUBTASKS } else { sql::LIST_SUBTASKS };
            let from = SubtaskKey(task.subtask(0).0 + i64::from(first)).0;
            let (_, last) = keys::subtask_range(task);
            let rows = self.all(sql, &[&from, &last, &i64::from(limit)]).await?;
            let rows = rows.iter().map(|row| Ok(SubtaskSummary { row: codec::subtask_row(row, id)? }));
            rows.collect::<Result<_>>().map(Some)
        })
        .await
    }
}
