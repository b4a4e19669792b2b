//! A line an event, for pipes, files and terminals that cannot move their cursor.

use std::collections::HashMap;
use std::io::Write;

use regatta_client::Client;
use regatta_client::api::subtask::SubtaskRow;
use regatta_client::api::task::TaskDetail;
use regatta_client::api::{SubtaskStatus, Time};
use uuid::Uuid;

use super::names::Names;
use crate::context::Context;
use crate::exit::Failure;
use crate::feed::{Event, Feed, Item};
use crate::ui::style::{BOLD, DIM, one_line, paint};
use crate::ui::{time, word};

/// Prints a line for everything that happens; answers with the task as it ended.
///
/// # Errors
/// When the server is lost, or the output cannot be written.
pub async fn show(context: &Context, client: &Client, task: TaskDetail, mut feed: Feed) -> Result<TaskDetail, Failure> {
    let mut names = Names::new(client);
    let mut steps: HashMap<Uuid, Step> = HashMap::new();
    for row in &task.subtasks {
        steps.insert(row.subtask_id, Step { name: row.name.clone(), last: None });
    }
    let mut last_progress = None;
    loop {
        let event = match feed.next().await? {
            Item::Event(event) => event,
            Item::CaughtUp => continue,
            Item::Lost => {
                super::connection(context, false);
                continue;
            }
            Item::Back => {
                super::connection(context, true);
                continue;
            }
            Item::Ended(task) => return Ok(*task),
        };
        match *event {
            Event::SubtaskUpdate(update) => {
                let row = update.data.row;
                let step = steps.entry(row.subtask_id).or_insert_with(|| Step { name: row.name.clone(), last: None });
                let now = (row.status, row.attempt);
                // Progress within a step is no line of its own.
                if step.last.replace(now) == Some(now) {
                    continue;
                }
                names.learn(row.assigned_worker).await?;
                let (_, style) = word::subtask(row.status);
                let text = format!("{}{}", paint(style, row.status.as_str()), about(&row, &names));
                print(task.created_at, update.timestamp, &step.name, &text)?;
            }
            Event::Log(log) => {
                let name = steps.get(&log.data.subtask_id).map_or("", |step| step.name.as_str());
                let text = paint(word::level(log.data.level), one_line(&log.data.message));
                print(task.created_at, log.timestamp, name, &format!("{} {text}", paint(DIM, "|")))?;
            }
            Event::TaskUpdate(update) => {
                let now = (update.data.status, update.data.progress);
                if last_progress.replace(now) == Some(now) {
                    continue;
                }
                let status = paint(word::task(now.0), now.0.as_str());
                print(task.created_at, update.timestamp, "task", &format!("{status}, {} %", now.1))?;
            }
        }
    }
}

struct Step {
    name: String,
    last: Option<(SubtaskStatus, u32)>,
}

fn print(from: Time, at: Time, name: &str, text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let since = paint(DIM, format!("{:>9}", format!("{:.3} s", time::between(from, at))));
    writeln!(out, "{since}  {}  {text}", paint(BOLD, format!("{name:<16}")))?;
    Ok(out.flush()?)
}

/// What else there is to say of a subtask's new status.
fn about(row: &SubtaskRow, names: &Names) -> String {
    let worker = row.assigned_worker.map(|id| names.of(id)).unwrap_or_default();
    let tool = row.assigned_tool.as_deref().unwrap_or_default();
    let error = row.error.as_deref().map(|error| format!(": {}", one_line(error))).unwrap_or_default();
    match row.status {
        SubtaskStatus::InProgress => {
            let attempt = if row.attempt > 1 { format!(", attempt {}", row.attempt) } else { String::new() };
            format!(" on {worker} ({tool}{attempt})")
        }
        SubtaskStatus::Completed => {
            let took = row.started_at.zip(row.completed_at).map(|(from, to)| time::seconds(time::between(from, to)));
            let simulated = if row.simulated { " (simulated)" } else { "" };
            format!("{simulated}{}", took.map(|took| format!(" after {took}")).unwrap_or_default())
        }
        SubtaskStatus::Queued if row.attempt > 0 => format!(" again{error}"),
        _ => error,
    }
}
