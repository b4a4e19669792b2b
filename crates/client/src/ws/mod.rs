//! WebSockets: connecting, reading with a limit on silence, and the typed streams over them.

pub(crate) mod closed;
pub(crate) mod incoming;
mod socket;
pub(crate) mod worker_line;
