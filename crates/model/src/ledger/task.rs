//! Cancelling, retrying and deleting tasks.

use std::sync::Arc;

use super::report::{CONTEXT_TOO_LARGE, MAX_CONTEXT_BYTES};
use super::{Ledger, Rows};
use crate::command::{CancelTask, Changed, DeleteTask, Removed, RetryTask};
use crate::subtask::State;
use crate::words::TaskStatus;

impl<R: Rows> Ledger<'_, R> {
    pub(super) fn cancel_task(&mut self, command: &CancelTask) -> Result<Changed, R::Error> {
        let Some(key) = self.rows.find_task(command.task)? else {
            return Ok(Changed::Unknown);
        };
        match self.rows.task(key)?.status {
            TaskStatus::Cancelled => return Ok(Changed::To(TaskStatus::Cancelled)),
            ended @ (TaskStatus::Completed | TaskStatus::Failed) => return Ok(Changed::Refused(ended)),
            _ => {}
        }
        let reason: Arc<str> = match &command.reason {
            Some(reason) => format!("cancelled: {reason}").into(),
            None => "cancelled by request".into(),
        };
        for subtask in self.rows.unfinished(key)? {
            self.cancel_subtask(subtask, &reason)?;
        }
        let now = self.now;
        let task = self.rows.task_mut(key)?;
        task.status = TaskStatus::Cancelled;
        task.completed_at = Some(now);
        task.error = Some(reason);
        self.effects.task_changed(key);
        Ok(Changed::To(TaskStatus::Cancelled))
    }

    pub(super) fn retry_task(&mut self, command: &RetryTask) -> Result<Changed, R::Error> {
        let Some(key) = self.rows.find_task(command.task)? else {
            return Ok(Changed::Unknown);
        };
        let task = self.rows.task(key)?;
        if !matches!(task.status, TaskStatus::Failed | TaskStatus::Cancelled) {
            return Ok(Changed::Refused(task.status));
        }
        let again = self.rows.restartable(key)?;
        let task = self.rows.task_mut(key)?;
        // Without a plan, or with one that was never whole, it waits for one again.
        let planned = task.completed + again.len() as u32 == task.total && task.total > 0;
        if !planned {
            return self.plan_anew(key);
        }
        task.status = TaskStatus::InProgress;
        task.failed = 0;
        task.cancelled = 0;
        task.completed_at = None;
        task.error = None;
        self.effects.task_changed(key);
        for &subtask in &again {
            let row = self.rows.subtask_mut(subtask)?;
            row.state = State::Waiting;
            row.failures = 0;
            row.losses = 0;
            row.progress = 0;
            row.avoid = None;
            row.queued_at = None;
            row.completed_at = None;
            row.error = None;
        }
        // Only now that all wait: what fails again at once cancels others of them.
        for subtask in again {
            let row = self.rows.subtask_mut(subtask)?;
            match row.state {
                State::Waiting if row.deps_left > 0 => self.tell_subtask(subtask)?,
                State::Waiting if row.context_bytes > MAX_CONTEXT_BYTES => {
                    self.fail(subtask, CONTEXT_TOO_LARGE.into())?;
                }
                State::Waiting => self.make_ready(subtask)?,
                _ => {}
            }
        }
        Ok(Changed::To(self.rows.task(key)?.status))
    }

    /// Back to before there was a plan. A task whose plan was being written starts again by itself; one that
    /// waited for a request or a time waits again.
    fn plan_anew(&mut self, key: crate::id::TaskKey) -> Result<Changed, R::Error> {
        self.rows.delete_subtasks(key)?;
        let now = self.now;
        let task = self.rows.task_mut(key)?;
        if task.total > 0 {
            task.start_at = Some(now);
        }
        task.status = TaskStatus::Pending;
        task.total = 0;
        task.cancelled = 0;
        task.failed = 0;
        task.started_at = None;
        task.completed_at = None;
        task.error = None;
        self.effects.task_changed(key);
        Ok(Changed::To(TaskStatus::Pending))
    }

    pub(super) fn delete_task(&mut self, command: &DeleteTask) -> Result<Removed, R::Error> {
        let Some(key) = self.rows.find_task(command.task)? else {
            return Ok(Removed::Unknown);
        };
        if !self.rows.task(key)?.status.is_ended() {
            return Ok(Removed::InUse);
        }
        self.rows.delete_task(key)?;
        self.effects.task_deleted(key, command.task);
        Ok(Removed::Yes)
    }
}
