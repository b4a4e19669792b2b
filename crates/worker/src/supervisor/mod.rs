//! Processes of tools: started by a supervisor child, which ends them when this process dies, however it dies.
//!
//! ```text
//! worker --socket--> supervisor --fork--> tool --fork--> whatever it starts
//! ```
//! The worker owns the far ends of the tool's three pipes; the supervisor owns the processes. See [`child`] for the other side.
//! Not here: what is run and what its output means (see [`crate::tools`]).

mod child;
mod leftovers;
pub mod proc;
mod protocol;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::pipe::PipeFlags;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

pub use child::supervise_main;
pub use leftovers::end_marked;
pub use protocol::SUBCOMMAND;
use protocol::{PREFIX, Received, Receiver, Report, Request, Spawn};

/// How long a program has between SIGTERM and SIGKILL when nobody waits for it any more.
const DROPPED_GRACE: Duration = Duration::from_secs(2);

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The operating system refused.
    #[error("{0}")]
    Refused(String),
    /// The supervisor could not be started or was killed; the work can be tried again.
    #[error("the worker's process supervisor does not run: {0}")]
    NoSupervisor(String),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal of this number.
    Signal(i32),
    /// Nobody knows: the supervisor was killed, and what it ran was ended.
    Unknown,
}

/// A program to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// Path of the file.
    pub path: String,
    /// Its arguments, its name first.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The working directory; this process's own if absent.
    pub cwd: Option<String>,
    /// `<subtask id>/<lease>`: what the process is known by, see [`proc::SUBTASK_VARIABLE`].
    pub marker: String,
    /// When the supervisor is to end it if nobody else does, by [`crate::clock::boot_ms`].
    pub deadline_ms: Option<u64>,
}

/// A running program. Dropping it ends the program.
#[derive(Debug)]
pub struct Process {
    /// What the program reads.
    pub stdin: Option<pipe::Sender>,
    /// What it writes.
    pub stdout: pipe::Receiver,
    /// What it complains about.
    pub stderr: pipe::Receiver,
    /// Tells it to end.
    pub stopper: Stopper,
    /// Says when it has ended.
    pub exit: ExitWait,
}

/// Ends a running program, when it is told to or dropped before [`Self::done`].
#[derive(Debug)]
pub struct Stopper {
    id: u64,
    supervisor: Supervisor,
    done: bool,
}

impl Stopper {
    /// The program is over; there is nothing left to end.
    pub fn done(mut self) {
        self.done = true;
    }

    /// Ends the program and all that it started: SIGTERM, and after `grace` SIGKILL. Returns at once; [`ExitWait::wait`] says when it is over.
    pub fn stop(&self, grace: Duration) {
        self.supervisor.tell(&Request::Stop { id: self.id, grace_ms: grace.as_millis() as u64 });
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        if !self.done {
            self.stop(DROPPED_GRACE);
        }
    }
}

/// Waits for a program's end.
#[derive(Debug)]
pub struct ExitWait {
    exited: oneshot::Receiver<Exit>,
}

impl ExitWait {
    /// Waits until the program and all that it started are over; to be called until it has answered, and not again.
    pub async fn wait(&mut self) -> Exit {
        (&mut self.exited).await.unwrap_or(Exit::Unknown)
    }
}

/// The worker's handle of its supervisor; cheap to clone. The supervisor process starts with the first program, or with [`Self::start`].
#[derive(Debug, Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The program and its arguments, the sub-command last.
    command: Vec<OsString>,
    /// The worker's identity, set in every program's environment.
    identity: String,
    next_id: AtomicU64,
    link: Mutex<Option<Link>>,
}

/// A running supervisor.
#[derive(Debug, Clone)]
struct Link {
    out: mpsc::UnboundedSender<Outgoing>,
    waiting: Arc<Mutex<Table>>,
}

/// Who waits, by the program's number; `None` once the supervisor is gone and nobody can be told anything any more.
type Table = Option<HashMap<u64, Waiting>>;

