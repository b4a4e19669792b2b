//! One task's log, `GET /api/v1/ws/tasks/{task_id}/logs`: the frames of both directions.
//!
//! On connecting: `history_start`, the kept lines, `history_end`, `subscribed`, then live; each line exactly once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ErrorData, TaskIdData};
use crate::Time;
use crate::subtask::LogData;

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LogsFrame {
    /// Kept lines follow.
    HistoryStart {
        /// The task.
        task_id: Uuid,
        /// How many.
        count: u64,
    },
    /// The kept lines are over.
    HistoryEnd {
        /// The task.
        task_id: Uuid,
        /// The number up to which everything kept was sent; what is live comes after it.
        last_seq: u64,
    },
    /// Live lines of a task follow.
    Subscribed {
        /// The task.
        data: TaskIdData,
    },
    /// No more lines of a task follow.
    Unsubscribed {
        /// The task.
        data: TaskIdData,
    },
    /// A line.
    Log {
        /// The line.
        data: LogData,
        /// Its number among all events of the task.
        #[serde(rename = "_seq")]
        seq: u64,
        /// When the server took it.
        timestamp: Time,
    },
    /// Answers `ping`.
    Pong,
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
    /// A frame did not fit.
    Error {
        /// What is wrong with it.
        data: ErrorData,
    },
}

/// A frame from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum LogsAction {
    /// Send the lines of a task.
    Subscribe(LogsRange),
    /// Send no more lines of a task.
    Unsubscribe(LogsRange),
    /// Send kept lines again.
    Replay(LogsRange),
    /// Answered with `pong`.
    Ping,
}

/// A task and which of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogsRange {
    /// The task.
    pub task_id: Uuid,
    /// The first number wanted (inclusive); 0 for everything kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub from_seq: Option<u64>,
    /// The most kept lines to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0193e3c8-7c00-7000-8000-000000000001";

    #[test]
    fn frames_survive_the_wire() {
        let frames = [
            json!({"type": "history_start", "task_id": ID, "count": 1}),
            json!({"type": "log", "data": {"task_id": ID, "subtask_id": ID, "level": "info", "message": "m", "worker_id": ID,
                "timestamp": "2026-11-23T18:00:00.000000Z", "metadata": {"b": 1, "a": 2}}, "_seq": 7,
                "timestamp": "2026-11-23T18:00:00.000000Z"}),
            json!({"type": "history_end", "task_id": ID, "last_seq": 7}),
            json!({"type": "subscribed", "data": {"task_id": ID}}),
            json!({"type": "unsubscribed", "data": {"task_id": ID}}),
            json!({"type": "pong"}),
            json!({"type": "lagged", "missed": 3}),
            json!({"type": "gap", "from": 8, "to": 9}),
            json!({"type": "error", "data": {"message": "no JSON"}}),
        ];
        for frame in frames {
            let read: LogsFrame = serde_json::from_value(frame.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), frame);
        }
    }

    #[test]
    fn actions_survive_the_wire() {
        let actions = [
            json!({"action": "subscribe", "task_id": ID, "from_seq": 0}),
            json!({"action": "unsubscribe", "task_id": ID}),
            json!({"action": "replay", "task_id": ID, "from_seq": 3, "limit": 10}),
            json!({"action": "ping"}),
        ];
        for action in actions {
            let read: LogsAction = serde_json::from_value(action.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), action);
        }
    }
}
