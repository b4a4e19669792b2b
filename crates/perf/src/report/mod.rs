//! What came of a run: what every report and the terminal show, and what history can be built on.
//!
//! - [`judge`]: from what a check measured to whether it passed, and why not
//! - [`environment`]: where it was measured
//! - [`text`]: the scorecard and the figures of each check, for people; [`html`], [`junit`], [`markdown`], [`github`]: the
//!   same for browsers, CI and pull requests; [`file`]: which of them a file is

pub mod environment;
pub mod file;
pub mod github;
pub mod html;
pub mod judge;
pub mod junit;
pub mod markdown;
pub mod text;

use std::path::PathBuf;

use regatta_client::api::health::Health;
use serde::Serialize;

pub use judge::{Blame, CheckReport, Judged, Verdict};

use crate::runner::Options;
use environment::Environment;

/// The version of this shape, for those who read it.
pub const VERSION: u32 = 1;

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The run's id: the label of all it made.
    pub run: String,
    /// When it began.
    pub started: String,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// The server that was measured.
    pub target: String,
    /// Whether that was a platform of the run's own.
    pub own_platform: bool,
    /// How the server said it was.
    pub health: Option<Health>,
    /// The scale.
    pub scale: f64,
    /// How often each check ran.
    pub repeat: usize,
    /// Where it was measured.
    pub environment: Environment,
    /// The checks, in the order in which they ran.
    pub checks: Vec<CheckReport>,
    /// It was cut off.
    pub interrupted: bool,
    /// What could not be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_behind: Option<String>,
    /// Where logs and data of the run's own platform are, when they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

impl Report {
    /// One with nothing in it.
    pub fn new(options: &Options, run: &str) -> Self {
        Self {
            version: VERSION,
            run: run.to_owned(),
            started: jiff::Timestamp::now().to_string(),
            took_s: 0.0,
            target: String::new(),
            own_platform: options.target.is_none(),
            health: None,
            scale: options.scale,
            repeat: options.repeat,
            environment: Environment::here(),
            checks: Vec::new(),
            interrupted: false,
            left_behind: None,
            folder: None,
        }
    }

    /// How many checks came to this.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// Whether all that was to be shown was shown.
    pub fn passed(&self) -> bool {
        !self.interrupted && self.checks.iter().all(CheckReport::passed)
    }

    /// Whether nothing failed but where the generator itself was the bottleneck: then the result is invalid, and says
    /// nothing of the platform.
    pub fn is_invalid(&self) -> bool {
        self.count(Verdict::Invalid) > 0 && self.count(Verdict::Failed) + self.count(Verdict::Error) == 0
    }
}
