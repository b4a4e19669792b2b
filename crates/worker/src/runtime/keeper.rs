//! What is looked at again and again: leases that could not be renewed, and results that were not answered.

use std::sync::Arc;

use regatta_api::subtask::ReportResult;
use regatta_api::worker::LeaseRef;
use regatta_client::Error;

use super::agent::Agent;

/// After so many unanswered frames a result goes over HTTP, where a refusal is an answer.
const TIMES_OVER_THE_LINE: u32 = 2;

/// Looks for ever.
pub(super) async fn keep(agent: Arc<Agent>) {
    loop {
        let next = agent.tick();
        for (lease, report, times) in agent.overdue() {
            if agent.outbox.is_open() && times < TIMES_OVER_THE_LINE {
                agent.outbox.result(&lease);
            } else {
                tokio::spawn(over_http(agent.clone(), lease, report));
            }
        }
        tokio::time::sleep(next).await;
    }
}

/// Delivers a result without the line.
async fn over_http(agent: Arc<Agent>, lease: LeaseRef, report: Arc<ReportResult>) {
    let settled = |accepted, detail: Option<&str>| {
        agent.settled(lease.subtask_id, Some(&lease.lease), accepted, detail);
    };
    match agent.client.report_result(lease.subtask_id, &report).await {
        Ok(_) => settled(true, None),
        Err(error) if is_refusal(&error) => settled(false, Some(&error.to_string())),
        Err(error) => tracing::debug!(%error, subtask = %lease.subtask_id, "the result could not be delivered yet"),
    }
}

/// Whether the server will never take it.
fn is_refusal(error: &Error) -> bool {
    matches!(error.status(), Some(404 | 409 | 413 | 422))
}
