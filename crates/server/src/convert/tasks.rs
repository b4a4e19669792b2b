//! Tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use regatta_api::subtask::SubtaskRow;
use regatta_api::task::{CreateTask, ProgressCounts, Step, TaskDetail, TaskProgress, TaskSummary};
use regatta_engine::store::{Queued, TaskDetail as StoredDetail, TaskSummary as StoredSummary};
use regatta_engine::{Engine, NewTaskRequest};
use regatta_model::event::TaskRecord;
use regatta_model::task::{Progress, Start, TaskHead};
use regatta_model::{TaskId, Timestamp, plan};

use super::{json, object, subtasks, time};

/// What the engine is asked to make.
pub(crate) fn request(task: CreateTask, now: Timestamp) -> NewTaskRequest {
    let start = match (task.start, task.start_at.map(|at| Timestamp(at.as_micros()))) {
        (false, _) => Start::OnRequest,
        (true, Some(at)) if at > now => Start::At(at),
        (true, _) => Start::Now,
    };
    NewTaskRequest {
        description: task.description.into(),
        task_type: task.task_type,
        requirements: task.requirements.as_ref().map(object),
        checkpoint_frequency: task.checkpoint_frequency,
        privacy: task.privacy_level,
        tool_preferences: task.tool_preferences.unwrap_or_default().into_iter().map(Arc::from).collect(),
        priority: task.priority,
        requires: task.requires.unwrap_or_default(),
        metadata: task.metadata.as_ref().map(object),
        steps: task.subtasks.map(|steps| steps.into_iter().map(step).collect()),
        start,
    }
}

fn step(step: Step) -> plan::Step {
    plan::Step {
        name: step.name,
        description: step.description.filter(|text| !text.is_empty()),
        depends_on: step.depends_on,
        tool: step.tool,
        requires: step.requires.unwrap_or_default(),
        input: step.input.as_ref().map(object),
        // Checked to be 1..=5.
        complexity: u8::try_from(step.complexity).unwrap_or(u8::MAX),
        priority: step.priority,
        timeout_seconds: step.timeout_seconds,
        max_attempts: step.max_attempts,
    }
}

/// A row of the list.
pub(crate) fn summary(engine: &Engine, task: &StoredSummary) -> TaskSummary {
    let row = &task.row;
    TaskSummary {
        waiting_for: engine.task_waiting_for(row, task.first_queued.as_ref()),
        ..of_record(&row.head, &TaskRecord::from(row), row.updated_at)
    }
}

/// The same, as an event tells it.
pub(crate) fn of_record(head: &TaskHead, record: &TaskRecord, at: Timestamp) -> TaskSummary {
    TaskSummary {
        task_id: head.id.uuid(),
        description: head.summary.to_string(),
        task_type: head.task_type,
        status: record.status,
        progress: record.progress.into(),
        priority: head.priority,
        waiting_for: None,
        created_at: time(head.created_at),
        updated_at: time(at),
    }
}

/// Its subtasks as the task shows them.
pub(crate) fn rows(engine: &Engine, task: &StoredDetail) -> Vec<SubtaskRow> {
    let mut rows = subtasks::Rows::new(engine);
    task.subtasks.iter().map(|subtask| rows.row(&subtask.row)).collect()
}

/// Everything.
pub(crate) fn detail(engine: &Engine, task: &StoredDetail) -> TaskDetail {
    let StoredDetail { row, text, subtasks } = task;
    let first_queued = subtasks
        .iter()
        .map(|subtask| &subtask.row)
        .filter(|row| row.state.status() == regatta_model::SubtaskStatus::Queued)
        .min_by_key(|row| row.rank);
    let first_queued = first_queued.filter(|_| row.running == 0).map(Queued::from);
    let tools: Vec<String> = serde_json::from_str(&text.tool_preferences).unwrap_or_default();
    let requires: BTreeMap<String, String> = serde_json::from_str(&text.requires).unwrap_or_default();
    TaskDetail {
        task_id: row.head.id.uuid(),
        user_id: row.head.user.to_string(),
        description: text.description.to_string(),
        task_type: row.head.task_type,
        status: row.status,
        progress: row.progress().into(),
        priority: row.head.priority,
        privacy_level: text.privacy,
        checkpoint_frequency: text.checkpoint_frequency,
        requirements: text.requirements.as_ref().map(json),
        tool_preferences: Some(tools).filter(|tools| !tools.is_empty()),
        requires: Some(requires).filter(|labels| !labels.is_empty()),
        task_metadata: text.metadata.as_ref().map(json).unwrap_or_default(),
        waiting_for: engine.task_waiting_for(row, first_queued.as_ref()),
        error: row.error.as_deref().map(ToOwned::to_owned),
        start_at: row.start_at.map(time),
        created_at: time(row.head.created_at),
        updated_at: time(row.updated_at),
        started_at: row.started_at.map(time),
        completed_at: row.completed_at.map(time),
        subtasks: rows(engine, task),
    }
}

/// Its counters.
pub(crate) fn progress(id: TaskId, progress: &Progress) -> TaskProgress {
    TaskProgress {
        task_id: id.uuid(),
        status: progress.status,
        progress: progress.percent().into(),
        subtasks: ProgressCounts {
            total: progress.total,
            completed: progress.completed,
            running: progress.running,
            failed: progress.failed,
        },
    }
}
