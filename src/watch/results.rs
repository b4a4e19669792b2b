//! How a task ended, and what its last steps made, briefly.

use std::collections::HashSet;
use std::io::Write;

use regatta_client::Client;
use regatta_client::api::task::TaskDetail;
use regatta_client::api::{SubtaskStatus, TaskStatus};

use crate::exit::Failure;
use crate::ui::style::{BAD, BOLD, DIM, WARN, cut, paint};
use crate::ui::{self, time, word};

/// At most so many last steps are shown,
const STEPS: usize = 5;
/// each with at most so many lines of its output,
const LINES: usize = 24;
/// of at most so many columns.
const COLUMNS: usize = 400;

/// A line that says how a task ended.
///
/// # Errors
/// When it cannot be written.
pub fn print_end(task: &TaskDetail) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let took = task.started_at.zip(task.completed_at).map(|(from, to)| time::seconds(time::between(from, to)));
    let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
    let done = task.subtasks.iter().filter(|row| row.status == SubtaskStatus::Completed).count();
    let status = paint(word::task(task.status).bold(), task.status.as_str());
    writeln!(out, "{status}{took}: {done} of {} steps completed", task.subtasks.len())?;
    if let Some(error) = &task.error {
        writeln!(out, "  {}", paint(BAD, error))?;
    }
    if task.status != TaskStatus::Completed {
        let id = ui::id(task.task_id);
        writeln!(
            out,
            "  {}",
            paint(DIM, format!("what it printed: regatta task logs {id}; again: regatta task retry {id}"))
        )?;
    }
    Ok(())
}

/// The outputs of the completed steps that nothing depends on.
///
/// # Errors
/// When the server does not answer, or the output cannot be written.
pub async fn print(client: &Client, task: &TaskDetail) -> Result<(), Failure> {
    let needed: HashSet<_> = task.subtasks.iter().flat_map(|row| &row.dependencies).collect();
    let last: Vec<_> = task
        .subtasks
        .iter()
        .filter(|row| row.status == SubtaskStatus::Completed && !needed.contains(&row.subtask_id))
        .collect();
    for row in last.iter().take(STEPS) {
        let detail = client.subtask(row.subtask_id).await?;
        let mut out = anstream::stdout().lock();
        let simulated = if row.simulated { paint(WARN, " (simulated)") } else { String::new() };
        writeln!(out, "\n{}{simulated}", paint(BOLD, &row.name))?;
        let output = detail.output.as_ref().and_then(|output| output.to_value().ok());
        let text = output.and_then(|output| serde_json::to_string_pretty(&output).ok()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        for line in lines.iter().take(LINES) {
            writeln!(out, "{}", cut(line, COLUMNS))?;
        }
        if lines.len() > LINES || lines.iter().any(|line| line.len() > COLUMNS) {
            let whole = format!("… whole: regatta task get {} --step {:?} --json", task.task_id, row.name);
            writeln!(out, "{}", paint(DIM, whole))?;
        }
    }
    if last.len() > STEPS {
        let more = format!("… and {} more last steps: regatta task get {}", last.len() - STEPS, ui::id(task.task_id));
        writeln!(anstream::stdout().lock(), "{}", paint(DIM, more))?;
    }
    Ok(())
}
