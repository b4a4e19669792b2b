//! `regatta task watch`.

use clap::Args;
use regatta_client::Client;

use crate::context::Context;
use crate::exit::Outcome;
use crate::watch::{self, Form};

/// See a task move until it ends
///
/// Shows a task move until it ends, and then its results. On a terminal the plan is redrawn in place, a line a step;
/// otherwise each event is a line. It goes on by itself when the server restarts. Ctrl-C leaves the task running.
#[derive(Debug, Args)]
#[command(after_help = "\
It ends as the task ends: exit code 0 when it completed, 1 when it failed or was cancelled.

Examples:
  regatta task watch latest
  regatta task watch latest | cat                  plain lines
  regatta task watch latest --json                 the events as JSON, a line each")]
pub struct Watch {
    #[arg(value_name = "TASK", help = crate::pick::TASK_HELP)]
    task: String,
    /// Print the events as JSON, a line each
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub async fn run(self, context: &Context, client: &Client) -> Outcome {
        let id = crate::pick::task(client, &self.task).await?;
        watch::task(context, client, id, Form::of(self.json)).await
    }
}
