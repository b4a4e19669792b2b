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
    List(list::List),
    Get(get::Get),
    Drain(drain::Drain),
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
