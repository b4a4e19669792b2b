//! `regatta task get`.

use std::collections::HashMap;
use std::io::Write;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::subtask::{SubtaskDetail, SubtaskRow};
use regatta_client::api::task::TaskDetail;
use regatta_client::api::{JsonText, Privacy, TaskStatus};
use uuid::Uuid;

use crate::exit::{Exit, Failure, Outcome};
use crate::ui::style::{BAD, BOLD, DIM, WARN, paint};
use crate::ui::table::{Cell, Table};
use crate::ui::{self, time, word};
use crate::watch::names::Names;
use crate::watch::results;

/// Everything about one task
///
/// Shows everything about one task: its steps, who runs them, what waits and why, and the results.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta task get latest
  regatta task get 0193e3c8-7c00-7000-8000-000000000001
  regatta task get latest --step \"Merge\"          one step: input, context, output, attempts
  regatta task get latest --step \"Merge\" --json | jq .output")]
pub struct Get {
    #[arg(value_name = "TASK", help = crate::pick::TASK_HELP)]
    task: String,
    /// Only this step, with its input, context, output and attempts
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Get {
    pub async fn run(self, client: &Client) -> Outcome {
        let id = crate::pick::task(client, &self.task).await?;
        let task = client.task(id).await?;
        let mut names = Names::new(client);
        if let Some(step) = &self.step {
            let Some(row) = task.subtasks.iter().find(|row| row.name == *step) else {
                let known: Vec<_> = task.subtasks.iter().take(20).map(|row| row.name.as_str()).collect();
                return Err(Failure::failed(format!("the task has no step called {step:?}"))
                    .hint(format!("it has: {}", known.join(", "))));
            };
            let detail = client.subtask(row.subtask_id).await?;
            if self.json {
                ui::json::print(&detail)?;
            } else {
                names.learn(detail.attempts.iter().map(|attempt| attempt.worker_id)).await?;
                print_step(&detail, &names)?;
            }
            return Ok(Exit::Done);
        }
        if self.json {
            ui::json::print(&task)?;
            return Ok(Exit::Done);
        }
        names.learn(task.subtasks.iter().filter_map(|row| row.assigned_worker)).await?;
        print_task(&task, &names)?;
        if task.status == TaskStatus::Completed {
            results::print(client, &task).await?;
        }
        Ok(Exit::Done)
    }
}

fn print_task(task: &TaskDetail, names: &Names) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let status = paint(word::task(task.status), task.status.as_str());
    writeln!(out, "{}", paint(BOLD, &task.description))?;
    writeln!(out, "  {status}, {} %", task.progress)?;
    let now = time::now();
    let mut made = format!("{} ({})", time::stamp(task.created_at), time::ago(task.created_at, now));
    // Everybody, as long as a server knows nobody by name.
    if task.user_id != regatta_server::LOCAL_USER.to_string() {
        made.push_str(&format!(", by {}", task.user_id));
    }
    let ran = task.started_at.map(|from| time::seconds(time::between(from, task.completed_at.unwrap_or(now))));
    let lines = [
        ("id", task.task_id.to_string()),
        ("type", task.task_type.to_string()),
        ("priority", task.priority.to_string()),
        (
            "privacy",
            if task.privacy_level == Privacy::Sensitive { "sensitive: local tools only" } else { "" }.to_owned(),
        ),
        ("prefers", task.tool_preferences.clone().unwrap_or_default().join(", ")),
        ("requires", pairs(task.requires.iter().flatten())),
        ("made", made),
        ("starts at", task.start_at.map(time::stamp).unwrap_or_default()),
        (if task.completed_at.is_some() { "took" } else { "runs for" }, ran.unwrap_or_default()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "  {} {value}", paint(DIM, format!("{name:<9}")))?;
    }
    if let Some(why) = &task.waiting_for {
        writeln!(out, "  {} {}", paint(DIM, format!("{:<9}", "waits for")), paint(WARN, why))?;
    }
    if let Some(error) = &task.error {
        writeln!(out, "  {} {}", paint(DIM, format!("{:<9}", "error")), paint(BAD, error))?;
    }
    if !task.subtasks.is_empty() {
        write!(out, "\n{}", steps(&task.subtasks, names).render(ui::terminal().map(|(width, _)| width)))?;
    }
    Ok(())
}

