//! The limits of the wire contract, by name. The server enforces them; documentation and clients quote them.
//!
//! A size in bytes or steps over its limit is a 413, a length or count out of range a 422. Lengths of text count code points.

use std::ops::RangeInclusive;

/// The largest body of a call that makes tasks, in bytes.
pub const TASK_BODY_BYTES: usize = 8 * 1024 * 1024;
/// The most steps a plan may have.
pub const PLAN_STEPS: usize = 10_000;
/// The largest `result` of a subtask, in bytes of JSON.
pub const RESULT_BYTES: usize = 1024 * 1024;
/// The longest message of one log line, in bytes.
pub const LOG_LINE_BYTES: usize = 64 * 1024;
/// The largest WebSocket frame, in bytes.
pub const FRAME_BYTES: usize = 10 * 1024 * 1024;
/// The largest `context` of a subtask, in bytes of JSON; past it the dependent fails with `context_too_large`.
pub const CONTEXT_BYTES: usize = 8 * 1024 * 1024;
/// The length of a task's description, in code points.
pub const DESCRIPTION: RangeInclusive<usize> = 10..=10_000;
/// How much of a description a row of a list shows, in code points.
pub const DESCRIPTION_IN_LISTS: usize = 200;
/// The length of a worker's `machine_id`, in code points.
pub const MACHINE_ID: RangeInclusive<usize> = 1..=100;
/// The length of a worker's `machine_name`, in code points.
pub const MACHINE_NAME: RangeInclusive<usize> = 1..=100;
/// The slots a worker may have.
pub const SLOTS: RangeInclusive<u32> = 1..=1024;
/// The tasks of one batch, and the ids of one bulk call.
pub const BATCH: RangeInclusive<usize> = 1..=1000;
/// A step's complexity.
pub const COMPLEXITY: RangeInclusive<u32> = 1..=5;
/// A progress, in percent.
pub const PROGRESS: RangeInclusive<u32> = 0..=100;
/// The length of an `Idempotency-Key`, in characters.
pub const IDEMPOTENCY_KEY: RangeInclusive<usize> = 1..=255;
/// The length of an `X-Request-ID`, in visible ASCII characters.
pub const REQUEST_ID: RangeInclusive<usize> = 1..=128;
/// How long a call may wait for something to happen, in seconds.
pub const WAIT_SECONDS: RangeInclusive<u32> = 0..=60;
/// The rows of one page of a list.
pub const LIST_LIMIT: RangeInclusive<u32> = 1..=100;
/// The rows of a page when the caller does not say.
pub const LIST_LIMIT_DEFAULT: u32 = 50;
/// The entries of one page of logs or events.
pub const LOG_LIMIT: RangeInclusive<u32> = 1..=1000;
/// The entries of a page of logs or events when the caller does not say.
pub const LOG_LIMIT_DEFAULT: u32 = 50;
/// How far `search` counts before it answers `total_capped`.
pub const SEARCH_COUNT_CAP: u64 = 10_000;
/// The kept lines a log socket starts with when the caller names no `from_seq`.
pub const LOG_HISTORY_DEFAULT: u32 = 50;

/// WebSocket close code: a newer line or registration of the same worker took over.
pub const CLOSE_SUPERSEDED: u16 = 4001;
/// WebSocket close code: the worker is unregistered.
pub const CLOSE_UNREGISTERED: u16 = 4002;
/// WebSocket close code: the node drains, connect again (RFC 6455 registry: service restart).
pub const CLOSE_RESTART: u16 = 1012;
