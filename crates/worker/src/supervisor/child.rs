//! The supervisor process: starts the tools of one worker, and ends them when the worker is gone.
//!
//! It is a subreaper: whatever a tool starts and leaves behind becomes this process's child, so that nothing can slip away by
//! forking twice, by moving to another session or by clearing its environment. One thread does everything; a second one only
//! waits until some child has ended.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use super::proc;
use super::protocol::{self, Received, Receiver, Report, Request, Spawn};
use crate::clock;

/// How long tools have between SIGTERM and SIGKILL when the worker is gone.
const GRACE: Duration = Duration::from_secs(2);
/// How long what a tool leaves behind when it ends has between SIGTERM and SIGKILL.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);
/// How often to look while something is being ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long to insist with SIGKILL at the end: a process stuck in the kernel cannot be ended by anyone.
const INSIST: Duration = Duration::from_secs(10);

/// Runs the supervisor until the worker's end of the socket on stdin is closed and everything it started is over.
///
/// Called by the binary when its first argument is [`protocol::SUBCOMMAND`], before anything else is set up.
pub fn supervise_main() -> ExitCode {
    match supervise() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The worker's stderr; there is no logging in this process.
            eprintln!(
                "regatta {}: {error}; this command is started by `regatta worker` itself, not by hand",
                protocol::SUBCOMMAND
            );
            ExitCode::from(2)
        }
    }
}

fn supervise() -> std::io::Result<()> {
    let stdin = std::io::stdin();
    // Fails for anything but a socket, such as a terminal.
    rustix::net::sockopt::socket_type(&stdin)?;
    rustix::io::ioctl_fionbio(&stdin, true)?;
    outlive_signals()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let (wake, waker) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    let mut keeper =
        Keeper { tools: BTreeMap::new(), out: Vec::new(), waiter: waiter(waker)?, waiter_waits: false, strays: false };
    let mut receiver = Receiver::default();
    loop {
        keeper.wait(&stdin, &wake)?;
        keeper.reap(&wake);
        loop {
            match receiver.receive(&stdin) {
                Ok(Received::Frame(request, fds)) => keeper.handle(request, fds),
                Ok(Received::NotYet) => break,
                Ok(Received::Closed) => {
                    keeper.end_everything();
                    return Ok(());
                }
                Err(error) => {
                    keeper.end_everything();
                    return Err(error);
                }
            }
        }
        keeper.tick();
        keeper.flush(&stdin);
    }
}

/// SIGINT, SIGTERM and SIGHUP are for the worker, which drains; this process ends when the worker does.
/// (Ignoring them would be inherited by the tools; a handler is not.)
fn outlive_signals() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // The handler stays for the life of the process.
        drop(signal(kind)?);
    }
    Ok(())
}

/// A thread that, each time it is asked, waits until a child has ended (without collecting it) or there is none, and writes a byte.
fn waiter(mut waker: UnixStream) -> std::io::Result<mpsc::Sender<()>> {
    let (ask, asked) = mpsc::channel::<()>();
    std::thread::Builder::new().name("waiter".into()).stack_size(64 << 10).spawn(move || {
        while asked.recv().is_ok() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = rustix::process::waitid(WaitId::All, options) {}
            if waker.write_all(&[1]).is_err() {
                return;
            }
        }
    })?;
    Ok(ask)
}

/// One program that was asked for, until it and all it started are over.
struct Tool {
    /// Also the number of its process group; it is not given to another group while this one has members.
    leader: Pid,
    marker: String,
    /// How the leader ended; what it left behind may still run.
    ended: Option<WaitStatus>,
    /// When SIGKILL is due.
    kill_at: Option<Instant>,
    /// When the lease is over, by [`clock::boot_ms`].
    deadline_ms: Option<u64>,
}

struct Keeper {
    tools: BTreeMap<u64, Tool>,
    /// Frames the socket did not take yet. The worker may be stopped; deadlines must be kept all the same.
    out: Vec<u8>,
    waiter: mpsc::Sender<()>,
    waiter_waits: bool,
    /// Whether processes of nobody were there at the last look.
    strays: bool,
}