#[derive(Debug)]
struct Outgoing {
    frame: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// Who waits for news of a program.
#[derive(Debug)]
struct Waiting {
    marker: String,
    started: Option<oneshot::Sender<Result<(), SpawnError>>>,
    exit: oneshot::Sender<Exit>,
}

impl Supervisor {
    /// A supervisor that is this same binary, started again with [`SUBCOMMAND`].
    pub fn of_this_binary(identity: &str) -> Self {
        // Not `current_exe`: that path is wrong once the file was replaced by an upgrade.
        Self::new(vec!["/proc/self/exe".into()], identity)
    }

    /// A supervisor that is another program, such as a test's. [`SUBCOMMAND`] is added to its arguments.
    pub fn new(mut command: Vec<OsString>, identity: &str) -> Self {
        command.push(SUBCOMMAND.into());
        Self {
            shared: Arc::new(Shared {
                command,
                identity: identity.to_owned(),
                next_id: AtomicU64::new(1),
                link: Mutex::new(None),
            }),
        }
    }

    /// Starts the supervisor process now, so that the first program need not wait for it.
    ///
    /// # Errors
    /// [`SpawnError::NoSupervisor`] when the operating system does not start it.
    pub fn start(&self) -> Result<(), SpawnError> {
        self.link().map(drop)
    }

    /// Starts a program.
    ///
    /// # Errors
    /// When the operating system refuses, or when there is no supervisor to ask.
    pub async fn spawn(&self, program: Program) -> Result<Process, SpawnError> {
        let refused = |error: std::io::Error| SpawnError::Refused(error.to_string());
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let (stdin_read, stdin_write) = pipe().map_err(|error| refused(error.into()))?;
        let (stdout_read, stdout_write) = pipe().map_err(|error| refused(error.into()))?;
        let (stderr_read, stderr_write) = pipe().map_err(|error| refused(error.into()))?;

        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let mut env = program.env;
        env.push((proc::WORKER_VARIABLE.into(), self.shared.identity.clone()));
        let frame = protocol::encode(&Request::Spawn(Spawn {
            id,
            program: program.path,
            argv: program.argv,
            env,
            cwd: program.cwd,
            marker: program.marker.clone(),
            deadline_ms: program.deadline_ms,
        }))
        .map_err(refused)?;

        let link = self.link()?;
        let (started, is_started) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        let waits = Waiting { marker: program.marker, started: Some(started), exit };
        match &mut *link.waiting.lock() {
            Some(table) => table.insert(id, waits),
            None => return Err(SpawnError::NoSupervisor("it was killed".into())),
        };
        let fds = vec![stdin_read, stdout_write, stderr_write];
        // Should it not arrive, the supervisor is gone, and the table is emptied.
        let _ = link.out.send(Outgoing { frame, fds });
        is_started.await.unwrap_or_else(|_| Err(SpawnError::NoSupervisor("it was killed".into())))?;
        Ok(Process {
            stopper: Stopper { id, supervisor: self.clone(), done: false },
            exit: ExitWait { exited },
            stdin: Some(pipe::Sender::from_owned_fd(stdin_write).map_err(refused)?),
            stdout: pipe::Receiver::from_owned_fd(stdout_read).map_err(refused)?,
            stderr: pipe::Receiver::from_owned_fd(stderr_read).map_err(refused)?,
        })
    }

    /// Tells the supervisor when the programs of this marker are to be ended if the worker does not do it:
    /// a worker that is stopped or starved keeps no clock.
    pub fn set_deadline(&self, marker: &str, at_ms: u64) {
        self.tell(&Request::Deadline { marker: marker.to_owned(), at_ms });
    }

    /// Sends what needs no answer; a supervisor that does not run has nothing to be told.
    fn tell(&self, request: &Request) {
        if let Some(link) = &*self.shared.link.lock()
            && let Ok(frame) = protocol::encode(request)
        {
            let fds = Vec::new();
            let _ = link.out.send(Outgoing { frame, fds });
        }
    }

