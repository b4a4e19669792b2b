//! `regatta task retry`.

use std::io::Write;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::task::TaskChanged;
use uuid::Uuid;

use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::ui;

/// Run again what failed or was cancelled
///
/// Runs again what failed or was cancelled in a task; what completed keeps its output.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta task retry latest
  regatta task retry latest && regatta task watch latest
  regatta task list --status failed --json | jq -r '.tasks[].task_id' | xargs regatta task retry")]
pub struct Retry {
    #[arg(value_name = "TASK", required = true, help = crate::pick::TASK_HELP)]
    tasks: Vec<String>,
    /// Print JSON, a line each
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub async fn run(self, context: &Context, client: &Client) -> Outcome {
        each(context, client, &self.tasks, self.json, async |id| client.retry(id).await).await
    }
}

/// Does something with each task and says how that went; fails when one did.
pub async fn each(
    context: &Context,
    client: &Client,
    tasks: &[String],
    json: bool,
    change: impl AsyncFn(Uuid) -> Result<TaskChanged, regatta_client::Error>,
) -> Outcome {
    let mut failed = None;
    for text in tasks {
        let changed = match crate::pick::task(client, text).await {
            Ok(id) => change(id).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match changed {
            Ok(changed) if json => ui::json::print_line(&changed)?,
            Ok(changed) if !context.globals.quiet => {
                writeln!(anstream::stdout().lock(), "{}: {}", changed.task_id, changed.message)?;
            }
            Ok(_) => {}
            // One alone is the command's own end; of several, the rest is still done.
            Err(failure) if tasks.len() == 1 || failure.exit == Exit::Unreachable => return Err(failure),
            Err(failure) => {
                writeln!(anstream::stderr().lock(), "{text}: {failure}")?;
                failed = Some(failure.exit);
            }
        }
    }
    Ok(failed.unwrap_or(Exit::Done))
}
