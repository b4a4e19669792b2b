//! A platform of one's own: this same program as server and workers, in processes, in a folder for this run only.
//!
//! - [`server`]: `regatta serve` on any free port, with the embedded store or on services that are there
//! - [`fleet`]: worker processes, or processes with many workers each
//! - [`agents`]: what such a process does; [`agent`]: one worker that a check steers by itself
//! - [`hold`]: the task that workers run: it says when it began, and waits to be released

pub mod agent;
pub mod agents;
pub mod fleet;
pub mod hold;
pub mod process;
pub mod server;

pub use fleet::Fleet;
pub use server::{Server, Services};
