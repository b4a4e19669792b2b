//! Everything that happens, `GET /api/v1/ws`: the frames of both directions, and the events that `GET /tasks/{id}/events` keeps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ErrorData;
use crate::Time;
use crate::subtask::{LogData, SubtaskRow};
use crate::task::TaskSummary;
use crate::worker::WorkerSummary;

/// Something that happened: what it is about as it is now, numbered and timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stamped<T: ToSchema> {
    /// What it is about.
    pub data: T,
    /// Its number among all events of the task, contiguous from 1; workers' events have none.
    #[serde(rename = "_seq", default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub seq: Option<u64>,
    /// When it happened.
    pub timestamp: Time,
}

/// An element of `subtasks` in `GET /tasks/{id}`, and its task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubtaskUpdate {
    /// The task.
    pub task_id: Uuid,
    /// The subtask.
    #[serde(flatten)]
    pub row: SubtaskRow,
}

/// An event of one task, as it is kept and streamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The task changed; `data` is a row of `GET /tasks`.
    TaskUpdate(Stamped<TaskSummary>),
    /// A subtask changed.
    SubtaskUpdate(Stamped<SubtaskUpdate>),
    /// A line of log.
    Log(Stamped<LogData>),
}

impl Event {
    /// Its number among all events of the task.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::TaskUpdate(event) => event.seq,
            Self::SubtaskUpdate(event) => event.seq,
            Self::Log(event) => event.seq,
        }
    }
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WatchFrame {
    /// A topic is on.
    Subscribed {
        /// The topic.
        data: Topic,
    },
    /// A topic is off.
    Unsubscribed {
        /// The topic.
        data: Topic,
    },
    /// A task changed; `data` is a row of `GET /tasks`.
    TaskUpdate(Stamped<TaskSummary>),
    /// A subtask changed.
    SubtaskUpdate(Stamped<SubtaskUpdate>),
    /// A line of log.
    Log(Stamped<LogData>),
    /// A worker changed; `data` is a row of `GET /workers`.
    WorkerUpdate(Stamped<WorkerSummary>),
    /// On `tasks` and `workers`, after any break: read the lists again.
    Resync,
    /// The client was too slow; it goes on from the newest.
    Lagged {
        /// How many frames it missed.
        missed: u64,
    },
    /// Events of these numbers are lost.
    Gap {
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// Answers `ping`.
    Pong,
    /// A frame did not fit.
    Error {
        /// What is wrong with it.
        data: ErrorData,
    },
}

impl WatchFrame {
    /// The number of a task's event; `None` for every other frame.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::TaskUpdate(event) => event.seq,
            Self::SubtaskUpdate(event) => event.seq,
            Self::Log(event) => event.seq,
            _ => None,
        }
    }

    /// The task that an event is about; `None` for every other frame.
    pub fn task_id(&self) -> Option<Uuid> {
        match self {
            Self::TaskUpdate(event) => Some(event.data.task_id),
            Self::SubtaskUpdate(event) => Some(event.data.task_id),
            Self::Log(event) => Some(event.data.task_id),
            _ => None,
        }
    }
}

impl From<Event> for WatchFrame {
    fn from(event: Event) -> Self {
        match event {
            Event::TaskUpdate(event) => Self::TaskUpdate(event),
            Event::SubtaskUpdate(event) => Self::SubtaskUpdate(event),
            Event::Log(event) => Self::Log(event),
        }
    }
}

/// A frame from the client: both `action` and, for a topic, `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum WatchAction {
    /// Send a topic's events.
    Subscribe(Topic),
    /// Send no more of a topic's events.
    Unsubscribe(Topic),
    /// Answered with `pong`.
    Ping,
}

/// Kinds of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopicKind {
    /// One task: its `task_update`, `subtask_update` and `log`. Needs `task_id`.
    Task,
    /// All tasks: `task_update` only.
    Tasks,
    /// One worker. Needs `worker_id`.
    Worker,
    /// All workers.
    Workers,
}

