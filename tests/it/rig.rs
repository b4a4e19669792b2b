//! What the tests start and ask: a home of their own, a platform in it, and commands against it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What programs run in: with letters beyond ASCII.
pub const LOCALE: &str = "C.UTF-8";

/// So long a test waits for anything; only a hang takes so long.
const HANG: Duration = Duration::from_secs(180);

/// Waits until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < HANG, "still waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A home that nothing else uses.
pub struct Home {
    dir: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A certificate for localhost that vouches for itself, and its key, in files.
    pub fn certificate(&self, name: &str) -> [PathBuf; 2] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let parts = [("pem", made.cert.pem()), ("key", made.signing_key.serialize_pem())];
        parts.map(|(kind, text)| {
            let file = self.path(&format!("{name}.{kind}"));
            std::fs::write(&file, text).unwrap();
            file
        })
    }

    /// The binary with nothing of the caller's environment but what programs need.
    pub fn regatta<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_regatta"));
        command.args(arguments);
        command
    }

    /// Any program in the same surroundings.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path())
            .env("REGATTA_DATA", self.path("data"))
            .env("LC_ALL", LOCALE)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::from(self.regatta(arguments).output().unwrap())
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// It ended with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A process of ours. Dropping it ends it: with SIGTERM, and with SIGKILL when that does not do.
pub struct Process {
    child: Child,
    /// What it printed.
    output: PathBuf,
}

impl Process {
    pub fn start(mut command: Command, output: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&output).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid()), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until("a process to end", || self.child.try_wait().unwrap())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// Its end, if it came already.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let _ = kill_process(pid(self.pid()), Signal::TERM);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// Whether a process is there and no zombie.
pub fn is_alive(raw: u32) -> bool {
    let zombie = std::fs::read_to_string(format!("/proc/{raw}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
    test_kill_process(pid(raw)).is_ok() && !zombie
}

/// A server that runs, with or without workers of its own.
pub struct Platform {
    pub process: Process,
    pub url: String,
    pub ready: Value,
    pub home: Home,
}

impl Platform {
    /// `regatta up` on any free port.
    pub fn up(arguments: &[&str]) -> Self {
        Self::start(Home::new(), &[&["up", "--port", "0"], arguments].concat())
    }

    /// `regatta serve` on any free port.
    pub fn serve() -> Self {
        Self::start(Home::new(), &["serve", "--listen", "localhost:0"])
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(home: Home, arguments: &[&str]) -> Self {
        let command = home.regatta(arguments);
        Self::of(command, home)
    }

    /// Starts what becomes a server, and waits until it says that it is ready.
    pub fn of(mut command: Command, home: Home) -> Self {
        let file = home.path("ready.json");
        let _ = std::fs::remove_file(&file);
        command.arg("--ready-file").arg(&file);
        let mut process = Process::start(command, home.path("platform.log"));
        let ready: Value = until("the platform", || {
            if let Some(status) = process.ended() {
                panic!("it ended with {status}: {}", process.output());
            }
            serde_json::from_slice(&std::fs::read(&file).ok()?).ok()
        });
        let url = ready["url"].as_str().unwrap().to_owned();
        Self { process, url, ready, home }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.url.strip_prefix("http://").unwrap().to_owned()
    }

    /// Ends it in order; its home stays.
    pub fn stop(mut self) -> (ExitStatus, Home) {
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        (status, self.home)
    }

    /// The pids of the workers that `up` started.
    pub fn workers(&self) -> Vec<u32> {
        let workers = self.ready["workers"].as_array().unwrap();
        workers.iter().map(|worker| u32::try_from(worker["pid"].as_u64().unwrap()).unwrap()).collect()
    }

    /// A command against this server.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.regatta(arguments);
        command.env("REGATTA_SERVER", &self.url);
        command
    }

    /// Runs a command against this server to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// A worker of its own for this server.
    pub fn worker(&self, name: &str) -> Process {
        let command = self.command(&["worker", "--name", name, "--tools", "command", "--slots", "2"]);
        Process::start(command, self.home.path(&format!("{name}.log")))
    }

    /// Submits and answers the id.
    #[track_caller]
    pub fn submit(&self, arguments: &[&str]) -> String {
        let created = self.run(&[&["task", "submit", "--json"], arguments].concat()).ok().json();
        created["task_id"].as_str().unwrap().to_owned()
    }

    /// Submits a line for a shell.
    #[track_caller]
    pub fn submit_shell(&self, line: &str) -> String {
        self.submit(&["--", "sh", "-c", line])
    }

    /// A task as it is now.
    #[track_caller]
    pub fn task(&self, id: &str) -> Value {
        self.run(&["task", "get", id, "--json"]).ok().json()
    }

    /// A step of a task as it is now.
    #[track_caller]
    pub fn step(&self, id: &str, name: &str) -> Value {
        self.run(&["task", "get", id, "--step", name, "--json"]).ok().json()
    }

    /// Waits until a task has ended.
    pub fn ended(&self, id: &str) -> Value {
        until("a task to end", || {
            let ran = self.run(&["task", "get", id, "--json"]);
            let task = (ran.code == Some(0)).then(|| ran.json())?;
            let status = task["status"].as_str()?;
            matches!(status, "completed" | "failed" | "cancelled").then_some(task)
        })
    }
}

/// How many lines a file has; none while it is not there.
pub fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}
