//! Results, progress and logs of subtasks.

use std::sync::Arc;

use regatta_model::command::{AppendLog, Logged, ProgressSet, Report, Reported, SetProgress};
use regatta_model::plan::Json;
use regatta_model::{Lease, SubtaskId, TokenId, WorkerId};
use regatta_store::SubtaskDetail;

use crate::{Engine, Error, Result, timing};

/// A worker's result.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRequest {
    /// Of which subtask.
    pub subtask: SubtaskId,
    /// Under which lease; older agents send none.
    pub lease: Option<Lease>,
    /// The worker that speaks, where known.
    pub by: Option<WorkerId>,
    /// The worker's token that speaks, where one does: the holder must have registered under it.
    pub bound: Option<TokenId>,
    /// How it went.
    pub result: std::result::Result<(), Arc<str>>,
    /// A JSON object.
    pub output: Json,
    /// Seconds, as the worker measured.
    pub execution_time: f64,
    /// Where the tool is a process.
    pub exit_code: Option<i32>,
    /// Whether it was pretended.
    pub simulated: bool,
}

/// A worker's word on how far it is.
pub type ProgressRequest = SetProgress;

/// A log line.
pub type LogRequest = AppendLog;

impl Engine {
    /// A subtask with everything.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn subtask(&self, id: SubtaskId) -> Result<SubtaskDetail> {
        let detail =
            timing::book(self.inner.store.subtask(id).await?).ok_or_else(|| Error::not_found("subtask", id))?;
        self.learn_lanes(std::iter::once(detail.row.head.lane)).await?;
        Ok(detail)
    }

    /// Takes a worker's result; a stale one is answered as such and changes nothing.
    ///
    /// # Errors
    /// Those of the store: then it is not known to be kept, and must be sent again.
    pub async fn report(&self, request: ReportRequest) -> Result<Reported> {
        let failed = request.result.is_err();
        let report = Report {
            subtask: request.subtask,
            lease: request.lease,
            by: request.by,
            bound: request.bound,
            result: request.result,
            output: request.output,
            execution_time: request.execution_time,
            exit_code: request.exit_code,
            simulated: request.simulated,
            jitter: self.jitter(),
        };
        let mut slot = None;
        let reported = self.run_and(report, || slot = request.by.and_then(|worker| self.expect_slot(worker))).await?;
        drop(slot);
        if failed && matches!(reported, Reported::Accepted { .. }) {
            self.inner.recorder.attempt_failed(self.now());
        }
        Ok(reported)
    }

    /// Takes a worker's word on how far it is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_progress(&self, request: ProgressRequest) -> Result<ProgressSet> {
        self.run(request).await
    }

    /// Keeps a log line.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn log(&self, request: LogRequest) -> Result<Logged> {
        self.run(request).await
    }
}
