//! One attempt, from the assignment to what is reported of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use regatta_api::subtask::ResultStatus;
use regatta_api::worker::{Assignment, LeaseRef};

use super::agent::{Agent, lease_of};
use super::lease::GRACE;
use crate::tools::{Event, Job, Outcome, Sink, Stop, StopReason, Stopper, Unable};

/// Passes what a tool tells on to the line.
struct ToLine {
    agent: Arc<Agent>,
    lease: LeaseRef,
}

impl Sink for ToLine {
    fn emit(&self, event: Event) {
        self.agent.outbox.event(&self.lease, event);
    }
}

/// What the attempt's processes are known by.
pub(super) fn marker(assignment: &Assignment) -> String {
    format!("{}/{}", assignment.subtask_id, assignment.lease)
}

/// Runs the attempt, ends it when its time is up, and reports or gives it back.
pub(super) async fn run(
    agent: Arc<Agent>,
    assignment: Arc<Assignment>,
    stop: Stop,
    stopper: Stopper,
    deadline_ms: u64,
) {
    let sink = ToLine { agent: agent.clone(), lease: lease_of(&assignment) };
    let job = Job { assignment: assignment.clone(), deadline_ms: Some(deadline_ms) };
    let limit = Duration::from_secs(u64::from(assignment.timeout_seconds));
    // A fault in a tool must not leave its slot taken for ever.
    let work = AssertUnwindSafe(agent.tools.run(&job, &sink, &stop)).catch_unwind();
    tokio::pin!(work);
    let ended = tokio::select! {
        biased;
        ended = &mut work => ended,
        () = tokio::time::sleep(limit) => {
            stopper.stop(StopReason::TimedOut, GRACE);
            work.await
        }
    };
    let ended = ended.unwrap_or_else(|_| {
        Ok(Outcome::failed(format!("the tool {} has a fault; the worker's log has more", assignment.assigned_tool)))
    });
    match report(ended, stopper.order().map(|order| order.reason), assignment.timeout_seconds) {
        Report::Result(outcome) => agent.finish(&assignment, outcome.into_report(&assignment.lease)).await,
        Report::GiveBack(reason) => agent.give_back(&assignment, reason),
        Report::Nothing => agent.forget(&assignment),
    }
}

#[derive(Debug, PartialEq)]
enum Report {
    Result(Outcome),
    GiveBack(String),
    Nothing,
}

/// What is reported of an attempt that ended so, after it was told to stop for this reason.
fn report(ended: Result<Outcome, Unable>, stopped: Option<StopReason>, timeout_seconds: u32) -> Report {
    match (ended, stopped) {
        // Nobody wants to know any more.
        (_, Some(StopReason::Cancelled(_) | StopReason::Dropped | StopReason::Expelled)) => Report::Nothing,
        // It was done before the order reached it; if the lease is over, the server will say so.
        (Ok(outcome), _) if outcome.status == ResultStatus::Completed => Report::Result(outcome),
        (Ok(outcome), None) => Report::Result(outcome),
        (Ok(mut outcome), Some(StopReason::TimedOut)) => {
            outcome.error = Some(format!("timed out after {timeout_seconds} s"));
            Report::Result(outcome)
        }
        (Err(_), Some(StopReason::TimedOut)) => {
            Report::Result(Outcome::failed(format!("timed out after {timeout_seconds} s")))
        }
        (_, Some(StopReason::Draining)) => {
            Report::GiveBack("draining: the worker is shutting down and ended it".into())
        }
        (_, Some(StopReason::LeaseOver)) => Report::Nothing,
        (Err(unable), None) => Report::GiveBack(unable.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_depends_on_how_it_ended_and_why_it_was_stopped() {
        let failed = || Ok(Outcome::failed("killed by signal 15 (SIGTERM)"));
        let done = || Ok(Outcome { status: ResultStatus::Completed, ..Outcome::failed("") });
        let unable = || Err(Unable("no supervisor".into()));
        let cancelled = || Some(StopReason::Cancelled("by a caller".into()));

        for stopped in [cancelled(), Some(StopReason::Dropped), Some(StopReason::Expelled)] {
            assert_eq!(report(done(), stopped.clone(), 5), Report::Nothing);
            assert_eq!(report(failed(), stopped, 5), Report::Nothing);
        }
        for stopped in [None, Some(StopReason::TimedOut), Some(StopReason::Draining), Some(StopReason::LeaseOver)] {
            assert_eq!(report(done(), stopped, 5), Report::Result(done().unwrap()));
        }
        assert_eq!(report(failed(), None, 5), Report::Result(failed().unwrap()));
        let Report::Result(outcome) = report(failed(), Some(StopReason::TimedOut), 5) else {
            panic!("a time-out is a failure of the attempt");
        };
        assert_eq!(outcome.error.as_deref(), Some("timed out after 5 s"));
        let Report::GiveBack(reason) = report(failed(), Some(StopReason::Draining), 5) else {
            panic!("what a drain ended goes back");
        };
        assert!(reason.starts_with("draining"));
        assert_eq!(report(failed(), Some(StopReason::LeaseOver), 5), Report::Nothing);
        assert_eq!(report(unable(), None, 5), Report::GiveBack("no supervisor".into()));
    }
}
