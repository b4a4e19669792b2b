//! The smallest binary around this crate, for its own tests: they kill it for real. People use `regatta worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(regatta_worker::supervisor::SUBCOMMAND) {
        return regatta_worker::supervisor::supervise_main();
    }
    ExitCode::SUCCESS
}
