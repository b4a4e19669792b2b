//! Log lines.

use super::{Ledger, Rows};
use crate::command::{AppendLog, Logged};
use crate::event::LogRecord;

impl<R: Rows> Ledger<'_, R> {
    pub(super) fn append_log(&mut self, command: &AppendLog) -> Result<Logged, R::Error> {
        let Some(key) = self.find_subtask(command.subtask)? else {
            return Ok(Logged::Unknown);
        };
        if !self.is_holder(key, command.bound)? {
            return Ok(Logged::NotHolder);
        }
        let stale = command.lease.is_some() && self.check_lease(key, command.lease, None, None)?.is_err();
        // Who writes under an earlier lease is not the one that holds or held the last.
        let holder = self
            .rows
            .subtask(key)?
            .filter(|row| command.lease.is_none_or(|lease| lease == row.lease()))
            .and_then(|row| row.holder.as_ref().map(|holder| holder.id));
        let record = LogRecord {
            subtask: command.subtask,
            level: command.level,
            message: command.message.clone(),
            worker: command.worker.or(holder),
            metadata: command.metadata.clone(),
            stale,
        };
        let now = self.now;
        let task = self.rows.task_mut(key.task())?;
        let seq = self.effects.log_event(task, now, record);
        Ok(Logged::Kept { seq, stale })
    }
}
