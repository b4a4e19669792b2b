//! Scenarios: what users do, as a file says it, checked and made ready to run.
//!
//! - [`file`]: the file's keys, as types that read it and describe it (its JSON schema)
//! - [`template`], [`extract`], [`expect`], [`duration`], [`wait`]: the values in it
//! - [`data`]: rows for templates from CSV and JSON files
//! - [`error`]: what is wrong with a file, and where
//! - [`compile`]: from a file to a [`plan::Plan`]
//! - [`plan`]: what the engine runs

pub mod compile;
pub mod data;
pub mod duration;
pub mod error;
pub mod expect;
pub mod extract;
pub mod file;
pub mod plan;
pub mod template;
pub mod wait;

pub use self::compile::{load, tags};
pub use self::error::ScenarioError;
pub use self::plan::Plan;