/// The steps of a task as a table.
fn steps(rows: &[SubtaskRow], names: &Names) -> Table {
    let mut table = Table::new(["", "STEP", "STATUS", "WORKER", "TOOL", "TRY", "TOOK", "AFTER", "NOTE"], "NOTE")
        .drops(&["AFTER", "TRY", "TOOL"]);
    let now = time::now();
    let by_id: HashMap<Uuid, &str> = rows.iter().map(|row| (row.subtask_id, row.name.as_str())).collect();
    for row in rows {
        let (glyph, style) = word::subtask(row.status);
        let took =
            row.started_at.filter(|_| row.attempt > 0).map(|from| time::between(from, row.completed_at.unwrap_or(now)));
        let after: Vec<_> = row.dependencies.iter().filter_map(|id| by_id.get(id).copied()).collect();
        let after =
            if after.len() > 2 { format!("{} and {} more", after[0], after.len() - 1) } else { after.join(", ") };
        let tool = row.assigned_tool.as_ref().or(row.tool.as_ref()).cloned().unwrap_or_default();
        let tool = if row.simulated { format!("{tool} (simulated)") } else { tool };
        let note = match (&row.waiting_for, &row.error) {
            (Some(why), _) => Cell::new(WARN, format!("waiting: {why}")),
            (None, Some(error)) => Cell::new(BAD, error),
            (None, None) => Cell::from(""),
        };
        table.row([
            Cell::new(style, glyph),
            Cell::from(&row.name),
            Cell::new(style, row.status.as_str()),
            row.assigned_worker.map(|id| names.of(id)).unwrap_or_default().into(),
            tool.into(),
            if row.attempt > 0 { row.attempt.to_string() } else { String::new() }.into(),
            took.map(time::seconds).unwrap_or_default().into(),
            after.into(),
            note,
        ]);
    }
    table
}

fn print_step(detail: &SubtaskDetail, names: &Names) -> Result<(), Failure> {
    let row = &detail.row;
    let (glyph, style) = word::subtask(row.status);
    let mut out = anstream::stdout().lock();
    let simulated = if row.simulated { ", simulated" } else { "" };
    let status = paint(style, format!("{glyph} {}", row.status.as_str()));
    writeln!(out, "{}  {status}{simulated}", paint(BOLD, &row.name))?;
    let lines = [
        ("id", row.subtask_id.to_string()),
        ("task", detail.task_id.to_string()),
        ("what", ui::style::one_line(&detail.description)),
        ("tool", row.assigned_tool.as_ref().or(row.tool.as_ref()).cloned().unwrap_or_default()),
        ("requires", pairs(&detail.requires)),
        ("limits", format!("{} s, {} attempts", detail.timeout_seconds, detail.max_attempts)),
        ("ran for", detail.execution_time.map(time::seconds).unwrap_or_default()),
        ("exit code", detail.exit_code.map(|code| code.to_string()).unwrap_or_default()),
        ("waits for", row.waiting_for.clone().unwrap_or_default()),
        ("error", row.error.clone().unwrap_or_default()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "  {} {value}", paint(DIM, format!("{name:<9}")))?;
    }
    for (name, payload) in
        [("INPUT", Some(&detail.input)), ("CONTEXT", Some(&detail.context)), ("OUTPUT", detail.output.as_ref())]
    {
        if let Some(payload) = payload.filter(|payload| payload.as_str() != "{}") {
            writeln!(out, "\n{}\n{}", paint(BOLD, name), pretty(payload))?;
        }
    }
    if !detail.attempts.is_empty() {
        let mut table = Table::new(["ATTEMPT", "OUTCOME", "WORKER", "TOOL", "TOOK", "ERROR"], "ERROR");
        let now = time::now();
        for attempt in &detail.attempts {
            table.row([
                Cell::from(attempt.attempt),
                attempt.outcome.as_str().into(),
                names.of(attempt.worker_id).into(),
                Cell::from(&attempt.tool),
                time::seconds(time::between(attempt.started_at, attempt.ended_at.unwrap_or(now))).into(),
                Cell::new(BAD, attempt.error.as_deref().unwrap_or_default()),
            ]);
        }
        write!(out, "\n{}", table.render(ui::terminal().map(|(width, _)| width)))?;
    }
    Ok(())
}

fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// A payload, indented.
fn pretty(payload: &JsonText) -> String {
    let value = payload.to_value().ok();
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| payload.as_str().to_owned())
}
