//! `regatta task list`.

use std::io::Write;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::task::{TaskSummary, TasksQuery};
use regatta_client::api::{TaskStatus, TaskType};
use serde_json::json;

use super::args::words;
use crate::exit::{Exit, Outcome};
use crate::ui::style::{DIM, WARN, paint};
use crate::ui::table::{Cell, Table};
use crate::ui::{self, time, word};

/// The tasks, newest first
///
/// Lists tasks, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta task list
  regatta task list --status failed --limit 200
  regatta task list --search \"words of\"
  regatta task list --status in_progress --json | jq -r '.tasks[].task_id'")]
pub struct List {
    /// Only tasks with this status
    #[arg(long, value_name = "STATUS", value_parser = words!(TaskStatus))]
    status: Option<TaskStatus>,
    /// Only tasks of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = words!(TaskType))]
    task_type: Option<TaskType>,
    /// Only tasks whose description contains this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The most to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub async fn run(self, client: &Client) -> Outcome {
        let most = self.limit as usize;
        let mut query =
            TasksQuery { status: self.status, task_type: self.task_type, search: self.search, ..TasksQuery::default() };
        let mut tasks = Vec::new();
        let (mut total, mut capped) = (None, false);
        loop {
            query.limit = Some((most - tasks.len()).min(100) as u32);
            let page = client.tasks(&query).await?;
            tasks.extend(page.tasks);
            total = total.or(page.page.total);
            capped |= page.page.total_capped == Some(true);
            match page.page.next_cursor {
                Some(cursor) if tasks.len() < most => query.cursor = Some(cursor),
                _ => break,
            }
        }
        if self.json {
            ui::json::print(&json!({ "tasks": tasks, "total": total }))?;
            return Ok(Exit::Done);
        }
        let mut out = anstream::stdout().lock();
        if tasks.is_empty() {
            writeln!(out, "no such tasks; submit one: regatta task submit --help")?;
            return Ok(Exit::Done);
        }
        write!(out, "{}", table(&tasks).render(ui::terminal().map(|(width, _)| width)))?;
        if let Some(total) = total.filter(|total| *total > tasks.len() as u64) {
            let at_least = if capped { "at least " } else { "" };
            let text = format!("{} of {at_least}{total}; --limit shows more", tasks.len());
            writeln!(out, "{}", paint(DIM, text))?;
        }
        Ok(Exit::Done)
    }
}

/// Tasks as a table; what waits says why, under it.
pub fn table(tasks: &[TaskSummary]) -> Table {
    let mut table = Table::new(["TASK", "STATUS", "DONE", "TYPE", "PRIORITY", "MADE", "DESCRIPTION"], "DESCRIPTION")
        .drops(&["PRIORITY", "TYPE", "MADE"]);
    let now = time::now();
    for task in tasks {
        let what = match &task.waiting_for {
            Some(why) if task.status != TaskStatus::Completed => {
                Cell::new(WARN, format!("{}: waiting: {why}", task.description))
            }
            _ => Cell::from(&task.description),
        };
        table.row([
            Cell::new(DIM, ui::id(task.task_id)),
            Cell::new(word::task(task.status), task.status.as_str()),
            format!("{} %", task.progress).into(),
            task.task_type.as_str().into(),
            task.priority.into(),
            time::ago(task.created_at, now).into(),
            what,
        ]);
    }
    table
}
