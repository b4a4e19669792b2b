//! Queries over the model, each by looking at everything.

use std::collections::BTreeMap;

use regatta_model::event::What;
use regatta_model::ledger::context_json;
use regatta_model::memory::Memory;
use regatta_model::plan::Json;
use regatta_model::routing::Lane;
use regatta_model::subtask::{State, SubtaskRow};
use regatta_model::task::{TaskRow, TaskText};
use regatta_model::worker::{SAMPLES_KEPT, WorkerRow};
use regatta_model::{LaneKey, SubtaskId, TaskId, TaskStatus, Timestamp, WorkerId};

use crate::attempt::current_attempt;
use crate::query::{
    Counters, EventPage, LogPage, LogQuery, SEARCH_COUNT_CAP, Start, SubtaskDetail, SubtaskSummary, TaskDetail,
    TaskPage, TaskQuery, TaskSummary, Total, WorkerDetail, WorkerPage, WorkerQuery,
};

pub(super) fn find(memory: &Memory, id: TaskId) -> Option<&(TaskRow, TaskText)> {
    memory.tasks.values().find(|(row, _)| row.head.id == id)
}

pub(super) fn task(memory: &Memory, id: TaskId) -> Option<TaskDetail> {
    let (row, text) = find(memory, id)?.clone();
    let subtasks = memory.subtasks_of(row.head.key).map(|row| SubtaskSummary { row: row.clone() }).collect();
    Some(TaskDetail { row, text, subtasks })
}

/// A page of what matches, and where the next one begins.
fn page<T, K: PartialOrd + Copy>(
    matching: &[T],
    key: impl Fn(&T) -> K,
    start: Start<K>,
    limit: u32,
) -> (&[T], Option<K>) {
    let first = match start {
        Start::Offset(offset) => usize::try_from(offset).unwrap_or(usize::MAX).min(matching.len()),
        Start::After(after) => matching.iter().position(|item| key(item) < after).unwrap_or(matching.len()),
    };
    let rest = &matching[first..];
    let page = &rest[..rest.len().min(limit as usize)];
    (page, page.last().filter(|_| page.len() < rest.len()).map(key))
}

pub(super) fn tasks(memory: &Memory, query: &TaskQuery) -> TaskPage {
    let search = query.search.as_ref().map(|search| search.to_ascii_lowercase());
    let matching: Vec<&TaskRow> = memory
        .tasks
        .values()
        .rev()
        .filter(|(row, text)| {
            query.status.is_none_or(|status| row.status == status)
                && query.task_type.is_none_or(|task_type| row.head.task_type == task_type)
                && search.as_ref().is_none_or(|search| text.description.to_ascii_lowercase().contains(search))
        })
        .map(|(row, _)| row)
        .collect();
    let (rows, next) = page(&matching, |row| row.head.key, query.start, query.limit);
    let tasks = rows
        .iter()
        .map(|&row| {
            let still = row.status == TaskStatus::InProgress && row.running == 0;
            let queued = memory
                .subtasks_of(row.head.key)
                .filter(|row| still && matches!(row.state, State::Ready | State::Backoff))
                .min_by_key(|row| (row.rank, row.head.key));
            TaskSummary { row: row.clone(), first_queued: queued.map(Into::into) }
        })
        .collect();
    let count = matching.len() as u64;
    let capped = query.search.is_some() && count > SEARCH_COUNT_CAP;
    let total = match query.start {
        Start::Offset(_) => Some(Total { count: if capped { SEARCH_COUNT_CAP } else { count }, capped }),
        Start::After(_) => None,
    };
    TaskPage { tasks, total, next }
}

pub(super) fn subtask(memory: &Memory, id: SubtaskId) -> Option<SubtaskDetail> {
    let task = find(memory, id.task())?.0.head.key;
    let key = task.subtask(id.position());
    let (row, text) = memory.subtasks.get(&key)?;
    let outputs = row.head.dependencies.iter().filter_map(|&position| {
        let key = task.subtask(position);
        let (dependency, _) = memory.subtasks.get(&key)?;
        let output: Json = memory.outputs.get(&key).cloned().unwrap_or_else(|| "{}".into());
        (dependency.state == State::Completed).then(|| (dependency.head.name.clone(), output))
    });
    let mut attempts = memory.attempts.get(&key).cloned().unwrap_or_default();
    attempts.extend(current_attempt(row));
    Some(SubtaskDetail {
        row: row.clone(),
        description: text.description.clone(),
        input: text.input.clone(),
        output: memory.outputs.get(&key).cloned(),
        context: context_json(outputs),
        attempts,
    })
}