/// What a watcher wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Topic {
    /// The kind of topic.
    #[serde(rename = "type")]
    pub kind: TopicKind,
    /// With `task`: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Uuid>,
    /// With `worker`: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<Uuid>,
    /// With `task`, on subscribing: the first number wanted (inclusive); 0 for everything kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub from_seq: Option<u64>,
}

impl Topic {
    const fn of(kind: TopicKind) -> Self {
        Self { kind, task_id: None, worker_id: None, from_seq: None }
    }

    /// One task; `from_seq` as in the field of that name.
    pub const fn task(task_id: Uuid, from_seq: Option<u64>) -> Self {
        Self { task_id: Some(task_id), from_seq, ..Self::of(TopicKind::Task) }
    }

    /// All tasks.
    pub const fn tasks() -> Self {
        Self::of(TopicKind::Tasks)
    }

    /// One worker.
    pub const fn worker(worker_id: Uuid) -> Self {
        Self { worker_id: Some(worker_id), ..Self::of(TopicKind::Worker) }
    }

    /// All workers.
    pub const fn workers() -> Self {
        Self::of(TopicKind::Workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0193e3c8-7c00-7000-8000-000000000001";
    const AT: &str = "2026-11-23T18:00:00.000000Z";

    #[test]
    fn frames_survive_the_wire() {
        let frames = [
            json!({"type": "subscribed", "data": {"type": "task", "task_id": ID}}),
            json!({"type": "unsubscribed", "data": {"type": "workers"}}),
            json!({"type": "task_update", "data": {"task_id": ID, "description": "Count the words", "task_type": "custom",
                "status": "in_progress", "progress": 0, "priority": "normal", "created_at": AT, "updated_at": AT},
                "_seq": 1, "timestamp": AT}),
            json!({"type": "subtask_update", "data": {"task_id": ID, "subtask_id": ID, "name": "Count", "status": "queued",
                "progress": 0, "dependencies": [], "attempt": 0, "complexity": 1, "priority": 0, "simulated": false},
                "_seq": 2, "timestamp": AT}),
            json!({"type": "log", "data": {"task_id": ID, "subtask_id": ID, "level": "info", "message": "m", "timestamp": AT,
                "metadata": {"b": 1, "a": 2}}, "_seq": 3, "timestamp": AT}),
            json!({"type": "worker_update", "data": {"worker_id": ID, "machine_id": "m", "machine_name": "n", "status": "idle",
                "tools": [], "labels": {}, "slots": 1, "busy_slots": 0, "draining": false, "reserved": false,
                "registered_at": AT}, "timestamp": AT}),
            json!({"type": "resync"}),
            json!({"type": "lagged", "missed": 3}),
            json!({"type": "gap", "from": 8, "to": 9}),
            json!({"type": "pong"}),
            json!({"type": "error", "data": {"message": "no JSON"}}),
        ];
        for frame in frames {
            let read: WatchFrame = serde_json::from_value(frame.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), frame);
            if let Ok(event) = serde_json::from_value::<Event>(frame.clone()) {
                assert_eq!(event.seq(), read.seq());
                assert_eq!(serde_json::to_value(&event).unwrap(), frame);
                assert_eq!(WatchFrame::from(event), read);
            }
        }
    }

    #[test]
    fn actions_have_both_action_and_type() {
        let actions = [
            (
                json!({"action": "subscribe", "type": "task", "task_id": ID, "from_seq": 0}),
                WatchAction::Subscribe(Topic::task(ID.parse().unwrap(), Some(0))),
            ),
            (
                json!({"action": "unsubscribe", "type": "worker", "worker_id": ID}),
                WatchAction::Unsubscribe(Topic::worker(ID.parse().unwrap())),
            ),
            (json!({"action": "subscribe", "type": "tasks"}), WatchAction::Subscribe(Topic::tasks())),
            (json!({"action": "subscribe", "type": "workers"}), WatchAction::Subscribe(Topic::workers())),
            (json!({"action": "ping"}), WatchAction::Ping),
        ];
        for (json, action) in actions {
            assert_eq!(serde_json::from_value::<WatchAction>(json.clone()).unwrap(), action);
            assert_eq!(serde_json::to_value(action).unwrap(), json);
        }
    }
}
