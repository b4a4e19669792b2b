//! `regatta workers remove`.

use std::io::Write;

use clap::Args;
use regatta_client::Client;

use crate::context::Context;
use crate::exit::{Exit, Outcome};

/// Forget a worker that is offline
///
/// Forgets a worker that is offline. One that registers again comes back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta workers remove old-laptop
  regatta workers list --status offline")]
pub struct Remove {
    /// The worker: its name or id
    #[arg(value_name = "WORKER")]
    worker: String,
}

impl Remove {
    pub async fn run(self, context: &Context, client: &Client) -> Outcome {
        let id = crate::pick::worker(client, &self.worker).await?;
        client.remove_worker(id).await?;
        if !context.globals.quiet {
            writeln!(anstream::stdout().lock(), "{} is forgotten", self.worker)?;
        }
        Ok(Exit::Done)
    }
}
