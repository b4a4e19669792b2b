//! The server as callers see it: a real one on a free port, over a real SQLite store in its own directory.

mod access;
mod answers;
mod bad_input;
mod batch;
mod connections;
mod fuzz;
mod headers;
mod health;
mod legacy;
mod line;
mod log_socket;
mod openapi;
mod pages;
mod rig;
mod service;
mod show;
mod slice;
mod statements;
mod subtasks;
mod tasks;
mod watch_socket;
mod workers;
