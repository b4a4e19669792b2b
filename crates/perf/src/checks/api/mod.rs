//! Single calls, one after the other.

pub mod health;
pub mod task;
pub mod worker;
