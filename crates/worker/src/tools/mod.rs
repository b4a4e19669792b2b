//! What a worker can run: one trait, a file a tool. A tool knows nothing of the line, the journal or leases' renewal.
//!
//! - [`command`] runs programs
//! - [`agent`] runs AI tools and other programs under a name of their own, with `command`'s machinery
//! - [`simulate`] does nothing, for as long as asked
//! - [`set`] is which of them this worker offers, by its owner's choice

pub mod agent;
pub mod command;
pub mod set;
pub mod simulate;
mod stop;

use std::sync::Arc;

use async_trait::async_trait;
use regatta_api::subtask::{ReportResult, ResultStatus};
use regatta_api::worker::Assignment;
use regatta_api::{JsonObject, LogLevel};

pub use stop::{Stop, StopOrder, StopReason, Stopper};

/// A tool. One instance runs many attempts at once.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Runs an attempt until it ends or is stopped; when this returns, nothing of it runs any more.
    ///
    /// # Errors
    /// [`Unable`] when the attempt could not be made for a reason that is not its own; whatever the tool itself does wrong is an
    /// [`Outcome`].
    async fn run(&self, job: &Job, sink: &dyn Sink, stop: &Stop) -> Result<Outcome, Unable>;

    /// Whether what it makes is only pretended.
    fn is_simulated(&self) -> bool {
        false
    }
}

/// One attempt at a subtask, as a tool sees it.
#[derive(Debug, Clone)]
pub struct Job {
    /// What is to be done.
    pub assignment: Arc<Assignment>,
    /// When the lease is over unless it is renewed, by [`crate::clock::boot_ms`]: a last resort for processes.
    pub deadline_ms: Option<u64>,
}

impl Job {
    /// What the attempt's processes are known by: `<subtask id>/<lease>`.
    pub fn marker(&self) -> String {
        format!("{}/{}", self.assignment.subtask_id, self.assignment.lease)
    }
}

/// What a tool tells while it runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A line of log, at most [`regatta_api::limits::LOG_LINE_BYTES`] long and without U+0000.
    Log {
        /// Its weight.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// How far it is.
    Progress {
        /// In percent, 0..=100.
        percent: u32,
        /// What it does now.
        message: Option<String>,
    },
}

/// Takes what tools tell. It never blocks: what cannot be passed on in time is dropped, and said to be.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether it did what it should.
    pub status: ResultStatus,
    /// What it made.
    pub result: JsonObject,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// The program's exit code, if it was a program that ended by itself.
    pub exit_code: Option<i32>,
    /// How long it ran, in seconds.
    pub execution_time: f64,
    /// Whether the result is only pretended.
    pub simulated: bool,
}

impl Outcome {
    /// An attempt that failed before anything ran.
    pub fn failed(error: impl Into<String>) -> Self {
        Self {
            status: ResultStatus::Failed,
            result: JsonObject::new(),
            error: Some(error.into()),
            exit_code: None,
            execution_time: 0.0,
            simulated: false,
        }
    }

    /// The report of it.
    pub fn into_report(self, lease: &str) -> ReportResult {
        ReportResult {
            status: self.status,
            result: self.result,
            execution_time: self.execution_time,
            error: self.error,
            exit_code: self.exit_code,
            simulated: self.simulated,
            lease: Some(lease.to_owned()),
        }
    }
}

/// The attempt could not be made here; another worker, or this one later, may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unable(pub String);

#[cfg(test)]
pub(crate) mod test_support {
    use super::*;
    use parking_lot::Mutex;
    use serde_json::Value;
    use uuid::Uuid;

    /// Keeps all events.
    #[derive(Default)]
    pub struct Kept(Mutex<Vec<Event>>);

    impl Sink for Kept {
        fn emit(&self, event: Event) {
            self.0.lock().push(event);
        }
    }

    impl Kept {
        /// The lines of one level.
        pub fn lines(&self, wanted: LogLevel) -> Vec<String> {
            let events = self.0.lock();
            events
                .iter()
                .filter_map(|event| match event {
                    Event::Log { level, message } if *level == wanted => Some(message.clone()),
                    _ => None,
                })
                .collect()
        }
    }

    /// An attempt with this input and context.
    pub fn job(tool: &str, input: Value, context: Value) -> Job {
        Job {
            assignment: Arc::new(Assignment {
                subtask_id: Uuid::now_v7(),
                task_id: Uuid::now_v7(),
                name: "Step".into(),
                description: "Count the words".into(),
                assigned_tool: tool.into(),
                input: input.into(),
                context: context.into(),
                complexity: 1,
                priority: 0,
                attempt: 2,
                lease: Uuid::now_v7().to_string(),
                lease_seconds: 90,
                timeout_seconds: 60,
            }),
            deadline_ms: None,
        }
    }
}
