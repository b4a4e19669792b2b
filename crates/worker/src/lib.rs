//! The worker agent: registers with a server, takes subtasks over its line, runs them with its tools, and loses nothing when killed.
//!
//! - [`supervisor`]: processes, and their end when the worker dies
//! - [`clock`]: the clock leases are kept by

pub mod clock;
pub mod supervisor;
