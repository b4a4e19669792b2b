//! A process of the platform: what it prints goes to a file, Ctrl-C does not reach it, and it ends with us.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::trial::Trouble;

/// So long it may take to end in order.
const GOODBYE: Duration = Duration::from_secs(10);

/// A process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where its output is.
    pub output: PathBuf,
}

/// What the caller's environment says to regatta is not said to what is measured.
const OURS: [&str; 8] = [
    "REGATTA_SERVER",
    "REGATTA_TOKEN",
    "REGATTA_CONFIG",
    "REGATTA_DATA",
    "REGATTA_DATABASE",
    "REGATTA_REDIS",
    "DATABASE_URL",
    "REDIS_URL",
];

impl Process {
    /// Starts `binary` with these arguments. Its standard input is held open while we live: its end tells it that we are
    /// gone, however we went. It gets our environment but for the settings of `regatta`, and the token, if there is one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(
        binary: &Path,
        arguments: &[OsString],
        environment: &[(&str, &str)],
        output: PathBuf,
    ) -> Result<Self, Trouble> {
        let refused = |error: std::io::Error| Trouble(format!("{} cannot be started: {error}", binary.display()));
        let file = File::options().create(true).append(true).open(&output).map_err(refused)?;
        let mut command = Command::new(binary);
        for name in OURS {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        let child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().map_err(refused)?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(refused)?;
        Ok(Self { child, output })
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let printed = std::fs::read_to_string(&self.output).unwrap_or_default();
        let last: Vec<&str> = printed.lines().rev().take(5).collect();
        Some(format!("ended ({status}): {}", last.into_iter().rev().collect::<Vec<_>>().join("\n")))
    }

    /// Tells it to end.
    pub fn terminate(&self) {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // It may have ended in this moment; it was not waited for, so the id is still its own.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for its end, and kills it when that takes too long.
    pub async fn gone(mut self) {
        if tokio::time::timeout(GOODBYE, self.child.wait()).await.is_err() {
            // Nothing is left to do about one that cannot even be killed.
            let _ = self.child.kill().await;
        }
    }
}
