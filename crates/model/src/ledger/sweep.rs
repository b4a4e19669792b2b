//! What time alone brings about.

use super::{Ending, Ledger, Rows};
use crate::command::{Sweep, Swept};
use crate::subtask::State;
use crate::words::AttemptOutcome;

impl<R: Rows> Ledger<'_, R> {
    pub(super) fn sweep(&mut self, command: &Sweep) -> Result<Swept, R::Error> {
        let now = self.now;
        let due = self.rows.due(now, command.limit)?;
        for &key in &due {
            let Some(row) = self.rows.subtask(key)? else { continue };
            match row.state {
                State::Backoff => self.make_ready(key)?,
                State::Leased if row.deadline().is_some_and(|deadline| deadline <= now) => {
                    let error = format!("timed out: it ran longer than {} s", row.head.timeout_seconds);
                    self.end_lease(
                        key,
                        Ending {
                            outcome: AttemptOutcome::TimedOut,
                            error: Some(error.as_str().into()),
                            exit_code: None,
                            stop: Some(error.as_str().into()),
                        },
                    )?;
                    self.count_failure(key, error.into(), command.jitter)?;
                }
                State::Leased => {
                    self.give_back(key, AttemptOutcome::Lost, "its lease ran out: its worker was not heard of", true)?;
                }
                // Nothing else has a `due_at`.
                _ => self.rows.subtask_mut(key)?.due_at = None,
            }
        }
        Ok(Swept {
            handled: due.len() as u32,
            to_start: self.rows.tasks_to_start(now, command.limit)?,
            next_due: self.rows.next_due()?,
        })
    }
}
