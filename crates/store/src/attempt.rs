//! The attempt that is in a subtask's own row, for stores that keep only the others beside it.

use regatta_model::AttemptOutcome;
use regatta_model::subtask::{Attempt, State, SubtaskRow};

/// What stands in the row: the attempt that runs or completed.
pub(crate) fn current_attempt(row: &SubtaskRow) -> Option<Attempt> {
    let (outcome, ended_at, exit_code) = match row.state {
        State::Leased => (AttemptOutcome::Running, None, None),
        State::Completed => (AttemptOutcome::Completed, row.completed_at, row.exit_code),
        _ => return None,
    };
    let holder = row.holder.as_ref()?;
    Some(Attempt {
        attempt: row.attempt,
        worker: holder.id,
        tool: holder.tool.clone(),
        started_at: row.started_at?,
        ended_at,
        outcome,
        error: None,
        exit_code,
    })
}
