//! The calls of the API, one method each.
//!
//! How a call travels is not here, see `transport`; each method says when its repetition is harmless, by the contract.

mod health;
mod subtasks;
mod tasks;
mod workers;
