//! The `regatta` binary: parses the command line, wires the crates together and prints. No logic of the platform lives here.
//!
//! - [`cli`]: a file a command
//! - [`config`], [`context`]: where settings come from
//! - [`exit`]: exit codes and errors for people
//! - [`node`], [`fleet`]: the server and the workers that `up` runs; [`logging`], [`signals`], [`ready`]: what they need
//! - [`plan_file`]: plans in TOML
//! - [`feed`], [`watch`]: a task's events, and how they are shown
//! - [`ui`]: tables, colours, times

use std::process::ExitCode;

mod cli;
mod config;
mod context;
mod exit;
mod feed;
mod fleet;
mod logging;
mod node;
mod pick;
mod plan_file;
mod ready;
mod signals;
mod ui;
mod watch;

/// Many small allocations from many threads: JSON in, JSON out.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: the supervisor of a worker's processes is this binary again, and shall stay small.
    if std::env::args_os().nth(1).is_some_and(|word| word == regatta_worker::supervisor::SUBCOMMAND) {
        return regatta_worker::supervisor::supervise_main();
    }
    cli::run().into()
}
