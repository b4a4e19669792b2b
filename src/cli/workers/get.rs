//! `regatta workers get`.

use std::io::Write;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::worker::Resources;

use super::list::{labels, percent, status};
use crate::exit::{Exit, Outcome};
use crate::ui::style::{BOLD, DIM, paint};
use crate::ui::table::{Cell, Table};
use crate::ui::{self, time, word};

/// Everything about one worker
///
/// Shows everything about one worker: what it offers, what it runs, how its machine does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta workers get worker-1
  regatta workers get 0193e3c8-7c00-7000-8000-000000000001 --json")]
pub struct Get {
    /// The worker: its name or id
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Get {
    pub async fn run(self, client: &Client) -> Outcome {
        let id = crate::pick::worker(client, &self.worker).await?;
        let detail = client.worker(id).await?;
        if self.json {
            ui::json::print(&detail)?;
            return Ok(Exit::Done);
        }
        let now = time::now();
        let worker = &detail.summary;
        let usage = format!(
            "cpu {}, memory {}, disk {}",
            percent(worker.cpu_percent),
            percent(worker.memory_percent),
            percent(worker.disk_percent)
        );
        let lines = [
            ("id", worker.worker_id.to_string()),
            ("machine", worker.machine_id.clone()),
            ("tools", worker.tools.join(", ")),
            ("local tools", detail.local_tools.join(", ")),
            ("labels", labels(worker)),
            ("slots", format!("{} of {} taken", worker.busy_slots, worker.slots)),
            ("machine use", usage),
            ("figures", figures(&detail.resources)),
            ("last seen", worker.last_heartbeat.map_or_else(|| "never".to_owned(), |at| time::ago(at, now))),
            ("registered", time::stamp(worker.registered_at)),
            ("system", system(&detail.system_info)),
        ];
        let mut out = anstream::stdout().lock();
        let status = paint(word::worker(worker.status), status(worker));
        writeln!(out, "{}  {status}", paint(BOLD, &worker.machine_name))?;
        for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(out, "  {} {value}", paint(DIM, format!("{name:<11}")))?;
        }
        if !detail.current_subtasks.is_empty() {
            let mut table = Table::new(["RUNS", "TOOL", "ATTEMPT", "FOR", "TASK"], "RUNS");
            for subtask in &detail.current_subtasks {
                table.row([
                    Cell::from(&subtask.name),
                    subtask.assigned_tool.clone().unwrap_or_default().into(),
                    number(subtask.attempt).into(),
                    subtask.started_at.map(|at| time::seconds(time::between(at, now))).unwrap_or_default().into(),
                    Cell::new(DIM, ui::id(subtask.task_id)),
                ]);
            }
            write!(out, "\n{}", table.render(ui::terminal().map(|(width, _)| width)))?;
        }
        Ok(Exit::Done)
    }
}

/// A number, where there is one.
fn number(number: impl Into<Option<u32>>) -> String {
    number.into().map(|number| number.to_string()).unwrap_or_default()
}

/// The numbers that its agent sends beside those of every machine, in a line.
fn figures(resources: &Resources) -> String {
    resources.other.iter().map(|(name, number)| format!("{name}={number}")).collect::<Vec<_>>().join(", ")
}

/// What a worker told of its machine, in a line.
fn system(info: &regatta_client::api::JsonText) -> String {
    let Ok(serde_json::Value::Object(info)) = info.to_value() else { return String::new() };
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    info.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(", ")
}
