//! `regatta workers drain`.

use std::io::Write;

use clap::Args;
use regatta_client::Client;

use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::ui;

/// Give a worker no new work; what runs goes on
///
/// Gives a worker no new work; what it runs goes on. It stays drained, also over restarts, until --undo.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta workers drain worker-1
  regatta workers drain worker-1 --undo")]
pub struct Drain {
    /// The worker: its name or id
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Let it have work again
    #[arg(long)]
    undo: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Drain {
    pub async fn run(self, context: &Context, client: &Client) -> Outcome {
        let id = crate::pick::worker(client, &self.worker).await?;
        let worker = if self.undo { client.undrain(id).await? } else { client.drain(id).await? };
        if self.json {
            ui::json::print(&worker)?;
        } else if !context.globals.quiet {
            let mut out = anstream::stdout().lock();
            let name = &worker.machine_name;
            match (self.undo, worker.busy_slots) {
                (true, _) => writeln!(out, "{name} gets work again")?,
                (false, 0) => writeln!(out, "{name} gets no new work; nothing runs on it")?,
                (false, busy) => writeln!(out, "{name} gets no new work; {busy} of its slots still run something")?,
            }
        }
        Ok(Exit::Done)
    }
}
