//! What each request body must satisfy beyond its types: the limits of the contract.
//!
//! Not here: what a plan must satisfy as a whole (names, dependencies, cycles), that is the model's; sizes over their
//! limit (413) are looked at where the body is taken.

use regatta_api::frames::{all::WatchAction, logs::LogsAction, worker::WorkerFrame};
use regatta_api::legacy::{LegacyLog, LegacyResult};
use regatta_api::limits;
use regatta_api::subtask::{AppendLog, ReportProgress, ReportResult};
use regatta_api::task::{CancelTask, CreateTask, CreateTasks, Step, TaskIds};
use regatta_api::worker::{Heartbeat, Poll, RegisterWorker};

use crate::body::{Check, Nul};
use crate::fields::Errors;

impl Check for CreateTask {
    fn check(&self, errors: &mut Errors, at: &str) {
        errors.length(format!("{at}description"), &self.description, &limits::DESCRIPTION);
        let steps = self.subtasks.as_deref().unwrap_or_default();
        if steps.len() > limits::PLAN_STEPS {
            // Refused as too large, whatever else is wrong.
            return;
        }
        for (place, step) in steps.iter().enumerate() {
            check_step(step, errors, || format!("{at}subtasks[{place}]"));
        }
    }
}

fn check_step(step: &Step, errors: &mut Errors, at: impl Fn() -> String) {
    // The paths are made only for what does not fit: a plan may have 10,000 steps.
    if step.name.is_empty() {
        errors.add(format!("{}.name", at()), "must not be empty; dependents and their context use it");
    }
    if !limits::COMPLEXITY.contains(&step.complexity) {
        errors.range(format!("{}.complexity", at()), step.complexity, &limits::COMPLEXITY);
    }
    if step.timeout_seconds == 0 {
        errors.range(format!("{}.timeout_seconds", at()), 0, &(1..=u32::MAX));
    }
    if step.max_attempts == 0 {
        errors.range(format!("{}.max_attempts", at()), 0, &(1..=u32::MAX));
    }
}

impl Check for CreateTasks {
    fn check(&self, errors: &mut Errors, at: &str) {
        errors.count(format!("{at}tasks"), self.tasks.len(), &limits::BATCH);
        for (place, task) in self.tasks.iter().enumerate() {
            task.check(errors, &format!("{at}tasks[{place}]."));
        }
    }
}

impl Check for CancelTask {}

impl Check for TaskIds {
    fn check(&self, errors: &mut Errors, at: &str) {
        errors.count(format!("{at}task_ids"), self.task_ids.len(), &limits::BATCH);
    }
}

impl Check for RegisterWorker {
    fn check(&self, errors: &mut Errors, at: &str) {
        errors.length(format!("{at}machine_id"), &self.machine_id, &limits::MACHINE_ID);
        errors.length(format!("{at}machine_name"), &self.machine_name, &limits::MACHINE_NAME);
        errors.range(format!("{at}slots"), self.slots, &limits::SLOTS);
    }
}

impl Check for Heartbeat {}

impl Check for Poll {
    fn check(&self, errors: &mut Errors, at: &str) {
        errors.range(format!("{at}slots"), self.slots, &limits::SLOTS);
        errors.range(format!("{at}wait_seconds"), self.wait_seconds, &limits::WAIT_SECONDS);
    }
}

impl Check for ReportResult {
    const NUL: Nul = Nul::Replace;

    fn check(&self, errors: &mut Errors, at: &str) {
        if !(self.execution_time >= 0.0 && self.execution_time.is_finite()) {
            errors.add(format!("{at}execution_time"), format!("must be 0 or more seconds, is {}", self.execution_time));
        }
    }
}

impl Check for AppendLog {
    const NUL: Nul = Nul::Replace;
}

impl Check for ReportProgress {
    const NUL: Nul = Nul::Replace;

    fn check(&self, errors: &mut Errors, at: &str) {
        errors.range(format!("{at}progress"), self.progress, &limits::PROGRESS);
    }
}

impl Check for LegacyResult {
    const NUL: Nul = Nul::Replace;
}

impl Check for LegacyLog {
    const NUL: Nul = Nul::Replace;
}

impl Check for WorkerFrame {
    const NUL: Nul = Nul::Replace;

    fn check(&self, errors: &mut Errors, _at: &str) {
        match self {
            Self::Progress { data } => data.body.check(errors, "data."),
            Self::Result { data } => data.body.check(errors, "data."),
            _ => {}
        }
    }
}

impl Check for LogsAction {
    fn check(&self, errors: &mut Errors, _at: &str) {
        if let Self::Subscribe(range) | Self::Replay(range) = self
            && let Some(limit) = range.limit
        {
            errors.range("limit", limit, &limits::LOG_LIMIT);
        }
    }
}

impl Check for WatchAction {}
