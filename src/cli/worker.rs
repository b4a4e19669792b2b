//! `regatta worker`: a worker agent.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser};
use regatta_worker::options::{Options, Token};
use regatta_worker::runtime::{self, BuildError, Handle, RunError};

use super::task::args::key_value;
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::logging::{self, LogArgs};
use crate::node::with_hint;
use crate::signals;

/// A worker agent
///
/// Runs a worker agent: it registers with a server, takes subtasks that fit it, and runs them with its tools. What it may
/// run is decided here: a tool that is not listed is refused, whatever the server says.
#[derive(Debug, Args)]
#[command(after_help = "\
Tools: command (programs), claude_code, gemini_cli, ollama, and others of your own (in the configuration \
file); simulate and simulate:NAME only pretend, and their results say so.

A worker is known by its data folder and its name, also after a restart. SIGTERM or Ctrl-C drains it: what \
runs may finish, the rest goes back. The second ends it at once. If it is killed, a helper process ends what \
it ran.

A worker does not guess where to work: without --server, REGATTA_SERVER and a configuration file it prints \
its help and ends.

Examples:
  regatta worker --server http://localhost:8000 --tools command
  regatta worker --server http://localhost:9000 --tools command,ollama --slots 4
  regatta worker --server http://localhost:9000 --name gpu-1 --labels gpu=a100 --tools ollama
  regatta worker --server http://localhost:8000 --tools simulate:claude_code
  regatta worker --config worker.toml")]
pub struct Worker {
    /// The name people see; other names on one machine are other workers [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// What it may run
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',')]
    tools: Vec<String>,

    /// How many subtasks it runs at once [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: Option<u32>,

    /// What tasks may require of it
    #[arg(long, value_name = "NAME=VALUE,…", value_delimiter = ',', value_parser = key_value)]
    labels: Vec<(String, String)>,

    /// Take only subtasks that require one of its labels
    #[arg(long)]
    reserved: bool,

    /// Tools that keep data in the house although their names are not among the known local ones
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',')]
    local_tools: Vec<String>,

    /// Where it keeps its identity and results that are not delivered yet [default: ~/.local/share/regatta]
    #[arg(long, value_name = "DIR", env = "REGATTA_DATA", hide_env_values = true)]
    data_dir: Option<PathBuf>,

    /// How long what runs may take to finish when it drains [default: 30]
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<f64>,

    /// Leave when standard input ends: the process that started this one holds it open while it lives
    #[arg(long, hide = true)]
    exit_with_parent: bool,

    #[command(flatten)]
    log: LogArgs,
}

impl Worker {
    pub async fn run(self, context: &Context) -> Outcome {
        if context.named_server().is_none() && !context.configured {
            return help();
        }
        let file = &context.file.serve;
        logging::start(&self.log, file.log_format, file.log_level.as_deref(), &context.globals, "info")?;
        let exit_with_parent = self.exit_with_parent;
        let options = self.options(context)?;
        let service = runtime::build(options).map_err(build_failure)?;
        let handle = service.handle();
        let signalled = runtime::until_signalled(handle.clone());
        let drain = async {
            if exit_with_parent {
                tokio::select! {
                    () = signalled => {}
                    () = parent_gone(handle) => {}
                }
            } else {
                signalled.await;
            }
        };
        service.run(drain).await.map_err(run_failure)?;
        Ok(Exit::Done)
    }

    /// The configuration file under the flags.
    fn options(self, context: &Context) -> Result<Options, Failure> {
        let mut options = context.file.worker.clone();
        if let Some(server) = context.named_server() {
            options.server = server.to_owned();
        }
        if let Some(token) = context.token() {
            options.token = Some(Token(token.to_owned()));
        }
        if let Some(ca) = context.tls_ca() {
            options.tls_ca = Some(ca.to_owned());
        }
        if !self.tools.is_empty() {
            options.tools.offered = self.tools;
        }
        if options.tools.offered.is_empty() {
            return Err(Failure::usage("the worker offers no tools")
                .hint("say what it may run: --tools command, or tools = [\"command\"] under [worker] in the configuration file"));
        }
        options.name = self.name.or(options.name);
        options.slots = self.slots.unwrap_or(options.slots);
        options.labels.extend(self.labels);
        options.reserved |= self.reserved;
        if !self.local_tools.is_empty() {
            options.local_tools = self.local_tools;
        }
        options.drain_seconds = self.drain_seconds.unwrap_or(options.drain_seconds);
        options.data_dir = match self.data_dir {
            Some(dir) => Some(dir),
            None => Some(options.data_dir.map_or_else(|| context.data_dir(None), Ok)?),
        };
        Ok(options)
    }
}

/// There is nothing to go by: says how to use it.
fn help() -> Outcome {
    #[derive(Parser)]
    #[command(name = "regatta worker")]
    struct Only {
        #[command(flatten)]
        worker: Worker,
    }
    // Where this cannot be written, nobody reads it.
    let _ = writeln!(anstream::stderr().lock(), "{}", Only::command().render_help().ansi());
    Err(Failure::usage("the worker knows no server")
        .hint("name one with --server or REGATTA_SERVER, or give a configuration file"))
}

/// The parent is gone, and with it the server: nothing is worth waiting for.
async fn parent_gone(handle: Handle) {
    signals::parent_gone().await;
    tracing::info!("the process that started this worker is gone; leaving");
    handle.stop_now();
}

fn build_failure(error: BuildError) -> Failure {
    let exit = match &error {
        BuildError::Options(_) | BuildError::Tools(_) | BuildError::Server(_) => Exit::Usage,
        BuildError::Identity(_) | BuildError::Journal { .. } => Exit::Failed,
    };
    with_hint(exit, &error.to_string())
}

fn run_failure(error: RunError) -> Failure {
    with_hint(Exit::Failed, &error.to_string())
}
