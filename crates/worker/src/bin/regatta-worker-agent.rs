//! The smallest binary around this crate, for its own tests: they kill it for real. People use `regatta worker`.
//!
//! `regatta-worker-agent CONFIG` runs a worker until it is signalled.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == regatta_worker::supervisor::SUBCOMMAND {
        return regatta_worker::supervise_main();
    }
    match run(Path::new(&argument)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let service = regatta_worker::build(regatta_worker::Options::load(config)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let drain = regatta_worker::until_signalled(service.handle());
    runtime.block_on(service.run(drain))?;
    Ok(())
}
