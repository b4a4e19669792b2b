//! Many workers.

pub mod heartbeat;
pub mod listing;
pub mod presence;
pub mod registration;
