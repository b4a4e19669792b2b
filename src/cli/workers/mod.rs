//! `regatta workers`: see and steer workers.

mod drain;
mod get;
pub mod list;
mod remove;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::Outcome;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The workers, newest registered first
    List(list::List),
    /// Everything about one worker
    Get(get::Get),
    /// Give a worker no new work; what runs goes on
    Drain(drain::Drain),
    /// Forget a worker that is offline
    Remove(remove::Remove),
}

impl Command {
    pub async fn run(self, context: &Context) -> Outcome {
        let client = context.client()?;
        match self {
            Self::List(command) => command.run(&client).await,
            Self::Get(command) => command.run(&client).await,
            Self::Drain(command) => command.run(context, &client).await,
            Self::Remove(command) => command.run(context, &client).await,
        }
    }
}
