//! A worker of a Locust master: Locust's distributed mode, its web page and its operators drive this engine.
//!
//! - [`worker`]: what a worker does, from joining to leaving; [`hooks`]: what the program around it does for it;
//!   [`usage`]: what it uses of the machine
//! - [`run`]: the engine's run under it, from one start to the next stop
//! - [`message`]: what is said both ways; [`delta`]: what was measured since the last report
//! - [`zmtp`]: the wire beneath, as much of ZeroMQ as it takes
//!
//! The master decides who runs, how many and how long; what a class of users does is told by the scenario. Spoken is
//! what Locust 2.47 speaks, one port, since its version 1.

pub mod delta;
pub mod hooks;
pub mod message;
pub mod run;
mod usage;
pub mod worker;
pub mod zmtp;

pub use self::hooks::{End, Ended, Error, Hooks, Level, Options};
pub use self::message::Job;
pub use self::worker::Worker;
