//! `regatta task logs`.

use std::collections::HashMap;
use std::io::Write;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::LogLevel;
use regatta_client::api::page::SeqQuery;
use regatta_client::api::subtask::LogData;
use uuid::Uuid;

use super::args::words;
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::feed::{Event, Feed, Item};
use crate::ui::style::{DIM, PLAIN, one_line, paint};
use crate::ui::{self, time, word};

/// What a task's steps print
///
/// Prints what the steps of a task log: what programs write, line by line, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta task logs latest
  regatta task logs latest --follow                until the task ends
  regatta task logs latest --step \"Count 3\" --level warning
  regatta task logs latest --json | jq -r .message")]
pub struct Logs {
    #[arg(value_name = "TASK", help = crate::pick::TASK_HELP)]
    task: String,
    /// Go on until the task ends
    #[arg(short, long)]
    follow: bool,
    /// Only this step
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// Only lines at least this important
    #[arg(long, value_name = "LEVEL", value_parser = words!(LogLevel))]
    level: Option<LogLevel>,
    /// Print JSON, a line each
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub async fn run(self, context: &Context, client: &Client) -> Outcome {
        let id = crate::pick::task(client, &self.task).await?;
        let steps = self.steps(client, id).await?;
        if !self.follow {
            let mut page = SeqQuery { after_seq: None, limit: Some(1000) };
            loop {
                let lines = client.logs(id, &page).await?;
                for line in &lines.logs {
                    self.print(&line.data, line.seq, &steps)?;
                }
                match lines.next_after_seq {
                    Some(seq) => page.after_seq = Some(seq),
                    None => return Ok(Exit::Done),
                }
            }
        }
        let mut feed = Feed::start(context.patient_client()?, id);
        let mut interrupt = std::pin::pin!(crate::signals::interrupted());
        loop {
            let item = tokio::select! {
                item = feed.next() => item?,
                () = &mut interrupt => {
                    return Err(crate::watch::left_running(context, id));
                }
            };
            match item {
                Item::Event(event) => {
                    if let Event::Log(log) = *event {
                        self.print(&log.data, log.seq.unwrap_or_default(), &steps)?;
                    }
                }
                Item::CaughtUp => {}
                Item::Lost | Item::Back => crate::watch::connection(context, matches!(item, Item::Back)),
                Item::Ended(_) => return Ok(Exit::Done),
            }
        }
    }

    /// The names of the steps.
    async fn steps(&self, client: &Client, id: Uuid) -> Result<HashMap<Uuid, String>, Failure> {
        let task = client.task(id).await?;
        if let Some(step) = &self.step
            && !task.subtasks.iter().any(|row| row.name == *step)
        {
            return Err(Failure::failed(format!("the task has no step called {step:?}"))
                .hint(format!("`regatta task get {id}` shows its steps")));
        }
        Ok(task.subtasks.into_iter().map(|row| (row.subtask_id, row.name)).collect())
    }

    fn print(&self, line: &LogData, seq: u64, steps: &HashMap<Uuid, String>) -> Result<(), Failure> {
        let step = steps.get(&line.subtask_id).map_or("", String::as_str);
        if self.step.as_ref().is_some_and(|only| only != step) || self.level.is_some_and(|least| line.level < least) {
            return Ok(());
        }
        if self.json {
            return ui::json::print_line(&serde_json::json!({
                "_seq": seq, "timestamp": line.timestamp, "subtask_id": line.subtask_id, "step": step,
                "level": line.level, "message": line.message, "worker_id": line.worker_id, "metadata": line.metadata,
                "stale": line.stale,
            }));
        }
        let mut out = anstream::stdout().lock();
        let style = word::level(line.level);
        let level = if line.level == LogLevel::Info { String::new() } else { paint(style, format!("{} ", line.level)) };
        let stale = if line.stale { paint(DIM, " (of an attempt that is over)") } else { String::new() };
        let message = one_line(&line.message);
        let message = if style == PLAIN { message } else { paint(style, message) };
        writeln!(out, "{} {} {level}{message}{stale}", paint(DIM, time::stamp(line.timestamp)), paint(DIM, step))?;
        Ok(out.flush()?)
    }
}
