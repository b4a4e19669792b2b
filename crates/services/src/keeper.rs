//! A service in the background that ends when nobody needs it, however those end who did.
//!
//! A shell stands between: it starts the service and waits. For a test's own service it waits at a pipe that closes with the
//! test's process; for a shared one it looks whether anyone still holds the lock that users share, and gives it ten seconds
//! more for the next test. Should the shell be killed, the kernel tells the service.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a service is started with.
pub(crate) struct Order<'a> {
    /// Its folder, gone when it is.
    pub folder: &'a Path,
    /// The command.
    pub command: Vec<std::ffi::OsString>,
    /// The signal that ends it.
    pub signal: &'a str,
    /// The lock that its users share; without one it is this process's own.
    pub lock: Option<&'a Path>,
}

/// Who waits for a service's end.
pub(crate) struct Keeper {
    shell: Child,
    pipe: Option<ChildStdin>,
    pid: Pid,
}

impl Keeper {
    /// Starts a service; what it says goes to `log` in its folder.
    pub(crate) fn start(order: Order<'_>) -> Self {
        let log = File::options().create(true).append(true).open(order.folder.join("log")).expect("a log");
        let mut command = Command::new("sh");
        // The shell's own input is for the pipe; scripts read it as 3, so that no command of theirs eats from it.
        command.arg("-c").arg(format!("exec 3<&0 </dev/null\n{}", include_str!("keeper.sh"))).arg("keeper");
        command.arg(order.folder).arg(order.signal).arg(order.lock.unwrap_or(Path::new("")));
        command.args(&order.command).current_dir("/").env("LC_ALL", "C.UTF-8");
        // A Ctrl-C is for the test; it ends, and this ends with it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut shell = command.spawn().expect("sh");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("its output")).read_line(&mut line).expect("a process id");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
        Self { pipe: shell.stdin.take(), shell, pid }
    }

    /// The service's process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it ended by itself. Where that cannot be seen it did not.
    pub(crate) fn ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero()));
        match stat {
            Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
            Err(_) => Path::new("/proc/self").exists(),
        }
    }

    /// Sends it a signal, and its children when `all`.
    pub(crate) fn signal(&self, signal: Signal, all: bool) {
        let of = format!(" {} ", self.pid.as_raw_nonzero());
        // It may have ended.
        let _ = kill_process(self.pid, signal);
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(|_| all) {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // After the name, which may contain anything: the state, then the parent.
            if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest[1..].starts_with(&of)) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Ends it by this signal and waits. Its folder stays.
    pub(crate) fn stop(mut self, signal: &str) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = writeln!(pipe, "{signal}");
        }
        self.shell.wait().expect("its end");
    }

    /// Lets go: it ends when its users are gone.
    pub(crate) fn leave(mut self) {
        self.pipe = None;
        std::mem::forget(self);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.pipe.take().is_some() {
            let _ = self.shell.wait();
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !so() {
        assert!(asked.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
