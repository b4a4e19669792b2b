//! How a worker works, what the program around it does for it, and how its work ends.

use std::path::PathBuf;
use std::time::Duration;

use super::message::Job;
use crate::engine::Outcome;
use crate::scenario::Plan;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The master's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Threads of the engine.
    pub threads: usize,
    /// A PEM file with certificates to trust beside the system's.
    pub trust: Option<PathBuf>,
    /// Speak HTTP/2 to the server.
    pub http2: bool,
    /// A master that answers no heartbeat for so long is lost. Locust's is 60 s.
    pub patience: Duration,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It goes as it should.
    Info,
    /// Somebody should look.
    Warning,
    /// Something does not work.
    Error,
}

/// What is done when a run is over, on the run's own thread; the master has been told already. An error is a sentence for
/// the log.
pub type Ended = Box<dyn FnOnce(&Outcome) -> Result<(), String> + Send>;

/// What the program around a worker does for it.
pub trait Hooks: Send + Sync {
    /// What is run, with the job's server and tags where it names any, and what is done afterwards.
    ///
    /// # Errors
    /// A sentence that says why it cannot be run.
    fn prepare(&self, job: &Job) -> Result<(Plan, Ended), String>;

    /// Logs; with the line as it was written, for the master.
    fn log(&self, level: Level, text: &str) -> String;
}

/// How a worker's work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The master said so.
    Quit,
    /// We were asked to.
    Interrupted,
}

/// Why a worker cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody took us up.
    #[error("no Locust master answers at {master} ({reason})")]
    Unreachable {
        /// Where.
        master: String,
        /// What the last try said.
        reason: String,
    },
    /// The master is gone.
    #[error("the Locust master at {master} has not answered for {} s: its users are stopped", .patience.as_secs_f64())]
    Lost {
        /// Where.
        master: String,
        /// So long.
        patience: Duration,
    },
}
