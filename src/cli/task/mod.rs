//! `regatta task`: submit, follow and steer tasks.

pub mod args;
mod cancel;
mod get;
pub mod list;
mod logs;
mod retry;
mod submit;
mod watch;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::Outcome;

#[derive(Debug, Subcommand)]
pub enum Command {
    Submit(Box<submit::Submit>),
    List(list::List),
    Get(get::Get),
    Watch(watch::Watch),
    Logs(logs::Logs),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
}

impl Command {
    pub async fn run(self, context: &Context) -> Outcome {
        let client = context.client()?;
        match self {
            Self::Submit(command) => command.run(context, &client).await,
            Self::List(command) => command.run(&client).await,
            Self::Get(command) => command.run(&client).await,
            Self::Watch(command) => command.run(context, &client).await,
            Self::Logs(command) => command.run(context, &client).await,
            Self::Cancel(command) => command.run(context, &client).await,
            Self::Retry(command) => command.run(context, &client).await,
        }
    }
}
