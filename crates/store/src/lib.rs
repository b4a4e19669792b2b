//! Where tasks, subtasks and workers are kept: the [`Store`] trait at the level of operations, and the stores behind it.
//!
//! A store is durable: an answer comes after its commit. What a command *does* is decided by
//! [`regatta_model::ledger`]; a store brings the rows, the transaction, the group commit and the queries.
//! Not here: HTTP, policy, clocks (the caller says what time it is).

mod attempt;
mod delayed;
pub mod memory;
pub mod moving;
mod pack;
mod panicked;
pub mod postgres;
pub mod query;
mod queue;
mod schema;
pub mod sqlite;
mod traits;

pub use delayed::delayed;
pub use query::*;
pub use schema::SchemaChange;
pub use traits::{Committed, Duty, Sink, Store, StoreError, StoreExt, Timed, Timing};
