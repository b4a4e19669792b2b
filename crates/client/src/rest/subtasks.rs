//! Subtasks.

use regatta_api::subtask::{
    AppendLog, LogAppended, ProgressAccepted, ReportProgress, ReportResult, ResultAccepted, SubtaskDetail,
};
use reqwest::Method;
use uuid::Uuid;

use crate::{Client, Result};

impl Client {
    /// The whole of a subtask.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn subtask(&self, subtask: Uuid) -> Result<SubtaskDetail> {
        self.call(Method::GET, format!("/subtasks/{subtask}")).send().await
    }

    /// Reports how an attempt ended. With its lease a repetition is harmless: a stored result comes again, and a failure
    /// that was already taken is a 409 that changes nothing.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 is final: the result does not count, drop it.
    pub async fn report_result(&self, subtask: Uuid, report: &ReportResult) -> Result<ResultAccepted> {
        let call = self.call(Method::POST, format!("/subtasks/{subtask}/result")).json(report)?;
        let call = if report.lease.is_some() { call.harmless() } else { call };
        call.send().await
    }

    /// Adds a line to the log of a subtask; it is not repeated when it may have been taken.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn append_log(&self, subtask: Uuid, line: &AppendLog) -> Result<LogAppended> {
        self.call(Method::POST, format!("/subtasks/{subtask}/log")).json(line)?.send().await
    }

    /// Reports how far a subtask is.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when the lease is over or it does not run.
    pub async fn report_progress(&self, subtask: Uuid, report: &ReportProgress) -> Result<ProgressAccepted> {
        self.call(Method::POST, format!("/subtasks/{subtask}/progress")).json(report)?.harmless().send().await
    }
}
