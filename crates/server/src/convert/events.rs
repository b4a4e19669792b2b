//! Events: as the history answers them and as frames of the watching sockets, which are written once and shared.

use bytes::Bytes;
use regatta_api::frames::all::{Event, Stamped, SubtaskUpdate, WatchFrame};
use regatta_api::subtask::{LogData, LogEntry};
use regatta_engine::Engine;
use regatta_engine::bus::{Body, Notice};
use regatta_model::event::{self, LogRecord, What};
use regatta_model::{TaskId, Timestamp, WorkerId};

use super::{json, subtasks, tasks, time, workers};

/// An event.
pub(crate) fn event(engine: &Engine, event: &event::Event) -> Event {
    let at = event.at;
    match &event.what {
        What::Task(record) => Event::TaskUpdate(stamped(event, tasks::of_record(&event.task, record, at))),
        What::Subtask(head, record) => Event::SubtaskUpdate(stamped(
            event,
            SubtaskUpdate { task_id: event.task.id.uuid(), row: subtasks::of_record(engine, head, record) },
        )),
        What::Log(line) => Event::Log(stamped(event, log_data(event.task.id, at, line))),
    }
}

fn stamped<T: utoipa::ToSchema>(event: &event::Event, data: T) -> Stamped<T> {
    Stamped { data, seq: Some(event.seq), timestamp: time(event.at) }
}

/// A line of log.
pub(crate) fn log_data(task: TaskId, at: Timestamp, line: &LogRecord) -> LogData {
    LogData {
        task_id: task.uuid(),
        subtask_id: line.subtask.uuid(),
        level: line.level,
        message: line.message.to_string(),
        worker_id: line.worker.map(WorkerId::uuid),
        timestamp: time(at),
        metadata: line.metadata.as_ref().map(json),
        stale: line.stale,
    }
}

/// A kept line.
pub(crate) fn log_entry(task: TaskId, seq: u64, at: Timestamp, line: &LogRecord) -> LogEntry {
    LogEntry { data: log_data(task, at, line), seq }
}

/// The text of a notice's frame; the same for every socket, and written only once.
pub(crate) fn frame(engine: &Engine, notice: &Notice) -> Bytes {
    notice.frame(|body| {
        let frame = match body {
            Body::Event(happened) => WatchFrame::from(event(engine, happened)),
            Body::Worker(row) => {
                let now = engine.now();
                WatchFrame::WorkerUpdate(Stamped { data: workers::summary(row, now), seq: None, timestamp: time(now) })
            }
            // There is no row to show: whoever watches the list reads it again.
            Body::WorkerRemoved(_) => WatchFrame::Resync,
        };
        text(&frame)
    })
}

/// The text of an event's frame.
pub(crate) fn event_frame(engine: &Engine, happened: &event::Event) -> Bytes {
    text(&event(engine, happened))
}

/// The text of a frame.
pub(crate) fn text<T: serde::Serialize>(frame: &T) -> Bytes {
    match serde_json::to_vec(frame) {
        Ok(text) => text.into(),
        Err(error) => {
            tracing::error!(%error, "a frame could not be written");
            Bytes::from_static(
                br#"{"type":"error","data":{"message":"The server failed to write a frame; its log says why."}}"#,
            )
        }
    }
}
