//! Retention: forgetting what ended long ago, or what is too much.

use super::{Ledger, Rows};
use crate::command::{Forget, Forgotten, LONG_TASK};

impl<R: Rows> Ledger<'_, R> {
    pub(super) fn forget(&mut self, command: &Forget) -> Result<Forgotten, R::Error> {
        let (mut excess, mut rows, mut tasks, mut after) = (command.excess, 0, 0, command.after);
        let keys = self.rows.tasks_after(command.after, command.look)?;
        let more = keys.len() >= command.look as usize;
        for key in keys {
            let task = self.rows.task(key)?;
            // Keys are in the order of submission, and what was submitted later cannot have ended before.
            let young = command.ended_before.is_none_or(|before| task.head.created_at >= before);
            if young && excess == 0 {
                return Ok(Forgotten { tasks, next: None });
            }
            let over = command.ended_before.is_some_and(|before| task.completed_at.is_some_and(|at| at < before));
            if task.status.is_ended() && (over || excess > 0) {
                let length = (u64::from(task.total) + task.seq).min(LONG_TASK);
                if tasks > 0 && rows + length > command.rows {
                    return Ok(Forgotten { tasks, next: Some(after) });
                }
                let id = task.head.id;
                self.rows.delete_task(key)?;
                self.effects.task_deleted(key, id);
                rows += length;
                tasks += 1;
                excess = excess.saturating_sub(1);
            }
            after = key;
        }
        Ok(Forgotten { tasks, next: more.then_some(after) })
    }
}
