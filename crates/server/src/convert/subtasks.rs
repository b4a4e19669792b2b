//! Subtasks, and what workers report about them.

use std::collections::HashMap;
use std::sync::Arc;

use regatta_api::JsonText;
use regatta_api::subtask::{Attempt, ReportProgress, ReportResult, ResultStatus, SubtaskDetail, SubtaskRow};
use regatta_engine::store::SubtaskDetail as StoredDetail;
use regatta_engine::{Engine, LogRequest, ProgressRequest, ReportRequest};
use regatta_model::event::SubtaskRecord;
use regatta_model::plan::Json;
use regatta_model::subtask::{self, State, SubtaskHead};
use regatta_model::{LaneKey, SubtaskId, Timestamp, TokenId, WorkerId};

use super::{json, lease, object, time};

/// Rows, as their task shows them. Of the thousands that a plan may have, most ask the same of workers, so that is
/// worked out once for each lane.
pub(crate) struct Rows<'a> {
    engine: &'a Engine,
    tools: HashMap<LaneKey, Option<String>>,
    waiting: HashMap<LaneKey, Option<String>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(engine: &'a Engine) -> Self {
        Self { engine, tools: HashMap::new(), waiting: HashMap::new() }
    }

    pub(crate) fn row(&mut self, row: &subtask::SubtaskRow) -> SubtaskRow {
        let lane = row.head.lane;
        let tool = self.tools.entry(lane).or_insert_with(|| tool_of(self.engine, lane)).clone();
        let waiting_for = match row.state {
            State::Ready => self.waiting.entry(lane).or_insert_with(|| self.engine.waiting_for(row)).clone(),
            _ => self.engine.waiting_for(row),
        };
        SubtaskRow { waiting_for, ..shape(&row.head, &SubtaskRecord::from(row), tool) }
    }
}

fn tool_of(engine: &Engine, lane: LaneKey) -> Option<String> {
    engine.lane(lane)?.tool.as_deref().map(ToOwned::to_owned)
}

/// A row, as an event tells it.
pub(crate) fn of_record(engine: &Engine, head: &SubtaskHead, record: &SubtaskRecord) -> SubtaskRow {
    shape(head, record, tool_of(engine, head.lane))
}

fn shape(head: &SubtaskHead, record: &SubtaskRecord, tool: Option<String>) -> SubtaskRow {
    let task = head.id.task();
    SubtaskRow {
        subtask_id: head.id.uuid(),
        name: head.name.to_string(),
        status: record.status,
        progress: record.progress.into(),
        dependencies: head.dependencies.iter().map(|position| task.subtask(*position).uuid()).collect(),
        tool,
        assigned_worker: record.worker.map(WorkerId::uuid),
        assigned_tool: record.tool.as_deref().map(ToOwned::to_owned),
        attempt: record.attempt,
        complexity: head.complexity.into(),
        priority: head.priority,
        simulated: record.simulated,
        waiting_for: None,
        error: record.error.as_deref().map(ToOwned::to_owned),
        queued_at: record.queued_at.map(time),
        started_at: record.started_at.map(time),
        completed_at: record.completed_at.map(time),
    }
}

/// Everything.
pub(crate) fn detail(engine: &Engine, subtask: &StoredDetail) -> SubtaskDetail {
    let stored = &subtask.row;
    let head = &stored.head;
    let created_at = made_at(head.id);
    let ended = subtask.attempts.iter().filter_map(|attempt| attempt.ended_at);
    let changed = [stored.queued_at, stored.started_at, stored.completed_at].into_iter().flatten().chain(ended);
    let ran = stored.attempt > 0 && stored.state.is_ended();
    SubtaskDetail {
        task_id: head.id.task().uuid(),
        row: Rows::new(engine).row(stored),
        description: subtask.description.to_string(),
        requires: engine.lane(head.lane).map(|lane| lane.requires.clone()).unwrap_or_default(),
        timeout_seconds: head.timeout_seconds,
        max_attempts: head.max_attempts,
        input: subtask.input.as_ref().map(json).unwrap_or_default(),
        context: json(&subtask.context),
        output: subtask.output.as_ref().map(json),
        exit_code: stored.exit_code,
        execution_time: Some(stored.execution_time).filter(|_| ran),
        lease_expires_at: stored.lease_expires_at.map(time),
        created_at: time(created_at),
        updated_at: time(changed.fold(created_at, Timestamp::max)),
        attempts: subtask.attempts.iter().map(attempt).collect(),
    }
}

