//! Events: as the history answers them and as frames of the watching sockets, which are written once and shared.

use bytes::Bytes;
use regatta_api::frames::all::{Event, Stamped, SubtaskUpdate, WatchFrame};
use regatta_api::subtask::{LogData, LogEntry};
use regatta_engine::Engine;
use regatta_engine::bus::{Body, Notice};
use regatta_model::event::{self, LogRecord, What};
use regatta_model::{SubtaskStatus, TaskId, Timestamp, WorkerId};

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

/// The text of a notice's frame; the same for every socket, and written only once. A row that waits says what for, as
/// it does in the lists: that is worked out now, so frames of kept events, which tell what was, are without it.
pub(crate) async fn frame(engine: &Engine, notice: &Notice) -> Bytes {
    let write = async {
        let frame = match &notice.body {
            Body::Event(happened) => WatchFrame::from(explained(engine, happened).await),
            Body::Worker(row) => {
                let now = engine.now();
                WatchFrame::WorkerUpdate(Stamped { data: workers::summary(row, now), seq: None, timestamp: time(now) })
            }
            // There is no row to show: whoever watches the list reads it again.
            Body::WorkerRemoved(_) => WatchFrame::Resync,
        };
        text(&frame)
    };
    notice.frame(write).await
}

/// An event that has just happened.
async fn explained(engine: &Engine, happened: &event::Event) -> Event {
    let mut shown = event(engine, happened);
    match (&happened.what, &mut shown) {
        (What::Task(record), Event::TaskUpdate(update)) if !record.status.is_ended() => {
            update.data.waiting_for = engine.task_waits(&happened.task, record.status).await;
        }
        (What::Subtask(head, record), Event::SubtaskUpdate(update)) if record.status == SubtaskStatus::Queued => {
            update.data.row.waiting_for = engine.subtask_waits(head.id).await;
        }
        _ => {}
    }
    shown
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
