//! What is left of tasks that were too long to be deleted in one transaction.
//!
//! Such a task is gone for everyone at once, counts and all: nothing finds its rows without it, and its key is never given
//! again. The rows go in pieces that are small enough to hold nobody up, with the sweeps of whichever node is first.

use regatta_model::TaskKey;

use super::PostgresRows;
use crate::pack::keys;
use crate::postgres::link::Result;
use crate::postgres::{codec, sql};

/// Rows that go in one transaction.
const PIECE: i64 = 1_000;

impl PostgresRows {
    /// Removes up to [`PIECE`] rows of deleted tasks.
    pub(in crate::postgres) fn sweep_leftovers(&mut self) -> Result<()> {
        let mut room = PIECE;
        while let Some(row) = self.link.query(sql::FIRST_LEFTOVER, &[])?.first() {
            let task = TaskKey(codec::get(row, 0)?);
            let (events, subtasks) = (keys::event_range(task), keys::subtask_range(task));
            for (statement, (first, last)) in [
                (sql::DELETE_SOME_LOGS, events),
                (sql::DELETE_SOME_EVENTS, events),
                (sql::DELETE_SOME_ATTEMPTS, subtasks),
                (sql::DELETE_SOME_TEXTS, subtasks),
                (sql::DELETE_SOME_SUBTASKS, subtasks),
            ] {
                room -= self.link.execute(statement, &[&first, &last, &room])?.min(room as u64) as i64;
                if room == 0 {
                    return Ok(());
                }
            }
            self.link.execute(sql::DELETE_LEFTOVER, &[&task.0])?;
        }
        Ok(())
    }
}