/// When its task was made: ids are UUIDs of version 7, which begin with the time in milliseconds.
fn made_at(id: SubtaskId) -> Timestamp {
    let milliseconds = (id.uuid().as_u128() >> 80) as i64;
    Timestamp(milliseconds.saturating_mul(1_000))
}

fn attempt(attempt: &subtask::Attempt) -> Attempt {
    Attempt {
        attempt: attempt.attempt,
        worker_id: attempt.worker.uuid(),
        tool: attempt.tool.to_string(),
        started_at: time(attempt.started_at),
        ended_at: attempt.ended_at.map(time),
        outcome: attempt.outcome,
        error: attempt.error.as_deref().map(ToOwned::to_owned),
        exit_code: attempt.exit_code,
    }
}

/// The error of an attempt that failed without saying why.
const NO_REASON: &str = "the worker reported a failure without saying why";

/// A result as the engine takes it.
pub(crate) fn report(
    subtask: SubtaskId,
    by: Option<WorkerId>,
    bound: Option<TokenId>,
    report: ReportResult,
) -> ReportRequest {
    let result = match report.status {
        ResultStatus::Completed => Ok(()),
        ResultStatus::Failed => Err(report.error.filter(|error| !error.is_empty()).map_or(NO_REASON.into(), Arc::from)),
    };
    ReportRequest {
        subtask,
        lease: report.lease.as_deref().map(|text| lease(subtask, text)),
        by,
        bound,
        result,
        output: object(&report.result),
        execution_time: report.execution_time,
        exit_code: report.exit_code,
        simulated: report.simulated,
    }
}

/// A progress as the engine takes it.
pub(crate) fn progress(
    subtask: SubtaskId,
    by: Option<WorkerId>,
    bound: Option<TokenId>,
    report: ReportProgress,
) -> ProgressRequest {
    ProgressRequest {
        subtask,
        lease: report.lease.as_deref().map(|text| lease(subtask, text)),
        by,
        bound,
        // Checked to be 0..=100.
        progress: u8::try_from(report.progress).unwrap_or(100),
        message: report.message.map(Arc::from),
    }
}

/// A line of log as the engine takes it.
pub(crate) fn log(
    subtask: SubtaskId,
    by: Option<WorkerId>,
    bound: Option<TokenId>,
    line: regatta_api::subtask::AppendLog,
) -> LogRequest {
    LogRequest {
        subtask,
        lease: line.lease.as_deref().map(|text| lease(subtask, text)),
        // What a worker's token says of who wrote it is not believed; the ledger knows who holds the subtask.
        worker: by.or(line.worker_id.map(WorkerId).filter(|_| bound.is_none())),
        bound,
        level: line.level,
        message: line.message.into(),
        metadata: line.metadata.as_ref().map(object),
    }
}

/// An output of an older agent: one that is no object goes into one, and what came beside it stays beside it.
pub(crate) fn legacy_output(output: serde_json::Value, metadata: regatta_api::JsonObject) -> regatta_api::JsonObject {
    let mut object = match output {
        serde_json::Value::Object(object) => object,
        serde_json::Value::Null => regatta_api::JsonObject::new(),
        other => [("output".to_owned(), other)].into_iter().collect(),
    };
    if !metadata.is_empty() && !object.contains_key("metadata") {
        object.insert("metadata".to_owned(), metadata.into());
    }
    object
}

/// The assignment that a worker gets.
pub(crate) fn assignment(assignment: &regatta_model::command::Assignment) -> regatta_api::worker::Assignment {
    let subtask = assignment.lease.subtask;
    let whole = |text: Option<&Json>| text.map_or_else(JsonText::empty, json);
    regatta_api::worker::Assignment {
        subtask_id: subtask.uuid(),
        task_id: subtask.task().uuid(),
        name: assignment.name.to_string(),
        description: assignment.description.to_string(),
        assigned_tool: assignment.tool.to_string(),
        input: whole(assignment.input.as_ref()),
        context: whole(Some(&assignment.context)),
        complexity: assignment.complexity.into(),
        priority: assignment.priority,
        attempt: assignment.attempt,
        lease: assignment.lease.to_string(),
        lease_seconds: u32::try_from(assignment.lease_length.as_seconds()).unwrap_or(u32::MAX),
        timeout_seconds: assignment.timeout_seconds,
    }
}
