//! The older forms of calls, which agents already in the field use; same rules as the ones they stand for.
//!
//! Their frames on the worker's line are among those of [`crate::frames::worker`].

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::nulls::null_default;
use crate::{JsonObject, LogLevel, SubtaskStatus};

/// Body of `POST /workers/{id}/tasks/{subtask_id}/result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LegacyResult {
    /// Whether it did what it should.
    pub success: bool,
    /// The output; one that is no object is stored as `{output: …}`.
    #[serde(default)]
    pub output: Value,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Anything beside it; stored beside the output.
    #[serde(default, deserialize_with = "null_default")]
    #[schema(value_type = Object)]
    pub metadata: JsonObject,
}

/// Body of `POST /subtasks/{id}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LegacyLog {
    /// The line. At most 64 KiB.
    pub log_line: String,
    /// The weight of the line.
    pub log_level: LogLevel,
    /// Anything beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<JsonObject>,
}

/// Answer of `POST /tasks/{id}/allocate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Allocated {
    /// The task.
    pub task_id: Uuid,
    /// What was given to workers.
    pub allocations: Vec<Allocation>,
    /// How many that are.
    pub total_allocated: u32,
    /// How many ready subtasks still wait.
    pub total_queued: u32,
}

/// A subtask that was given to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Allocation {
    /// The subtask.
    pub subtask_id: Uuid,
    /// The worker.
    pub worker_id: Uuid,
    /// The tool that shall run it.
    pub assigned_tool: String,
    /// Where the subtask stands.
    pub status: SubtaskStatus,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_older_agents_send_is_read() {
        let result: LegacyResult =
            serde_json::from_value(json!({"success": true, "output": "done", "error": null, "metadata": null}))
                .unwrap();
        assert_eq!(result.output, json!("done"));
        let log: LegacyLog =
            serde_json::from_value(json!({"log_line": "…", "log_level": "info", "timestamp": "now"})).unwrap();
        assert_eq!(log.log_level, LogLevel::Info);
    }

    #[test]
    fn an_allocation_survives_the_wire() {
        let id = "0193e3c8-7c00-7000-8000-000000000001";
        let value = json!({"task_id": id, "allocations": [{"subtask_id": id, "worker_id": id, "assigned_tool": "command",
            "status": "in_progress"}], "total_allocated": 1, "total_queued": 2});
        let read: Allocated = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }
}
