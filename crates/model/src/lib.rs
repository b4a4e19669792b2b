//! Regatta's domain, pure: tasks, subtasks, workers, plans, routing, leases, and the state machines over them.
//!
//! Nothing here reads a clock, a socket, a file or a random number: time and chance come in as arguments,
//! so that every sequence of events can be replayed and tested.

pub mod words;

pub use words::{
    AttemptOutcome, CheckpointFrequency, LogLevel, Priority, Privacy, SubtaskStatus, TaskStatus,
    TaskType, UnknownWord, WorkerStatus,
};
