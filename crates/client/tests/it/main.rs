//! The client against a small real server on loopback: each test has its own, on a port of its own.

mod calls;
mod line;
mod server;
mod watchers;