    /// The running supervisor, started if there is none.
    fn link(&self) -> Result<Link, SpawnError> {
        let mut slot = self.shared.link.lock();
        if let Some(link) = &*slot
            && link.waiting.lock().is_some()
        {
            return Ok(link.clone());
        }
        let link = self.connect().map_err(|error| SpawnError::NoSupervisor(error.to_string()))?;
        *slot = Some(link.clone());
        Ok(link)
    }

    fn connect(&self) -> std::io::Result<Link> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let (program, arguments) =
            self.shared.command.split_first().ok_or_else(|| std::io::Error::other("no program is named for it"))?;
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .arg0("regatta")
            // It needs none, and the worker's token may be in it.
            .env_clear()
            // Its own group: Ctrl-C in a terminal reaches the worker only.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(far)))
            .stdout(Stdio::null())
            .spawn()?;
        tokio::spawn(async move { child.wait().await });

        let (read, write) = UnixStream::from_std(near)?.into_split();
        let (out, outgoing) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(send(write, outgoing));
        tokio::spawn(receive(read, waiting.clone()));
        Ok(Link { out, waiting })
    }
}

/// Carries frames to the supervisor until either side is gone.
async fn send(mut socket: OwnedWriteHalf, mut outgoing: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some(Outgoing { frame, fds }) = outgoing.recv().await {
        let prefix = socket
            .as_ref()
            .async_io(Interest::WRITABLE, || Ok(protocol::send_prefix(socket.as_ref(), &frame, &fds)?))
            .await;
        drop(fds);
        // A stream socket takes four bytes whole or not at all.
        if !matches!(prefix, Ok(PREFIX)) || socket.write_all(&frame[PREFIX..]).await.is_err() {
            return;
        }
    }
}

/// Hands the supervisor's reports to those who wait, until it is gone; then ends what it ran.
async fn receive(socket: OwnedReadHalf, waiting: Arc<Mutex<Table>>) {
    let mut receiver = Receiver::default();
    loop {
        let received = socket
            .as_ref()
            .async_io(Interest::READABLE, || match receiver.receive::<Report>(socket.as_ref())? {
                Received::NotYet => Err(std::io::ErrorKind::WouldBlock.into()),
                received => Ok(received),
            })
            .await;
        match received {
            Ok(Received::Frame(report, _)) => hand_over(report, &waiting),
            Ok(Received::NotYet) => {}
            Ok(Received::Closed) => break,
            Err(error) => {
                tracing::error!(%error, "the process supervisor's answer could not be read");
                break;
            }
        }
    }
    let lost = waiting.lock().take().unwrap_or_default();
    if !lost.is_empty() {
        tracing::error!(processes = lost.len(), "the process supervisor is gone; ending what it ran");
    }
    for one in lost.into_values() {
        end_marked(proc::SUBTASK_VARIABLE, &one.marker).await;
        // Their receivers may have been dropped; that is no fault.
        let _ = one.exit.send(Exit::Unknown);
    }
}

fn hand_over(report: Report, waiting: &Mutex<Table>) {
    let mut table = waiting.lock();
    let Some(table) = &mut *table else { return };
    match report {
        Report::Spawned { id } => {
            if let Some(started) = table.get_mut(&id).and_then(|one| one.started.take()) {
                let _ = started.send(Ok(()));
            }
        }
        Report::Failed { id, message } => {
            if let Some(started) = table.remove(&id).and_then(|one| one.started) {
                let _ = started.send(Err(SpawnError::Refused(message)));
            }
        }
        Report::Exited { id, code, signal } => {
            if let Some(one) = table.remove(&id) {
                let exit = match (code, signal) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Unknown,
                };
                let _ = one.exit.send(exit);
            }
        }
    }
}
