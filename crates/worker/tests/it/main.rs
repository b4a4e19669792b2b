//! The worker's parts with real processes, and the whole worker against a small real server.

mod bench;
mod command;
mod kill;
mod lease;
mod line;
mod server;
mod supervisor;
