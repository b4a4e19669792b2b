//! The command line: what there is, a file a command.

mod backup;
mod completions;
pub mod database;
mod export;
mod import;
mod load;
mod migrate;
mod perf;
mod restore;
mod serve;
mod status;
mod task;
mod token;
mod up;
mod worker;
mod workers;

use std::future::Future;
use std::io::Write;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::context::{Context, Globals};
use crate::exit::{self, Exit, Failure, Outcome};
use crate::ui::Color;
use crate::ui::style::{BAD, BOLD, LIVE, paint};

/// Runs a fleet of AI agents as one system, and proves that it keeps its promises.
#[derive(Debug, Parser)]
#[command(
    name = "regatta",
    version,
    styles = clap::builder::Styles::styled().header(BOLD).usage(BOLD).literal(LIVE).error(BAD),
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    globals: Globals,
}

const EXAMPLES: &str = "\
Examples:
  regatta up                                   everything on this machine
  regatta task submit --watch -- date -u       run a program on a worker and watch it
  regatta status                               what runs, what waits, and why

Settings come from the configuration file, over it the environment (REGATTA_SERVER, REGATTA_DATA, \
REGATTA_TOKEN, REGATTA_CONFIG), over both the flags.";

#[derive(Debug, Subcommand)]
enum Command {
    Up(Box<up::Up>),
    Serve(serve::Serve),
    Worker(Box<worker::Worker>),
    /// Submit, follow and steer tasks
    #[command(subcommand)]
    Task(task::Command),
    /// See and steer workers
    #[command(subcommand)]
    Workers(workers::Command),
    Status(status::Status),
    Load(Box<load::Load>),
    Perf(Box<perf::Perf>),
    /// Make, list and revoke tokens, on the server's database
    #[command(subcommand)]
    Token(token::Command),
    Migrate(migrate::Migrate),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Export(export::Export),
    Import(import::Import),
    Completions(completions::Completions),
}

/// The command line with everything its help shows.
fn command() -> clap::Command {
    Cli::command().after_help(format!("{EXAMPLES}\n\n{}", exit::TABLE))
}

/// Parses the command line, runs the command, and says what went wrong.
pub fn run() -> Exit {
    early_color();
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        // Help and version are asked for and go to standard output; a closed pipe is no reason to complain.
        Err(message) => {
            let _ = message.print();
            return if message.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let outcome = Context::new(cli.globals).and_then(|context| {
        context.globals.color.or(context.file.color).unwrap_or(Color::Auto).apply();
        cli.command.run(&context)
    });
    match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            report(&failure);
            failure.exit
        }
    }
}

/// Says what went wrong.
fn report(failure: &Failure) {
    if failure.what.is_empty() {
        return;
    }
    // Where even this cannot be written, nobody listens.
    let mut err = anstream::stderr().lock();
    let _ = writeln!(err, "{} {}", paint(BAD.bold(), "error:"), failure.what);
    if let Some(hint) = &failure.hint {
        let _ = writeln!(err, "  {} {hint}", paint(LIVE, "hint:"));
    }
}

/// `--color` counts for help and for errors in the command line too, so it is looked for before parsing.
fn early_color() {
    let mut words = std::env::args().skip(1).take_while(|word| word != "--");
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        if let Some(color) = value.and_then(|value| <Color as clap::ValueEnum>::from_str(&value, false).ok()) {
            color.apply();
        }
    }
}

impl Command {
    fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Up(command) => long_running(Builder::new_multi_thread(), command.run(context)),
            Self::Serve(command) => long_running(Builder::new_multi_thread(), command.run(context)),
            // Its tools are processes of their own: one thread is enough, and takes less memory.
            Self::Worker(command) => long_running(Builder::new_current_thread(), command.run(context)),
            Self::Task(command) => client_side(context, command.run(context)),
            Self::Workers(command) => client_side(context, command.run(context)),
            Self::Status(command) => client_side(context, command.run(context)),
            Self::Load(command) => command.run(context),
            Self::Perf(command) => command.run(context),
            Self::Token(command) => client_side(context, command.run(context)),
            Self::Migrate(command) => client_side(context, command.run(context)),
            Self::Backup(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::Export(command) => client_side(context, command.run(context)),
            Self::Import(command) => client_side(context, command.run(context)),
            Self::Completions(command) => command.run(),
        }
    }
}

/// Runs a command that only talks to a server or a database: one thread is enough.
fn client_side(context: &Context, command: impl Future<Output = Outcome>) -> Outcome {
    log(context);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(command)
}

/// Runs a command that serves until it is told to stop.
fn long_running(mut threads: Builder, command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = threads
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    let outcome = runtime.block_on(command);
    // A second signal must not wait for what still runs in the background.
    runtime.shutdown_background();
    outcome
}

/// `-v` shows what the client does.
fn log(context: &Context) {
    let level = match context.globals.verbose {
        0 => return,
        1 => "regatta=debug,regatta_client=debug",
        _ => "trace",
    };
    // Set once a process; a second time cannot happen.
    let _ = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    /// Every command teaches by example.
    #[test]
    fn every_command_has_examples() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_name() == "help" {
                return;
            }
            if command.get_subcommands().next().is_none() && !command.is_hide_set() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example") && help.contains("regatta"), "{path} has no examples");
            }
            for sub in command.get_subcommands() {
                visit(sub, &path);
            }
        }
        let mut cli = command();
        cli.build();
        visit(&cli, "");
    }

    #[test]
    fn a_token_is_never_shown_by_help() {
        let mut cli = command();
        for arg in cli.clone().get_arguments().filter(|arg| arg.get_env().is_some()) {
            assert!(arg.is_hide_env_values_set(), "{}", arg.get_id());
        }
        assert!(cli.render_long_help().to_string().contains("REGATTA_TOKEN"));
    }
}
