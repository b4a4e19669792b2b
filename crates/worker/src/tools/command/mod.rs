//! `command`: runs a program. See [`input`] for what a step says, [`output`] for what becomes its result.
//!
//! Programs are started by the supervisor (see [`crate::supervisor`]), never through a shell unless the step says so.

mod environment;
#[cfg(test)]
mod fuzz;
mod input;
mod lines;
mod output;
mod program;
mod run;
mod template;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

pub use environment::Inherited;
pub use program::Programs;
pub use template::Scope;

use regatta_api::{FieldError, JsonObject};

use super::{Job, Outcome, Sink, Stop, Tool, Unable};
use crate::supervisor::Supervisor;
pub(super) use input::{Argument, Step};

/// The name of the tool.
pub const NAME: &str = "command";

/// Looks at a step's input as far as that can be done without running it: whether it names a program, and whether its templates
/// can be read. For those who write plans.
///
/// # Errors
/// The first thing that cannot work, with its place in the input, such as `argv[1]`; of the whole of it: an empty one.
pub fn check(input: &JsonObject) -> Result<(), FieldError> {
    let wrong = |field: String, message: String| FieldError { field, message };
    let step = Step::from_object(input).map_err(|(field, message)| wrong(field, message))?;
    step.check().map_err(|message| wrong(String::new(), message))?;
    for (place, text) in step.templates() {
        template::check(text).map_err(|message| wrong(place, message))?;
    }
    Ok(())
}

/// What all programs of a worker have in common.
#[derive(Debug, Clone)]
pub struct Commands {
    /// Starts and ends them.
    pub supervisor: Supervisor,
    /// Which may run.
    pub programs: Programs,
    /// What of the worker's environment they see.
    pub inherited: Inherited,
    /// Where they run unless the step says otherwise; relative paths are relative to it.
    pub directory: PathBuf,
    /// Where files for their results are made.
    pub outputs: PathBuf,
    /// The worker's name, for errors.
    pub worker: String,
}

/// The tool.
pub struct Command {
    commands: Arc<Commands>,
}

impl Command {
    /// The tool over this worker's programs.
    pub fn new(commands: Arc<Commands>) -> Self {
        Self { commands }
    }
}

#[async_trait]
impl Tool for Command {
    async fn run(&self, job: &Job, sink: &dyn Sink, stop: &Stop) -> Result<Outcome, Unable> {
        match Step::parse(&job.assignment.input) {
            Ok(step) => self.commands.run(&step, job, sink, stop).await,
            Err(error) => Ok(Outcome::failed(error)),
        }
    }
}
