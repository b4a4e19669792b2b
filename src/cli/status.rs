//! `regatta status`: one screen.

use std::io::Write;

use clap::Args;
use regatta_client::api::stats::Stats;
use regatta_client::api::task::TasksQuery;
use regatta_client::api::worker::WorkersQuery;
use serde_json::json;

use super::{task, workers};
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::ui::style::{BAD, BOLD, DIM, GOOD, LIVE, PLAIN, WARN, paint, width};
use crate::ui::{self, time};

/// How many tasks and how many workers a screen shows.
const ROWS: usize = 8;
/// Where the figures of its head begin.
const INDENT: usize = 13;

/// What runs, what waits and why, on one screen
///
/// Shows on one screen what runs, what waits and why, who works, and how fast.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta status
  regatta status --server http://localhost:9000
  regatta status --json | jq .stats.waiting")]
pub struct Status {
    /// Print JSON: the server's stats, the newest tasks, the workers
    #[arg(long)]
    json: bool,
}

impl Status {
    pub async fn run(self, context: &Context) -> Outcome {
        let client = context.client()?;
        let stats = client.stats().await?;
        let workers = workers::list::all(&client, WorkersQuery::default(), ROWS).await?;
        let tasks = client.tasks(&TasksQuery { limit: Some(ROWS as u32), ..TasksQuery::default() }).await?.tasks;
        if self.json {
            ui::json::print(&json!({ "server": client.server(), "stats": stats, "workers": workers, "tasks": tasks }))?;
            return Ok(Exit::Done);
        }
        let columns = ui::terminal().map(|(columns, _)| columns);
        let mut out = anstream::stdout().lock();
        writeln!(out, "{} {}", paint(BOLD, "Regatta"), paint(DIM, format!("at {}", client.server())))?;
        write!(out, "{}", overview(&stats, columns.unwrap_or(usize::MAX)))?;
        if !stats.waiting.is_empty() {
            writeln!(out, "\n{}", paint(BOLD, "WAITING FOR"))?;
            for waiting in &stats.waiting {
                writeln!(out, "{:>5}  {}", waiting.subtasks, paint(WARN, &waiting.waiting_for))?;
            }
        }
        writeln!(out)?;
        if workers.is_empty() {
            writeln!(out, "no workers; start one: regatta worker --server {} --tools command", client.server())?;
        } else {
            write!(out, "{}", workers::list::table(&workers).render(columns))?;
            if stats.workers.total > workers.len() as u64 {
                let more = stats.workers.total - workers.len() as u64;
                writeln!(out, "{}", paint(DIM, format!("… {more} more: regatta workers list")))?;
            }
        }
        writeln!(out)?;
        if tasks.is_empty() {
            writeln!(out, "no tasks yet; submit one: regatta task submit --help")?;
        } else {
            write!(out, "{}", task::list::table(&tasks).render(columns))?;
            if stats.tasks.total > tasks.len() as u64 {
                let more = stats.tasks.total - tasks.len() as u64;
                writeln!(out, "{}", paint(DIM, format!("… {more} more: regatta task list")))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// The figures, a line each.
fn overview(stats: &Stats, columns: usize) -> String {
    let (tasks, subtasks, workers) = (&stats.tasks, &stats.subtasks, &stats.workers);
    let part = |style, count: u64, name: &str| {
        let text = format!("{count} {name}");
        if count == 0 { paint(DIM, text) } else { paint(style, text) }
    };
    let tasks = [
        part(LIVE, tasks.in_progress + tasks.initializing, "in progress"),
        part(PLAIN, tasks.pending + tasks.checkpoint, "waiting"),
        part(GOOD, tasks.completed, "completed"),
        part(BAD, tasks.failed, "failed"),
        part(WARN, tasks.cancelled, "cancelled"),
    ];
    let subtasks = [
        part(LIVE, subtasks.in_progress, "running"),
        part(PLAIN, subtasks.queued, "queued"),
        part(PLAIN, subtasks.pending, "waiting for others"),
        part(GOOD, subtasks.completed, "completed"),
        part(BAD, subtasks.failed, "failed"),
    ];
    let workers = [
        part(GOOD, workers.online + workers.idle, "free"),
        part(LIVE, workers.busy, "busy"),
        part(DIM, workers.offline, "offline"),
        format!("{} of {} slots taken", workers.busy_slots, workers.slots),
    ];
    let (throughput, latency) = (&stats.throughput, &stats.latency);
    let figures = [
        format!("{:.1} subtasks/s", throughput.subtasks_per_second),
        format!("{} tasks completed", throughput.tasks_completed),
        format!("waited {} (p50)", time::seconds(latency.queue.p50_ms / 1e3)),
        format!("ran {} (p50)", time::seconds(latency.run.p50_ms / 1e3)),
    ];
    let minutes = format!("last {} min", throughput.window_seconds / 60);
    [("tasks", &tasks[..]), ("subtasks", &subtasks), ("workers", &workers), (&minutes, &figures)]
        .iter()
        .map(|(name, parts)| {
            format!("  {} {}\n", paint(DIM, format!("{name:<10}")), listed(parts, columns.saturating_sub(INDENT)))
        })
        .collect()
}

/// Parts in a row, going on below where the terminal ends.
fn listed(parts: &[String], columns: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for (at, part) in parts.iter().enumerate() {
        let comma = if at + 1 < parts.len() { "," } else { "" };
        let length = width(&anstream::adapter::strip_str(part).to_string()) + comma.len();
        if used > 0 && used + 1 + length > columns {
            text.push_str(&format!("\n{:INDENT$}", ""));
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(part);
        text.push_str(comma);
        used += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_on_below_where_the_terminal_ends() {
        let parts = ["10 running".to_owned(), paint(GOOD, "2 queued"), "3 failed".to_owned()];
        let plain = |columns| anstream::adapter::strip_str(&listed(&parts, columns)).to_string();
        assert_eq!(plain(100), "10 running, 2 queued, 3 failed");
        assert_eq!(plain(21), format!("10 running, 2 queued,\n{:INDENT$}3 failed", ""));
        assert_eq!(plain(5), format!("10 running,\n{:INDENT$}2 queued,\n{:INDENT$}3 failed", "", ""));
    }
}
