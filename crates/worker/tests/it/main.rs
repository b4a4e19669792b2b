//! The worker's parts with real processes, and the whole worker against a small real server.

mod command;
mod supervisor;
