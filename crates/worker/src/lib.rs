//! The worker agent: registers with a server, takes subtasks over its line, runs them with its tools, and loses nothing when killed.
//!
//! - [`runtime`] is the running worker: `Options` -> [`build`] -> [`Service`] and [`Handle`]
//! - [`options`] are what it can be told
//! - [`tools`] are what can be run
//! - [`supervisor`] starts processes, and ends them when the worker dies
//! - [`journal`] keeps results that the server has not taken yet
//! - [`identity`] is who a worker is
//! - [`clock`] is the clock leases are kept by

pub mod clock;
pub mod identity;
pub mod journal;
pub mod options;
pub mod runtime;
pub mod supervisor;
pub mod tools;

pub use options::Options;
pub use runtime::{Handle, Service, build, until_signalled};
pub use supervisor::supervise_main;
