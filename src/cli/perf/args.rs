//! The flags of `regatta perf`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use regatta_perf::report::file::Kind;

use super::parts::{Agents, Hold};

/// Check that the platform keeps its promises
///
/// Runs the checks of the non-functional requirements and prints a scorecard. Without --target it starts a platform of its
/// own for that, a server and workers on this machine, and takes it down again; nothing of yours is touched.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Perf {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: Run,
}

const EXAMPLES: &str = "\
Names select checks by their segments (`api`, `api::worker`, `submission::stress`); one that is no segment selects every \
check whose name contains it.

A check fails when any call exceeds its limit, or the 95th percentile its own; both are shown. With --target everything \
the checks make carries a label of the run: workers are reserved for it, tasks require it, and all of it is removed \
afterwards.

Examples:
  regatta perf                                           every check, on a platform of its own
  regatta perf api::worker -s                            a group, with all its figures
  regatta perf --target http://farm:8000 -x              a deployment, up to the first check that fails
  regatta perf --database postgres://... --redis redis://...   two servers of its own on them
  regatta perf --scale 10 --report perf.html             ten times the concurrent numbers, and a report
  regatta perf thresholds > mine.toml                    the limits, to change and give with --thresholds";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Run(Box<Run>),
    /// Print the limits: a file to change and to give with --thresholds
    #[command(after_help = "Examples:\n  regatta perf thresholds > mine.toml\n  regatta perf --thresholds mine.toml")]
    Thresholds,
    /// Say what a figure of the reports means: p95, std dev, queue, …
    #[command(
        after_help = "Examples:\n  regatta perf explain p95\n  regatta perf explain std dev\n  regatta perf explain             every word there is"
    )]
    Explain {
        /// The word
        #[arg(value_name = "WORD")]
        word: Vec<String>,
    },
    #[command(name = "__hold", hide = true)]
    Hold(Hold),
    #[command(name = "__agents", hide = true)]
    Agents(Box<Agents>),
}

/// Run the checks (the same as `regatta perf` without it)
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// The checks to run: groups, names, or parts of names [default: all]
    #[arg(value_name = "CHECK")]
    pub names: Vec<String>,

    /// The deployment to check, instead of a platform of its own
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,

    /// Run its own platform on this PostgreSQL, as two servers: an empty database
    #[arg(long, value_name = "URL", conflicts_with = "target")]
    pub database: Option<String>,

    /// Let the news between those two servers go by this Redis
    #[arg(long, value_name = "URL", requires = "database")]
    pub redis: Option<String>,

    /// List the checks, with what they are held to
    #[arg(long)]
    pub list: bool,

    /// Show all figures of each check
    #[arg(short = 's', long)]
    pub show_metrics: bool,

    /// Stop after the first check that does not pass
    #[arg(short = 'x', long)]
    pub fail_fast: bool,

    /// Show how long the slowest N checks took [default: 10]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "10")]
    pub durations: Option<usize>,

    /// How long a check may take, in seconds; one that takes longer is an error, and has not failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = seconds)]
    pub timeout: f64,

    /// Run each check so often; its figures are of all of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub repeat: u16,

    /// Multiply what the concurrent checks do at once; limits stay as they are
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = scale)]
    pub scale: f64,

    /// A file with checks of your own, in the scenario language; they come after the others
    #[arg(long, value_name = "FILE")]
    pub checks: Option<PathBuf>,

    /// Let your own checks submit tasks where workers of others are online, which then run them
    #[arg(long)]
    pub run_real_agents: bool,

    /// A file with limits to use instead of the defaults
    #[arg(long, value_name = "FILE")]
    pub thresholds: Option<PathBuf>,

    /// Write a report; its suffix says which: .txt, .html, .json, .junit.xml or .md. May be given several times
    #[arg(long, value_name = "FILE", value_parser = report)]
    pub report: Vec<(PathBuf, Kind)>,

    /// Keep the folder of the platform, with its logs and data, also when all checks pass
    #[arg(long)]
    pub keep: bool,
}

fn report(text: &str) -> Result<(PathBuf, Kind), String> {
    let path = PathBuf::from(text);
    let kind = Kind::of(&path).ok_or("the suffix says what is written: .txt, .html, .json, .junit.xml or .md")?;
    Ok((path, kind))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.trim_end_matches('s').parse().map_err(|_| "give a number of seconds".to_owned())?;
    if seconds.is_finite() && seconds > 0.0 && seconds <= 86_400.0 {
        Ok(seconds)
    } else {
        Err("give more than 0 and at most 86400 seconds".to_owned())
    }
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "give a number".to_owned())?;
    if (0.05..=1_000.0).contains(&scale) { Ok(scale) } else { Err("give 0.05 to 1000".to_owned()) }
}
