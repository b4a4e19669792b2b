//! The overview.

use regatta_api::health::Latency;
use regatta_api::stats::{Stats, SubtaskCounts, TaskCounts, Throughput, Waiting, WorkLatency, WorkerCounts};
use regatta_engine::{LatencyFigures, WINDOW};
use regatta_model::{SubtaskStatus, TaskStatus, WorkerStatus};

/// What an overview needs.
pub(crate) fn stats(stats: &regatta_engine::Stats) -> Stats {
    let counters = &stats.counters;
    let task = |status| count(&counters.tasks, status);
    let subtask = |status| count(&counters.subtasks, status);
    let worker = |status| count(&counters.workers, status);
    let recent = &stats.recent;
    let window = WINDOW.as_seconds().unsigned_abs();
    Stats {
        tasks: TaskCounts {
            pending: task(TaskStatus::Pending),
            initializing: task(TaskStatus::Initializing),
            in_progress: task(TaskStatus::InProgress),
            checkpoint: task(TaskStatus::Checkpoint),
            completed: task(TaskStatus::Completed),
            failed: task(TaskStatus::Failed),
            cancelled: task(TaskStatus::Cancelled),
            total: total(&counters.tasks),
        },
        subtasks: SubtaskCounts {
            pending: subtask(SubtaskStatus::Pending),
            queued: subtask(SubtaskStatus::Queued),
            in_progress: subtask(SubtaskStatus::InProgress),
            completed: subtask(SubtaskStatus::Completed),
            failed: subtask(SubtaskStatus::Failed),
            cancelled: subtask(SubtaskStatus::Cancelled),
            total: total(&counters.subtasks),
        },
        workers: WorkerCounts {
            online: worker(WorkerStatus::Online),
            idle: worker(WorkerStatus::Idle),
            busy: worker(WorkerStatus::Busy),
            offline: worker(WorkerStatus::Offline),
            total: total(&counters.workers),
            draining: stats.draining,
            slots: stats.slots,
            busy_slots: stats.busy_slots,
        },
        throughput: Throughput {
            window_seconds: window,
            tasks_submitted: recent.tasks_submitted,
            tasks_completed: recent.tasks_completed,
            tasks_failed: recent.tasks_failed,
            subtasks_completed: recent.subtasks_completed,
            subtasks_failed: recent.subtasks_failed,
            subtasks_per_second: recent.subtasks_completed as f64 / window as f64,
        },
        latency: WorkLatency { queue: latency(&recent.queue), run: latency(&recent.run) },
        waiting: stats
            .waiting
            .iter()
            .map(|waiting| Waiting { waiting_for: waiting.reason.to_string(), subtasks: waiting.subtasks })
            .collect(),
    }
}

fn count<S: Copy + PartialEq>(counts: &[(S, u64)], status: S) -> u64 {
    counts.iter().find(|(counted, _)| *counted == status).map_or(0, |(_, count)| *count)
}

fn total<S>(counts: &[(S, u64)]) -> u64 {
    counts.iter().map(|(_, count)| count).sum()
}

fn latency(figures: &LatencyFigures) -> Latency {
    let milliseconds = |span: regatta_model::Span| span.0 as f64 / 1_000.0;
    Latency {
        count: figures.count,
        p50_ms: milliseconds(figures.p50),
        p95_ms: milliseconds(figures.p95),
        p99_ms: milliseconds(figures.p99),
        max_ms: milliseconds(figures.max),
    }
}
