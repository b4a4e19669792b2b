//! Many tasks.

pub mod decomposition;
pub mod execution;
pub mod listing;
pub mod mixed;
pub mod query;
pub mod submission;
