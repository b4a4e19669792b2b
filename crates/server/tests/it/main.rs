//! The server as callers see it: a real one on a free port, over a real SQLite store in its own directory.

mod rig;
mod service;
mod slice;
mod workers;
