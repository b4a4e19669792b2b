//! WebSockets: connecting, reading with a limit on silence, and the typed streams over them.

pub(crate) mod closed;
pub(crate) mod incoming;
mod link;
pub(crate) mod logs;
mod socket;
pub(crate) mod watch;
pub(crate) mod worker_line;
