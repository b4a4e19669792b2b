//! A PostgreSQL server, from a data folder that is made once and copied.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::keeper::{Keeper, Order, until};
use crate::program::{can_step_down, find, folder, free_port, give, placed, secret, unprivileged};
use crate::{kept, missing};

/// What a server is started with. Tests need little memory, and most need no power cut survived; `fsync=on` is a setting.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",
    "fsync=off",
    "full_page_writes=off",
    "log_min_messages=warning",
];
/// Raised when a template of before does not fit.
const TEMPLATE: u32 = 1;
/// The file with the superuser's password, beside the data.
const PASSWORD: &str = "password";

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are closed, data is written.
    Fast,
    /// At once; the next start recovers.
    Immediate,
    /// `kill -9` of the server's first process; the others find out.
    Kill,
}

/// A PostgreSQL server of a test's own. It ends with the test's process, however that ends.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    password: String,
    settings: Vec<String>,
    keeper: Option<Keeper>,
}

/// One of PostgreSQL's programs, of the newest version that is here.
pub fn program(name: &str) -> Option<PathBuf> {
    let version =
        |path: &Path| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    let mut folders = Vec::new();
    for place in ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt"] {
        let entries = std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
        folders
            .extend(entries.filter(|path| version(path).is_some() || path.to_string_lossy().contains("/postgresql")));
    }
    folders.sort_by_key(|path| std::cmp::Reverse(version(path)));
    let folders: Vec<PathBuf> = folders.into_iter().map(|path| path.join("bin")).collect();
    find(&[name], &folders)
}

/// Whether there is a PostgreSQL; where there is none, that is noted for `test`.
pub(crate) fn here(test: &str) -> bool {
    let here = ["postgres", "initdb", "psql"].iter().all(|name| program(name).is_some()) && can_step_down();
    if !here {
        missing(test, "there is no PostgreSQL here: install Debian's package postgresql, or another with its server");
    }
    here
}

fn command(name: &str, signal: &str) -> Vec<std::ffi::OsString> {
    let mut command = unprivileged(signal);
    command.push(program(name).expect("it was here").into());
    command
}

/// A data folder that was made once, and its password.
fn template() -> PathBuf {
    let version = Command::new(program("postgres").expect("it was here")).arg("--version").output();
    let version = version.expect("postgres --version").stdout;
    let version: String = String::from_utf8_lossy(&version).chars().filter(|c| c.is_alphanumeric()).collect();
    let made = kept().join(format!("template-{version}-{TEMPLATE}"));
    let lock = File::create(kept().join("template.lock")).expect("a lock file");
    lock.lock().expect("a lock");
    if !made.exists() {
        // Where the user without rights may write.
        let place = folder(&[(PASSWORD, secret().as_bytes())]);
        give(&place);
        let command = command("initdb", "KILL");
        let done = Command::new(&command[0])
            .args(&command[1..])
            .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync", "--wal-segsize=1"])
            .args(["--encoding=UTF8", "--locale=C"])
            .arg(format!("--pwfile={}", place.join(PASSWORD).display()))
            .arg("-D")
            .arg(place.join("data"))
            .current_dir("/")
            .output()
            .expect("initdb");
        assert!(done.status.success(), "initdb failed: {}", String::from_utf8_lossy(&done.stderr));
        let part = made.with_extension("part");
        let _ = std::fs::remove_dir_all(&part);
        copy(&place, &part);
        std::fs::rename(&part, &made).expect("the template in its place");
        let _ = std::fs::remove_dir_all(&place);
    }
    made
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-R").arg("-p").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "{} cannot be copied", from.display());
}

impl Postgres {
    /// A server of one's own; `None` where there is no PostgreSQL, which is noted for `test`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[], &[])
    }

    /// With further settings, `name=value`, of which later ones win, and files beside its data. `{folder}` in a setting
    /// stands for where those are.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(test: &str, settings: &[&str], files: &[(&str, &[u8])]) -> Option<Self> {
        here(test).then(|| Self::start_here(settings, files, None))
    }

    /// Starts it, for all who share a lock when there is one.
    pub(crate) fn start_here(settings: &[&str], files: &[(&str, &[u8])], lock: Option<&Path>) -> Self {
        let folder = folder(files);
        let template = template();
        copy(&template.join("data"), &folder.join("data"));
        let password = std::fs::read_to_string(template.join(PASSWORD)).expect("the template's password");
        give(&folder);
        let settings = placed(&[SETTINGS, settings].concat(), &folder);
        let mut server = Self { folder, port: 0, password, settings, keeper: None };
        // Between finding a port and taking it another may have come.
        for _ in 0..5 {
            server.port = free_port();
            if server.run(lock) {
                return server;
            }
            if let Some(keeper) = server.keeper.take() {
                keeper.stop("KILL");
            }
        }
        panic!("PostgreSQL does not start: {}", server.log());
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// When it runs, or does not come up.
    pub fn resume(&mut self) {
        assert!(self.keeper.is_none(), "it runs");
        assert!(self.run(None), "PostgreSQL does not start again: {}", self.log());
    }

    fn run(&mut self, lock: Option<&Path>) -> bool {
        let mut command = command("postgres", "QUIT");
        command.extend(["-D".into(), self.folder.join("data").into(), "-p".into(), self.port.to_string().into()]);
        for setting in &self.settings {
            command.extend(["-c".into(), setting.into()]);
        }
        // What is left of one that was killed says "ready" too.
        let file = self.folder.join("data/postmaster.pid");
        let _ = std::fs::remove_file(&file);
        let keeper = self.keeper.insert(Keeper::start(Order { folder: &self.folder, command, signal: "QUIT", lock }));
        let mut up = false;
        until("PostgreSQL", || {
            up = std::fs::read_to_string(&file)
                .is_ok_and(|text| text.lines().nth(7).is_some_and(|s| s.trim() == "ready"));
            up || keeper.ended()
        });
        up
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its port, the same after every start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its database `postgres`.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same by another port: that of a [proxy](crate::Proxy) before it.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", self.password)
    }

    /// The process id of its first process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.keeper.as_ref().expect("it runs").pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// Stops it and waits for its end. Its data and its port stay.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub fn stop(&mut self, how: Stop) {
        let keeper = self.keeper.take().expect("it runs");
        match how {
            Stop::Fast => keeper.stop("INT"),
            Stop::Immediate => keeper.stop("QUIT"),
            Stop::Kill => {
                // Those that are left hold the data for a moment; a start meanwhile would be refused.
                keeper.stop("KILL");
                let of = self.folder.join("data").display().to_string();
                until("the end of PostgreSQL's processes", || !in_use(&of));
            }
        }
    }

    /// Stops all of its processes with SIGSTOP: connections stay and nobody answers.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.keeper.as_ref().expect("it runs").signal(Signal::STOP, true);
    }

    /// They go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.keeper.as_ref().expect("it runs").signal(Signal::CONT, true);
    }

    /// Lets go of one that is shared.
    pub(crate) fn leave(mut self) -> (PathBuf, String) {
        if let Some(keeper) = self.keeper.take() {
            keeper.leave();
        }
        let url = self.url();
        (std::mem::take(&mut self.folder), url)
    }
}

/// Whether a process works in this folder.
fn in_use(folder: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd == Path::new(folder))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that runs is removed with its folder by its keeper.
        if self.keeper.take().is_none() && !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
