//! Subtasks over HTTP: reading one, and what a worker reports about it; the kept logs and events.
//!
//! The bodies of result, log and progress also stand in the frames of a worker's line ([`crate::frames::worker`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::frames::all::Event;
use crate::nulls::null_default;
use crate::{AttemptOutcome, JsonObject, JsonText, LogLevel, SubtaskStatus, Time};

/// A subtask, as an element of `subtasks` in `GET /tasks/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubtaskRow {
    /// The subtask.
    pub subtask_id: Uuid,
    /// Its name, unique in the plan.
    pub name: String,
    /// Where it stands.
    pub status: SubtaskStatus,
    /// How far it is, in percent, as its worker says; 100 when completed.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u32,
    /// The subtasks that must complete first.
    pub dependencies: Vec<Uuid>,
    /// The tool its step names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The worker that runs it, or ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_worker: Option<Uuid>,
    /// The tool that runs it, or ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_tool: Option<String>,
    /// How often it was claimed.
    pub attempt: u32,
    /// How hard it is.
    #[schema(minimum = 1, maximum = 5)]
    pub complexity: u32,
    /// Its head start beside the task's other steps.
    pub priority: i32,
    /// Whether its result is simulated.
    pub simulated: bool,
    /// Why it is queued and does not run, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// What went wrong, when it failed, was cancelled, or waits for its next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it first became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Time>,
    /// When its latest attempt was leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
}

/// Answer of `GET /subtasks/{id}`: the whole subtask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubtaskDetail {
    /// Its task.
    pub task_id: Uuid,
    /// The row of its task.
    #[serde(flatten)]
    pub row: SubtaskRow,
    /// What is to be done, in words.
    pub description: String,
    /// Labels that the worker must carry, the task's and the step's.
    #[serde(default)]
    pub requires: BTreeMap<String, String>,
    /// How long one attempt may run, in seconds.
    pub timeout_seconds: u32,
    /// How many attempts may fail or time out before it fails for good.
    pub max_attempts: u32,
    /// The step's input.
    #[serde(default)]
    pub input: JsonText,
    /// The outputs of the direct dependencies, as its latest claim took them.
    #[serde(default)]
    pub context: JsonText,
    /// Its result, when it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<JsonText>,
    /// The exit code of the program that ran last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long the tool ran, in seconds, as its worker says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_time: Option<f64>,
    /// When the lease ends unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// Its attempts, the first first.
    pub attempts: Vec<Attempt>,
}

/// One claim of a subtask and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Which claim, from 1.
    pub attempt: u32,
    /// The worker.
    pub worker_id: Uuid,
    /// The tool.
    pub tool: String,
    /// When it was leased.
    pub started_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit code of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// How an attempt ended, by its worker's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// It did what it should.
    Completed,
    /// It did not; it may be tried again.
    Failed,
}

/// Body of `POST /subtasks/{id}/result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportResult {
    /// How it ended.
    pub status: ResultStatus,
    /// The output: dependents find it in their `context`. At most 1 MiB.
    #[serde(default, deserialize_with = "null_default")]
    #[schema(value_type = Object)]
    pub result: JsonObject,
    /// How long the tool ran, in seconds.
    #[serde(default, deserialize_with = "null_default")]
    #[schema(minimum = 0, default = 0)]
    pub execution_time: f64,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit code of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the result is simulated.
    #[serde(default, deserialize_with = "null_default")]
    #[schema(default = false)]
    pub simulated: bool,
    /// The lease of the attempt; only older agents send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// Answer of `POST /subtasks/{id}/result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResultAccepted {
    /// The subtask.
    pub subtask_id: Uuid,
    /// Where it stands now: `queued` when it will be tried again.
    pub status: SubtaskStatus,
    /// The progress of its task, in percent.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u32,
    /// The same for people.
    pub message: String,
    /// How many subtasks became ready by it, and so are given to workers next. To which, and when, is not waited for: it
    /// depends on free slots, and `subtask_update` tells it.
    pub newly_allocated: u32,
}

/// Body of `POST /subtasks/{id}/log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppendLog {
    /// The weight of the line.
    pub level: LogLevel,
    /// The line. At most 64 KiB.
    pub message: String,
    /// Anything beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<JsonObject>,
    /// The lease of the attempt; with a stale one the line is kept and marked `stale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The worker that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<Uuid>,
}

