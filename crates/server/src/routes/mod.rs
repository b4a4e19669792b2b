//! The routes, thin: read what is asked, ask the engine, shape the answer.

pub(crate) mod batch;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod legacy;
pub(crate) mod meta;
pub(crate) mod stats;
pub(crate) mod subtasks;
pub(crate) mod tasks;
pub(crate) mod workers;