pub(super) fn subtasks(
    memory: &Memory,
    id: TaskId,
    first: u16,
    limit: u32,
    ready_only: bool,
) -> Option<Vec<SubtaskSummary>> {
    let task = find(memory, id)?.0.head.key;
    let wanted = |row: &&SubtaskRow| {
        row.head.key.position() >= first && (!ready_only || matches!(row.state, State::Ready | State::Backoff))
    };
    let rows = memory.subtasks_of(task).filter(wanted).take(limit as usize);
    Some(rows.map(|row| SubtaskSummary { row: row.clone() }).collect())
}

pub(super) fn events(memory: &Memory, id: TaskId, after: u64, limit: u32) -> Option<EventPage> {
    let (row, _) = find(memory, id)?;
    let all = memory.events.get(&row.head.key).map_or(&[][..], Vec::as_slice);
    let events = all.iter().filter(|event| event.seq > after).take(limit as usize).cloned().collect();
    Some(EventPage { events, last_seq: row.seq })
}

pub(super) fn logs(memory: &Memory, id: TaskId, query: LogQuery) -> Option<LogPage> {
    let (row, _) = find(memory, id)?;
    let all = memory.events.get(&row.head.key).map_or(&[][..], Vec::as_slice);
    let lines = all.iter().filter_map(|event| match &event.what {
        What::Log(line) => Some((event.seq, event.at, line.clone())),
        _ => None,
    });
    let (mut lines, limit): (Vec<_>, u32) = match query {
        LogQuery::After { seq, limit } => (lines.filter(|line| line.0 > seq).collect(), limit),
        LogQuery::Last(limit) => (lines.collect(), limit),
    };
    let more = lines.len() > limit as usize;
    match query {
        LogQuery::After { .. } => lines.truncate(limit as usize),
        LogQuery::Last(_) => drop(lines.drain(..lines.len().saturating_sub(limit as usize))),
    }
    Some(LogPage { lines, last_seq: row.seq, more })
}

pub(super) fn workers(memory: &Memory, query: &WorkerQuery, now: Timestamp) -> WorkerPage {
    let offers = |row: &WorkerRow| {
        let offer = &row.profile.offer;
        query.tool.as_ref().is_none_or(|tool| offer.tools.iter().any(|offered| **offered == **tool))
            && query.label.as_ref().is_none_or(|(label, value)| offer.labels.get(label) == Some(value))
    };
    let matching: Vec<&WorkerRow> = memory
        .workers
        .values()
        .rev()
        .map(|(row, _)| row)
        .filter(|row| query.status.is_none_or(|status| row.status(now) == status) && offers(row))
        .collect();
    let (rows, next) = page(&matching, |row| row.key, query.start, query.limit);
    let total = match query.start {
        Start::Offset(_) => Some(Total { count: matching.len() as u64, capped: false }),
        Start::After(_) => None,
    };
    WorkerPage { workers: rows.iter().map(|&row| row.clone()).collect(), total, next }
}

pub(super) fn worker(memory: &Memory, id: WorkerId, now: Timestamp) -> Option<WorkerDetail> {
    let (row, system_info) = memory.workers.values().find(|(row, _)| row.id == id)?;
    let held = memory.subtasks.values().map(|(row, _)| row).filter(|subtask| {
        subtask.state == State::Leased && subtask.holder.as_ref().is_some_and(|holder| holder.worker == row.key)
    });
    let samples = memory.samples.get(&row.key).map_or(&[][..], Vec::as_slice);
    Some(WorkerDetail {
        row: row.clone(),
        system_info: system_info.clone(),
        current: held.map(|subtask| (subtask.head.id, subtask.head.id.task(), subtask.head.name.clone())).collect(),
        history: samples.iter().filter(|sample| sample.at > now - SAMPLES_KEPT).copied().collect(),
    })
}

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<(K, u64)> {
    let mut counts: BTreeMap<K, u64> = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts.into_iter().collect()
}

pub(super) fn counters(memory: &Memory, now: Timestamp) -> Counters {
    Counters {
        tasks: count(memory.tasks.values().map(|(row, _)| row.status)),
        subtasks: count(memory.subtasks.values().map(|(row, _)| row.state.status())),
        workers: count(memory.workers.values().map(|(row, _)| row.status(now))),
    }
}

pub(super) fn lanes(memory: &Memory, after: LaneKey) -> Vec<(LaneKey, Lane)> {
    let numbered = memory.lanes.iter().cloned().zip(1..).map(|(lane, key)| (LaneKey(key), lane));
    numbered.filter(|&(key, _)| key > after).collect()
}

pub(super) fn ready_lanes(memory: &Memory) -> Vec<(LaneKey, u64)> {
    let ready = memory.subtasks.values().map(|(row, _)| row).filter(|row| row.state == State::Ready);
    count(ready.map(|row| row.head.lane))
}
