//! `regatta task cancel`.

use clap::Args;
use regatta_client::Client;

use crate::context::Context;
use crate::exit::Outcome;

/// Stop tasks
///
/// Stops tasks: what runs is told to stop, what waits never starts. A second cancel changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta task cancel latest
  regatta task cancel 0193e3c8-7c00-7000-8000-000000000001 --reason \"wrong branch\"
  regatta task list --status in_progress --json | jq -r '.tasks[].task_id' | xargs regatta task cancel")]
pub struct Cancel {
    #[arg(value_name = "TASK", required = true, help = crate::pick::TASK_HELP)]
    tasks: Vec<String>,
    /// Why; the workers that run it are told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON, a line each
    #[arg(long)]
    json: bool,
}

impl Cancel {
    pub async fn run(self, context: &Context, client: &Client) -> Outcome {
        let change = async |id| client.cancel(id, self.reason.as_deref()).await;
        super::retry::each(context, client, &self.tasks, self.json, change).await
    }
}
