//! The fixed words of the API as people see them: a style and a glyph each.

use anstyle::Style;
use regatta_client::api::{LogLevel, SubtaskStatus, TaskStatus, WorkerStatus};

use super::style::{BAD, DIM, GOOD, LIVE, PLAIN, WARN};

/// A task's status.
pub const fn task(status: TaskStatus) -> Style {
    match status {
        TaskStatus::Completed => GOOD,
        TaskStatus::Failed => BAD,
        TaskStatus::Cancelled => WARN,
        TaskStatus::InProgress | TaskStatus::Initializing => LIVE,
        TaskStatus::Checkpoint => WARN,
        TaskStatus::Pending => DIM,
    }
}

/// A subtask's status.
pub const fn subtask(status: SubtaskStatus) -> (&'static str, Style) {
    match status {
        SubtaskStatus::Completed => ("✓", GOOD),
        SubtaskStatus::Failed => ("✗", BAD),
        SubtaskStatus::Cancelled => ("⊘", WARN),
        SubtaskStatus::InProgress => ("▶", LIVE),
        SubtaskStatus::Queued => ("…", PLAIN),
        SubtaskStatus::Pending => ("·", DIM),
    }
}

/// A worker's status.
pub const fn worker(status: WorkerStatus) -> Style {
    match status {
        WorkerStatus::Online | WorkerStatus::Idle => GOOD,
        WorkerStatus::Busy => LIVE,
        WorkerStatus::Offline => DIM,
    }
}

/// A log line's level.
pub const fn level(level: LogLevel) -> Style {
    match level {
        LogLevel::Debug => DIM,
        LogLevel::Info => PLAIN,
        LogLevel::Warning => WARN,
        LogLevel::Error => BAD,
    }
}
