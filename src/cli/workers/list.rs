//! `regatta workers list`.

use std::io::Write;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::WorkerStatus;
use regatta_client::api::worker::{WorkerSummary, WorkersQuery};
use serde_json::json;

use crate::cli::task::args::{key_value, words};
use crate::exit::{Exit, Outcome};
use crate::ui::style::DIM;
use crate::ui::table::{Cell, Table};
use crate::ui::{self, time, word};

/// The workers, newest registered first
///
/// Lists workers, newest registered first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta workers list
  regatta workers list --status busy
  regatta workers list --tool command --label gpu=a100
  regatta workers list --json | jq -r '.workers[].machine_name'")]
pub struct List {
    /// Only workers that show this word
    #[arg(long, value_name = "STATUS", value_parser = words!(WorkerStatus))]
    status: Option<WorkerStatus>,
    /// Only workers that offer this tool
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// Only workers that carry this label
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    label: Option<(String, String)>,
    /// The most to list
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub async fn run(self, client: &Client) -> Outcome {
        let query = WorkersQuery {
            status: self.status,
            tool: self.tool,
            label: self.label.map(|(name, value)| format!("{name}={value}")),
            ..WorkersQuery::default()
        };
        let workers = all(client, query, self.limit as usize).await?;
        if self.json {
            ui::json::print(&json!({ "workers": workers }))?;
            return Ok(Exit::Done);
        }
        let mut out = anstream::stdout().lock();
        if workers.is_empty() {
            writeln!(out, "no such workers; start one: regatta worker --server {} --tools command", client.server())?;
        } else {
            write!(out, "{}", table(&workers).render(ui::terminal().map(|(width, _)| width)))?;
        }
        Ok(Exit::Done)
    }
}

/// As many workers as asked for, page by page.
///
/// # Errors
/// The client's.
pub async fn all(
    client: &Client,
    mut query: WorkersQuery,
    most: usize,
) -> Result<Vec<WorkerSummary>, regatta_client::Error> {
    let mut workers = Vec::new();
    loop {
        query.limit = Some((most - workers.len()).min(100) as u32);
        let page = client.workers(&query).await?;
        workers.extend(page.workers);
        match page.page.next_cursor {
            Some(cursor) if workers.len() < most => query.cursor = Some(cursor),
            _ => return Ok(workers),
        }
    }
}

/// Workers as a table.
pub fn table(workers: &[WorkerSummary]) -> Table {
    let mut table = Table::new(["WORKER", "STATUS", "SLOTS", "CPU", "MEM", "TOOLS", "LABELS", "SEEN", "ID"], "TOOLS")
        .drops(&["ID", "MEM", "CPU", "LABELS"]);
    let now = time::now();
    for worker in workers {
        table.row([
            Cell::from(&worker.machine_name),
            Cell::new(word::worker(worker.status), status(worker)),
            format!("{}/{}", worker.busy_slots, worker.slots).into(),
            percent(worker.cpu_percent).into(),
            percent(worker.memory_percent).into(),
            worker.tools.join(", ").into(),
            labels(worker).into(),
            worker.last_heartbeat.map_or_else(|| "never".to_owned(), |at| time::ago(at, now)).into(),
            Cell::new(DIM, worker.worker_id),
        ]);
    }
    table
}

/// A worker's status, and what else keeps work from it.
pub fn status(worker: &WorkerSummary) -> String {
    let mut text = worker.status.to_string();
    if worker.draining {
        text.push_str(", draining");
    }
    if worker.reserved {
        text.push_str(", reserved");
    }
    text
}

/// A worker's labels in one line.
pub fn labels(worker: &WorkerSummary) -> String {
    worker.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// A figure in percent.
pub fn percent(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.0} %"))
}
