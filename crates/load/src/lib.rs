//! A load generator for any HTTP server: users from scenario files or in Rust, a closed and an open model, and reports
//! in the formats that Locust's users know.
//!
//! - [`scenario`]: what users do, read from a file and made ready
//! - [`engine`]: threads, users and their requests; [`http`], [`ws`]: the protocols beneath
//! - [`totals`]: what was measured, merged from all threads; [`series`]: its course, bounded; [`threshold`]: what must hold; [`health`]: whether the
//!   generator itself was the bottleneck
//! - [`report`]: tables, CSV, JSON
//! - [`locust`]: a worker of a Locust master, which leads the engine
//!
//! It knows nothing of the platform it is shipped with. Who parses a command line, draws on a terminal or handles
//! signals is told in the binary.
//!
//! A run: [`scenario::load`] makes a [`Plan`], [`Engine::new`] checks that it can run, [`Engine::run`] runs it to its
//! end and tells an [`engine::Observer`] how it goes.

pub mod engine;
pub mod health;
pub mod http;
pub mod locust;
pub mod report;
pub mod scenario;
pub mod series;
pub mod threshold;
pub mod totals;
pub mod ws;

pub use engine::{Engine, Options, Outcome};
pub use scenario::{Plan, ScenarioError};
pub use totals::Totals;
