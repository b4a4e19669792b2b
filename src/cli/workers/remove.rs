//! `regatta workers remove`.

use std::io::Write;

use clap::Args;
use regatta_client::Client;

use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};

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
        client.remove_worker(id).await.map_err(|error| {
            if error.status() != Some(409) {
                return error.into();
            }
            Failure::failed(format!("{} is not offline, and only a worker that is can be forgotten", self.worker))
                .hint("stop its process first (Ctrl-C or SIGTERM), or only give it no new work: regatta workers drain")
        })?;
        if !context.globals.quiet {
            writeln!(anstream::stdout().lock(), "{} is forgotten", self.worker)?;
        }
        Ok(Exit::Done)
    }
}
