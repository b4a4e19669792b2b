//! Regatta's domain, pure: tasks, subtasks, workers, plans, routing, leases, and the state machines over them.
//!
//! Nothing here reads a clock, a socket, a file or a random number: time and chance come in as arguments,
//! so that every sequence of events can be replayed and tested.
//!
//! [`plan`] makes plans, [`routing`] says who may run what, [`ledger`] holds every change of state,
//! [`command`] what can be asked of it, [`memory`] the reference that stores are compared with, [`invariants`]
//! what must hold in it after every step.

pub mod command;
pub mod event;
pub mod id;
pub mod invariants;
pub mod ledger;
pub mod memory;
pub mod plan;
pub mod rank;
pub mod retry;
pub mod routing;
pub mod subtask;
pub mod task;
pub mod time;
pub mod token;
pub mod words;
pub mod worker;

pub use id::{LaneKey, Lease, SubtaskId, SubtaskKey, TaskId, TaskKey, WorkerId, WorkerKey};
pub use time::{Span, Timestamp};
pub use token::TokenId;
pub use words::{
    AttemptOutcome, CheckpointFrequency, LogLevel, Priority, Privacy, SubtaskStatus, TaskStatus, TaskType, TokenRole,
    UnknownWord, WorkerStatus,
};
