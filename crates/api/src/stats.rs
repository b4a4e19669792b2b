//! Answer of `GET /stats`: what an overview needs, in one cheap call.
//!
//! Not here: the health of the parts ([`crate::health`]).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::health::Latency;

/// Answer of `GET /stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Tasks by status.
    pub tasks: TaskCounts,
    /// Subtasks by status.
    pub subtasks: SubtaskCounts,
    /// Workers by status, and their slots.
    pub workers: WorkerCounts,
    /// What was done in the last minutes.
    pub throughput: Throughput,
    /// How long it took in the last minutes.
    pub latency: WorkLatency,
    /// Why queued subtasks do not run, the most frequent reason first.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
}

/// Tasks by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    /// Not planned yet.
    pub pending: u64,
    /// Being planned.
    pub initializing: u64,
    /// Planned and not ended.
    pub in_progress: u64,
    /// Waiting for a person.
    pub checkpoint: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended with a failure.
    pub failed: u64,
    /// Cancelled by a caller.
    pub cancelled: u64,
    /// All of them.
    pub total: u64,
}

/// Subtasks by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubtaskCounts {
    /// Waiting for dependencies.
    pub pending: u64,
    /// Ready, waiting for a worker or for the end of a backoff.
    pub queued: u64,
    /// Leased to a worker.
    pub in_progress: u64,
    /// Ended well.
    pub completed: u64,
    /// Failed for good.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// All of them.
    pub total: u64,
}

/// Workers by status, and their slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerCounts {
    /// With free slots.
    pub online: u64,
    /// Free, by their own word between two subtasks.
    pub idle: u64,
    /// With all slots taken.
    pub busy: u64,
    /// Said so, unregistered or silent.
    pub offline: u64,
    /// All of them.
    pub total: u64,
    /// Of those not offline, how many take no new work.
    pub draining: u64,
    /// The slots of all workers that are not offline.
    pub slots: u64,
    /// How many of them are taken.
    pub busy_slots: u64,
}

/// What was done in the last minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Throughput {
    /// How far back the figures look, in seconds.
    pub window_seconds: u64,
    /// Tasks submitted.
    pub tasks_submitted: u64,
    /// Tasks that ended well.
    pub tasks_completed: u64,
    /// Tasks that failed.
    pub tasks_failed: u64,
    /// Subtasks that ended well.
    pub subtasks_completed: u64,
    /// Attempts that failed.
    pub subtasks_failed: u64,
    /// `subtasks_completed` for each second of the window.
    pub subtasks_per_second: f64,
}

/// How long things took in the last minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkLatency {
    /// From queued to leased, for each subtask.
    pub queue: Latency,
    /// From leased to its result, for each attempt.
    pub run: Latency,
}

/// A reason to wait, and how many subtasks have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// Why, in words, and what to do about it.
    pub waiting_for: String,
    /// How many queued subtasks wait for that.
    pub subtasks: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stats_survive_the_wire() {
        let value = json!({
            "tasks": {"pending": 1, "initializing": 0, "in_progress": 2, "checkpoint": 0, "completed": 3, "failed": 0, "cancelled": 0, "total": 6},
            "subtasks": {"pending": 1, "queued": 2, "in_progress": 3, "completed": 4, "failed": 5, "cancelled": 6, "total": 21},
            "workers": {"online": 1, "idle": 0, "busy": 1, "offline": 0, "total": 2, "draining": 0, "slots": 3, "busy_slots": 2},
            "throughput": {"window_seconds": 300, "tasks_submitted": 9, "tasks_completed": 3, "tasks_failed": 0,
                "subtasks_completed": 4, "subtasks_failed": 1, "subtasks_per_second": 0.5},
            "latency": {"queue": {"count": 1, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "max_ms": 1.0},
                "run": {"count": 1, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "max_ms": 1.0}},
            "waiting": [{"waiting_for": "no online worker offers gemini_cli; start one: regatta worker --tools gemini_cli", "subtasks": 2}]
        });
        let stats: Stats = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(stats.subtasks.queued, 2);
        assert_eq!(serde_json::to_value(&stats).unwrap(), value);
    }
}
