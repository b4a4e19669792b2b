//! Runs what was selected, against a platform of its own or one that is there, and cleans up whatever happens.
//!
//! - [`stage`]: the server and the workers that a run stands on
//! - [`measure`]: one check, run and judged

mod measure;
mod stage;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio::task::LocalSet;

use self::stage::Stage;
use crate::caller::CallerError;
use crate::own::OwnCheck;
use crate::platform::Services;
use crate::report::{CheckReport, Report};
use crate::thresholds::Thresholds;
use crate::trial::{Check, Trouble};

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The checks.
    pub checks: Vec<Item>,
    /// Checks of one's own may submit tasks where agents of others are online.
    pub run_real_agents: bool,
    /// The server; without it a platform of our own.
    pub target: Option<String>,
    /// What the servers of our own platform run on, in place of the embedded store: then there are two of them.
    pub services: Option<Services>,
    /// The token to show it.
    pub token: Option<String>,
    /// Certificates to believe.
    pub tls_ca: Option<PathBuf>,
    /// This program: it becomes server and workers.
    pub binary: PathBuf,
    /// How many times the numbers of the concurrent checks.
    pub scale: f64,
    /// How often each check runs; its figures are of all of them.
    pub repeat: usize,
    /// So long a check may take.
    pub timeout: Duration,
    /// Stop after the first that does not pass.
    pub fail_fast: bool,
    /// Keep the folder of our own platform, also when all passed.
    pub keep: bool,
    /// What they are held to.
    pub thresholds: Thresholds,
}

/// A check that was selected.
#[derive(Debug, Clone)]
pub enum Item {
    /// One of ours.
    BuiltIn(&'static Check),
    /// One of a file.
    Own(Box<OwnCheck>),
}

impl Item {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(check) => check.name,
            Self::Own(check) => &check.name,
        }
    }

    /// What it does.
    pub fn about(&self) -> &str {
        match self {
            Self::BuiltIn(check) => check.about,
            Self::Own(check) => &check.about,
        }
    }
}

/// Is told how a run goes.
pub trait Observer {
    /// The platform is being started, or workers are.
    fn preparing(&mut self, what: &str);
    /// A check begins: the `index`th, from 0, of `all`.
    fn begins(&mut self, name: &str, index: usize, all: usize);
    /// It has ended.
    fn ended(&mut self, check: &CheckReport);
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
    /// Nobody answers there.
    #[error("no server answers at {url} ({reason})")]
    Unreachable {
        /// The address.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The platform of our own does not start, or the one that is there refuses.
    #[error("{0}")]
    Platform(String),
}

impl From<CallerError> for RunError {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Options(what) => Self::Options(what),
            CallerError::Unreachable { url, reason } => Self::Unreachable { url, reason },
        }
    }
}

impl From<regatta_client::Error> for RunError {
    fn from(error: regatta_client::Error) -> Self {
        match error {
            regatta_client::Error::Options(what) => Self::Options(what),
            regatta_client::Error::Unreachable { url, reason } => Self::Unreachable { url, reason },
            error if error.status() == Some(401) => {
                Self::Platform(format!("{error}; give a user's token with REGATTA_TOKEN"))
            }
            error => Self::Platform(error.to_string()),
        }
    }
}

impl From<Trouble> for RunError {
    fn from(trouble: Trouble) -> Self {
        Self::Platform(trouble.0)
    }
}

/// Runs the checks until they are done, or until `interrupts` counts one: what was measured by then is in the report. After
/// a second one even cleaning up is given up.
///
/// # Errors
/// When there is nothing to measure.
pub fn run(
    options: &Options,
    observer: &mut dyn Observer,
    interrupts: watch::Receiver<u32>,
) -> Result<Report, RunError> {
    allow_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Platform(format!("the runtime cannot be started: {error}")))?;
    LocalSet::new().block_on(&runtime, within(options, observer, interrupts))
}

async fn within(
    options: &Options,
    observer: &mut dyn Observer,
    mut interrupts: watch::Receiver<u32>,
) -> Result<Report, RunError> {
    let started = Instant::now();
    let run = uuid::Uuid::now_v7().simple().to_string();
    let run = run[run.len() - 12..].to_owned();
    let mut report = Report::new(options, &run);
    let folder = tempfile::Builder::new()
        .prefix("regatta-perf-")
        .tempdir()
        .map_err(|error| RunError::Platform(format!("no temporary folder can be made: {error}")))?;
    let mut stage = Stage { options, run, folder: folder.path().to_owned(), servers: Vec::new(), world: None };
    let outcome = tokio::select! {
        outcome = stage.work(observer, &mut report) => outcome,
        () = counted(&mut interrupts, 1) => {
            report.interrupted = true;
            Ok(())
        }
    };
    // A server of our own goes with all that is in it.
    let own = !stage.servers.is_empty();
    let left = tokio::select! {
        left = stage.close() => left,
        () = counted(&mut interrupts, 2) => Err(Trouble::new("cleaning up was interrupted")),
    };
    if let Err(Trouble(left)) = left {
        report.left_behind = Some(left);
    }
    report.took_s = started.elapsed().as_secs_f64();
    outcome?;
    // A run that was cut off has not failed by that.
    if own && (options.keep || !report.checks.iter().all(CheckReport::passed)) {
        report.folder = Some(folder.keep());
    }
    Ok(report)
}

/// Ready when so many were counted.
async fn counted(interrupts: &mut watch::Receiver<u32>, count: u32) {
    if interrupts.wait_for(|so_far| *so_far >= count).await.is_err() {
        // Nobody will interrupt any more.
        std::future::pending().await
    }
}

/// Raises the limit of file descriptors as far as the system lets us: at a scale there are thousands of connections, and the
/// server that we start inherits it.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the limit stays, and the check that needs more says what failed.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
