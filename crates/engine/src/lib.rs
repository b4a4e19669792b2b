//! What keeps the fleet at work: plans tasks, leases subtasks to connected workers, keeps leases, and answers
//! everyone who asks. The server stands on it, and later other protocols will.
//!
//! [`Options`] `->` [`Options::build`] `->` a [`Service`] that runs the loops, and an [`Engine`], the cheap
//! handle for everyone who talks to it. Not here: HTTP, wire types, SQL; and no rule about what a state may
//! become, those are in [`regatta_model::ledger`].

mod basis;
mod clock;
mod dispatcher;
mod engine;
mod error;
mod fleet;
mod line;
mod options;
mod poll;
mod recorder;
mod retention;
mod service;
mod sink;
mod submit;
mod subtasks;
mod surroundings;
mod sweeper;
mod tasks;
pub mod timing;
pub mod tokens;
mod workers;

/// The bus under the engine, for those who stand on the engine alone.
pub use regatta_bus as bus;
/// The store under the engine, for those who stand on the engine alone: what can be read, and how it is asked for.
pub use regatta_store as store;

pub use basis::Basis;
pub use engine::Engine;
pub use error::{Error, Result};
pub use fleet::LineMessage;
pub use line::{Line, LineEvent, LineHandle};
pub use options::Options;
pub use recorder::{LatencyFigures, Recent, WINDOW};
pub use service::Service;
pub use sink::CommitSink;
pub use submit::{IdempotencyKey, NewTaskRequest};
pub use subtasks::{LogRequest, ProgressRequest, ReportRequest};
pub use surroundings::{RealWorld, Surroundings};
pub use workers::{HeartbeatRequest, RegisterRequest, Stats, WaitingReason};
