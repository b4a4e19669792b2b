//! What the long-running commands log, to standard error: text for people, JSON for machines.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::context::Globals;
use crate::exit::Failure;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// Flags of commands that log.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The form of log lines [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// What to log: error, warn, info, debug, trace, or by part: info,regatta_engine=debug
    /// [default: info; `up`: warn]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// Starts logging: the flags over the configuration file over `-v` and `-q` over `usual`.
///
/// # Errors
/// When the level is none.
pub fn start(
    flags: &LogArgs,
    format: Option<LogFormat>,
    level: Option<&str>,
    globals: &Globals,
    usual: &str,
) -> Result<(), Failure> {
    let asked = match (globals.quiet, globals.verbose) {
        (true, _) => Some("warn"),
        (false, 0) => None,
        (false, 1) => Some("debug,hyper=info,reqwest=info,tungstenite=info"),
        (false, _) => Some("trace"),
    };
    let level = flags.log_level.as_deref().or(asked).or(level).unwrap_or(usual);
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("{level:?} says not what to log: {error}"))
            .hint("give error, warn, info, debug or trace, or by part: info,regatta_engine=debug")
    })?;
    let colors = std::io::stderr().is_terminal()
        && anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    // A line that cannot be written (a full disk, a pipe nobody reads) is lost. To say so there too would panic.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // Fails only when a subscriber is there already, which a process does once.
    let _ = match flags.log_format.or(format).unwrap_or(LogFormat::Text) {
        LogFormat::Text => builder.with_ansi(colors).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
    };
    Ok(())
}
