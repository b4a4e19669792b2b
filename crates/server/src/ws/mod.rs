//! The three WebSockets, and what they share.

pub(crate) mod all;
pub(crate) mod socket;
pub(crate) mod tail;
pub(crate) mod task_logs;
pub(crate) mod worker_line;
