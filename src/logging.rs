//! What the long-running commands log, to standard error: text for people, JSON for machines.

use std::fmt;
use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::registry::LookupSpan;

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
    let form = flags.log_format.or(format).unwrap_or(LogFormat::Text);
    // Fails only when a subscriber is there already, which a process does once.
    let _ = match form {
        LogFormat::Text => {
            let line = WithRequest { form, line: format::format().with_ansi(colors) };
            builder.with_ansi(colors).event_format(line).try_init()
        }
        LogFormat::Json => {
            let line = format::format().json().flatten_event(true).with_current_span(false).with_span_list(false);
            builder.fmt_fields(JsonFields::new()).event_format(WithRequest { form, line }).try_init()
        }
    };
    Ok(())
}

/// Log lines with the id of the request that is served meanwhile, at their end.
struct WithRequest<L> {
    form: LogFormat,
    line: L,
}

impl<L, S, N> FormatEvent<S, N> for WithRequest<L>
where
    L: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let id = regatta_server::current_request();
        if id.is_empty() {
            return self.line.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.line.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{}", with_request(line.trim_end(), self.form, &id))
    }
}

fn with_request(line: &str, form: LogFormat, id: &str) -> String {
    match (form, line.strip_suffix('}')) {
        // The id may be a caller's, with quotes in it.
        (LogFormat::Json, Some(fields)) => format!("{fields},\"request_id\":{}}}", serde_json::Value::from(id)),
        _ => format!("{line} request_id={id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_request_at_the_end() {
        assert_eq!(with_request("12:00 INFO answered", LogFormat::Text, "r-1"), "12:00 INFO answered request_id=r-1");
        let line = with_request(r#"{"level":"INFO","fields":{"a":1}}"#, LogFormat::Json, "r\"1");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["level"], &line["request_id"]), (&"INFO".into(), &"r\"1".into()));
    }
}