/// Answer of `POST /subtasks/{id}/log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogAppended {
    /// Always true.
    pub success: bool,
    /// The same for people.
    pub message: String,
    /// How many watchers it went to.
    pub broadcasted: u64,
}

/// Body of `POST /subtasks/{id}/progress`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportProgress {
    /// How far the subtask is, in percent.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u32,
    /// What it does now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The lease of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// Answer of `POST /subtasks/{id}/progress`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressAccepted {
    /// The subtask.
    pub subtask_id: Uuid,
    /// Where it stands.
    pub status: SubtaskStatus,
    /// How far it is, in percent.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u32,
    /// The same for people.
    pub message: String,
}

/// A line of a task's log, as it goes to watchers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogData {
    /// The task.
    pub task_id: Uuid,
    /// The subtask that says it.
    pub subtask_id: Uuid,
    /// The weight of the line.
    pub level: LogLevel,
    /// The line.
    pub message: String,
    /// The worker that runs the subtask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<Uuid>,
    /// When the server took it.
    pub timestamp: Time,
    /// Anything beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
    /// True when it came with a lease that was over or another's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A kept line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// The line.
    #[serde(flatten)]
    pub data: LogData,
    /// Its number among all events of the task.
    #[serde(rename = "_seq")]
    pub seq: u64,
}

/// Answer of `GET /tasks/{id}/logs`, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// The lines.
    pub logs: Vec<LogEntry>,
    /// The most lines a page may have.
    pub limit: u32,
    /// Ask for the next page with this as `after_seq`; absent when there is nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after_seq: Option<u64>,
}

/// Answer of `GET /tasks/{id}/events`, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The frames, as the streams send them.
    pub events: Vec<Event>,
    /// The most frames a page may have.
    pub limit: u32,
    /// Ask for the next page with this as `after_seq`; absent when there is nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after_seq: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0193e3c8-7c00-7000-8000-000000000001";

    #[test]
    fn a_result_needs_no_more_than_its_status() {
        let report: ReportResult = serde_json::from_value(
            json!({"status": "completed", "result": null, "execution_time": null, "simulated": null, "extra": 1}),
        )
        .unwrap();
        assert_eq!(
            report,
            ReportResult {
                status: ResultStatus::Completed,
                result: JsonObject::new(),
                execution_time: 0.0,
                error: None,
                exit_code: None,
                simulated: false,
                lease: None,
            }
        );
        assert!(serde_json::from_value::<ReportResult>(json!({"status": "cancelled"})).is_err());
        assert!(serde_json::from_value::<ReportResult>(json!({"status": "failed", "result": []})).is_err());
    }

    #[test]
    fn a_subtask_is_its_row_and_more() {
        let value = json!({"task_id": ID, "subtask_id": ID, "name": "Count", "status": "completed", "progress": 100,
            "dependencies": [], "tool": "command", "assigned_worker": ID, "assigned_tool": "command", "attempt": 2,
            "complexity": 1, "priority": 0, "simulated": false, "started_at": "2026-11-23T18:00:00.000000Z",
            "completed_at": "2026-11-23T18:00:01.000000Z", "description": "", "requires": {}, "timeout_seconds": 3600,
            "max_attempts": 3, "input": {"argv": ["wc", "-w"]}, "context": {"Split": {"parts": 2}}, "output": {"words": 7},
            "exit_code": 0, "execution_time": 0.25, "created_at": "2026-11-23T18:00:00.000000Z",
            "updated_at": "2026-11-23T18:00:01.000000Z",
            "attempts": [{"attempt": 1, "worker_id": ID, "tool": "command", "started_at": "2026-11-23T18:00:00.000000Z",
                "ended_at": "2026-11-23T18:00:01.000000Z", "outcome": "timed_out", "error": "ran over 1 s"}]});
        let detail: SubtaskDetail = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(detail.attempts[0].outcome, AttemptOutcome::TimedOut);
        assert_eq!(serde_json::to_value(&detail).unwrap(), value);
    }

    #[test]
    fn a_log_page_numbers_its_lines() {
        let value = json!({"logs": [{"task_id": ID, "subtask_id": ID, "level": "warning", "message": "slow",
            "timestamp": "2026-11-23T18:00:00.000000Z", "metadata": {"b": 1, "a": 2}, "stale": true, "_seq": 4}],
            "limit": 1, "next_after_seq": 4});
        let page: LogPage = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(page.logs[0].seq, 4);
        assert_eq!(serde_json::to_value(&page).unwrap(), value);
    }
}
