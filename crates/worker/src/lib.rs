//! The worker agent: registers with a server, takes subtasks over its line, runs them with its tools, and loses nothing when killed.
//!
//! - [`tools`] are what can be run
//! - [`supervisor`] starts processes, and ends them when the worker dies
//! - [`clock`] is the clock leases are kept by

pub mod clock;
pub mod supervisor;
pub mod tools;