impl Keeper {
    /// Waits for a frame, an ended child, or the next thing that is due.
    fn wait(&self, socket: impl AsFd, wake: &UnixStream) -> std::io::Result<()> {
        let mut interest = PollFlags::IN;
        if !self.out.is_empty() {
            interest |= PollFlags::OUT;
        }
        let timeout =
            self.next_due().map(|due| Timespec { tv_sec: due.as_secs() as i64, tv_nsec: due.subsec_nanos().into() });
        match rustix::event::poll(
            &mut [PollFd::new(&socket, interest), PollFd::new(wake, PollFlags::IN)],
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn next_due(&self) -> Option<Duration> {
        if self.strays {
            return Some(LOOK_AGAIN);
        }
        let now = Instant::now();
        let now_ms = clock::boot_ms();
        self.tools
            .values()
            .filter_map(|tool| {
                if tool.ended.is_some() {
                    return Some(LOOK_AGAIN);
                }
                let kill = tool.kill_at.map(|at| at.saturating_duration_since(now));
                let deadline = tool.deadline_ms.map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
                kill.into_iter().chain(deadline).min()
            })
            .min()
    }

    fn handle(&mut self, request: Request, fds: Vec<OwnedFd>) {
        match request {
            Request::Spawn(spawn) => self.spawn(spawn, fds),
            Request::Stop { id, grace_ms } => {
                if let Some(tool) = self.tools.get_mut(&id) {
                    let at = Instant::now() + Duration::from_millis(grace_ms);
                    tool.kill_at = Some(tool.kill_at.map_or(at, |before| before.min(at)));
                    self.signal(id, Signal::TERM);
                }
            }
            Request::Deadline { marker, at_ms } => {
                for tool in self.tools.values_mut().filter(|tool| tool.marker == marker) {
                    tool.deadline_ms = Some(at_ms);
                }
            }
        }
    }

    fn spawn(&mut self, spawn: Spawn, fds: Vec<OwnedFd>) {
        let id = spawn.id;
        match start(&spawn, fds) {
            Ok(leader) => {
                self.tools.insert(
                    id,
                    Tool { leader, marker: spawn.marker, ended: None, kill_at: None, deadline_ms: spawn.deadline_ms },
                );
                self.say(&Report::Spawned { id });
                self.ask_waiter();
            }
            Err(error) => self.say(&Report::Failed { id, message: error.to_string() }),
        }
    }

    fn ask_waiter(&mut self) {
        if !self.waiter_waits {
            self.waiter_waits = self.waiter.send(()).is_ok();
        }
    }

    /// Collects every child that has ended: tools, and what they left behind.
    fn reap(&mut self, mut wake: &UnixStream) {
        let mut woken = [0; 16];
        match wake.read(&mut woken) {
            Ok(count) if count > 0 => self.waiter_waits = false,
            _ => return,
        }
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let ended = self.tools.iter_mut().find(|(_, tool)| tool.leader == pid && tool.ended.is_none());
                    if let Some((&id, tool)) = ended {
                        tool.ended = Some(status);
                        self.end_leftovers(id);
                    }
                }
                // Children are left, none has ended.
                Ok(None) => {
                    self.ask_waiter();
                    return;
                }
                Err(Errno::INTR) => {}
                // No children are left.
                Err(_) => return,
            }
        }
    }

    /// A tool has ended: so must what it started. A stop under way keeps its time.
    fn end_leftovers(&mut self, id: u64) {
        if !self.is_over(id) {
            if let Some(tool) = self.tools.get_mut(&id)
                && tool.kill_at.is_none()
            {
                tool.kill_at = Some(Instant::now() + LEFTOVER_GRACE);
            }
            self.signal(id, Signal::TERM);
        }
    }

    /// Children of this process that are no tool: what tools left behind.
    fn adopted(&self) -> Vec<Pid> {
        let running = self.tools.values().filter(|tool| tool.ended.is_none());
        let leaders: HashSet<Pid> = running.map(|tool| tool.leader).collect();
        let mut pids = proc::children(rustix::process::getpid());
        pids.retain(|pid| !leaders.contains(pid) && proc::is_alive(*pid));
        pids
    }

    fn adopted_of(&self, tool: &Tool) -> Vec<Pid> {
        let entry = proc::entry(proc::SUBTASK_VARIABLE, &tool.marker);
        let mut pids = self.adopted();
        pids.retain(|pid| proc::carries(*pid, &entry));
        pids
    }

    /// Whether the tool has ended and nothing of it is left.
    fn is_over(&self, id: u64) -> bool {
        self.tools.get(&id).is_some_and(|tool| {
            tool.ended.is_some()
                && rustix::process::test_kill_process_group(tool.leader).is_err()
                && self.adopted_of(tool).is_empty()
        })
    }

    /// Signals all that belongs to a tool: its group, its descendants in whatever session, and what it left behind.
    fn signal(&self, id: u64, signal: Signal) {
        let Some(tool) = self.tools.get(&id) else {
            return;
        };
        let mut roots = self.adopted_of(tool);
        if tool.ended.is_none() {
            roots.push(tool.leader);
        }
        let mut pids = proc::descendants(&roots);
        pids.append(&mut roots);
        // Errors mean that it is over already.
        let _ = rustix::process::kill_process_group(tool.leader, signal);
        for pid in pids {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Does what is due: SIGKILL after the grace or past the lease, and the report of what is over.
    fn tick(&mut self) {
        let now = Instant::now();
        let now_ms = clock::boot_ms();
        for id in self.tools.keys().copied().collect::<Vec<_>>() {
            if self.is_over(id) {
                if let Some(tool) = self.tools.remove(&id)
                    && let Some(status) = tool.ended
                {
                    self.say(&Report::Exited { id, code: status.exit_status(), signal: status.terminating_signal() });
                }
                continue;
            }
            let Some(tool) = self.tools.get_mut(&id) else {
                continue;
            };
            let past_lease = tool.deadline_ms.is_some_and(|at| at <= now_ms);
            if past_lease || tool.kill_at.is_some_and(|at| at <= now) {
                // Until it is over; what forks while it is signalled is met the next time.
                tool.kill_at = Some(now + LOOK_AGAIN);
                tool.deadline_ms = None;
                self.signal(id, Signal::KILL);
            }
        }
        // Nobody's: a process that cleared its environment, and whose tool is over.
        self.strays = false;
        if self.tools.is_empty() {
            let mut strays = self.adopted();
            self.strays = !strays.is_empty();
            strays.append(&mut proc_descendants_unless_empty(&strays));
            for pid in strays {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }

    fn say(&mut self, report: &Report) {
        // A report always fits a frame.
        if let Ok(frame) = protocol::encode(report) {
            self.out.extend_from_slice(&frame);
        }
    }

    fn flush(&mut self, socket: impl AsFd) {
        while !self.out.is_empty() {
            match rustix::io::write(&socket, &self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(Errno::INTR) => {}
                // Full: later. Gone: the next read says so.
                Err(_) => return,
            }
        }
    }

    /// The worker is gone: ends every descendant, politely as long as the leases allow, then for good.
    fn end_everything(&mut self) {
        let own = rustix::process::getpid();
        let now_ms = clock::boot_ms();
        let grace = self
            .tools
            .values()
            .filter_map(|tool| tool.deadline_ms)
            .map(|at| Duration::from_millis(at.saturating_sub(now_ms)))
            .min()
            .map_or(GRACE, |lease| lease.min(GRACE));
        let started = Instant::now();
        let mut signal = Signal::TERM;
        let mut signalled = false;
        loop {
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
            let left = proc::descendants(&[own]);
            if left.is_empty() || started.elapsed() > grace + INSIST {
                return;
            }
            if signal == Signal::TERM && started.elapsed() >= grace {
                signal = Signal::KILL;
                signalled = false;
            }
            // SIGTERM once; SIGKILL again and again, for what was forked in between.
            if !signalled || signal == Signal::KILL {
                for pid in left {
                    let _ = rustix::process::kill_process(pid, signal);
                }
                signalled = true;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Looking through all processes is not free; most of the time there is nothing to look for.
fn proc_descendants_unless_empty(roots: &[Pid]) -> Vec<Pid> {
    if roots.is_empty() {
        return Vec::new();
    }
    proc::descendants(roots)
}

fn start(spawn: &Spawn, fds: Vec<OwnedFd>) -> std::io::Result<Pid> {
    let [stdin, stdout, stderr] =
        <[OwnedFd; 3]>::try_from(fds).map_err(|_| std::io::Error::other("the pipes of the program did not arrive"))?;
    let mut command = Command::new(&spawn.program);
    let mut argv = spawn.argv.iter();
    if let Some(name) = argv.next() {
        command.arg0(name);
    }
    command
        .args(argv)
        .env_clear()
        .envs(spawn.env.iter().map(|(name, value)| (name, value)))
        .env(proc::SUBTASK_VARIABLE, &spawn.marker)
        .process_group(0)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr));
    if let Some(directory) = &spawn.cwd {
        command.current_dir(directory);
    }
    // Not waited for by its handle: `reap` collects every child.
    command.spawn().map(|child| Pid::from_child(&child))
}
