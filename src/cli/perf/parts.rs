//! What this program is when a run starts it again. Nobody types these.

use std::path::PathBuf;

use clap::Args;
use regatta_client::api::JsonObject;
use regatta_client::api::worker::RegisterWorker;
use regatta_perf::platform::agents::{self, AgentsOptions};
use regatta_perf::platform::hold;
use regatta_perf::world::labels;

use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::signals;

/// The task that holds until its round is released.
#[derive(Debug, Args)]
pub struct Hold {
    /// The folder of the rounds.
    folder: PathBuf,
    /// The round.
    round: String,
}

impl Hold {
    pub fn run(self) -> Outcome {
        hold::main(&self.folder, &self.round)
            .map_err(|error| Failure::failed(format!("the round {} cannot be used: {error}", self.round)))?;
        Ok(Exit::Done)
    }
}

/// A process of many workers.
#[derive(Debug, Args)]
pub struct Agents {
    /// The run.
    #[arg(long)]
    run: String,
    /// The part of the run that they are for.
    #[arg(long)]
    part: String,
    /// The number of the first.
    #[arg(long)]
    first: usize,
    /// How many.
    #[arg(long)]
    count: usize,
    /// How many tasks each runs at once.
    #[arg(long)]
    slots: u32,
    /// The folder of the rounds.
    #[arg(long)]
    rounds: PathBuf,
}

impl Agents {
    pub fn run(self, context: &Context) -> Outcome {
        let like = RegisterWorker {
            machine_id: format!("perf-{}-agent", self.run),
            machine_name: format!("perf-{}", self.run),
            system_info: JsonObject::new(),
            tools: vec![hold::TOOL.to_owned()],
            labels: labels(&self.run, &self.part),
            slots: self.slots,
            reserved: true,
            local_tools: Vec::new(),
            running: None,
        };
        let options = AgentsOptions {
            server: context.server().to_owned(),
            token: context.token().map(str::to_owned),
            tls_ca: context.tls_ca().map(ToOwned::to_owned),
            first: self.first,
            count: self.count,
            like,
            rounds: self.rounds,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
        let ran = runtime.block_on(agents::run(options, signals::parent_gone()));
        ran.map(|()| Exit::Done).map_err(|trouble| Failure::failed(trouble.to_string()))
    }
}
