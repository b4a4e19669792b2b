//! The workers of `up`: real child processes of this binary, started again with backoff when they end, and gone when we are.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regatta_client::Backoff;
use regatta_model::token::Secret;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A worker that ran for so long starts again without delay.
const STEADY: Duration = Duration::from_secs(60);

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// The arguments after `regatta`.
    pub arguments: Vec<OsString>,
    /// The token to show the server; it goes by the environment, which others of this machine do not see.
    pub token: Option<Secret>,
}

/// What the fleet tells of itself.
#[derive(Debug)]
pub enum News {
    /// A worker printed a line.
    Line { worker: String, text: String },
    /// A worker that had ended runs again, as this process.
    Again { worker: String, pid: u32 },
    /// A worker ended, and starts again after this pause.
    Ended { worker: String, how: String, pause: Duration },
}

/// The workers; dropping it ends them: their standard input ends.
pub struct Fleet {
    keepers: JoinSet<()>,
    phase: watch::Sender<Phase>,
    pids: Pids,
}

/// Names and processes, as far as they run.
type Pids = Arc<Mutex<Vec<(String, Option<u32>)>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Run,
    Drain,
    Kill,
}

impl Fleet {
    /// Starts workers and keeps them running.
    pub fn start(binary: PathBuf, plans: Vec<Plan>) -> (Self, mpsc::Receiver<News>) {
        let (news, receiver) = mpsc::channel(256);
        let (phase, phases) = watch::channel(Phase::Run);
        let pids = Arc::new(Mutex::new(plans.iter().map(|plan| (plan.name.clone(), None)).collect()));
        let mut keepers = JoinSet::new();
        for (index, plan) in plans.into_iter().enumerate() {
            let keeper = Keeper {
                index,
                plan,
                binary: binary.clone(),
                news: news.clone(),
                phase: phases.clone(),
                pids: Arc::clone(&pids),
            };
            keepers.spawn(keeper.keep());
        }
        (Self { keepers, phase, pids }, receiver)
    }

    /// The processes that run now.
    pub fn processes(&self) -> Vec<(String, u32)> {
        self.pids.lock().iter().filter_map(|(name, pid)| Some((name.clone(), (*pid)?))).collect()
    }

    /// Tells all to drain; they leave when what they run is over.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Drain);
    }

    /// Ends all at once; what they run is ended by their supervisors.
    pub fn kill(&self) {
        self.phase.send_replace(Phase::Kill);
    }

    /// Waits until all have left.
    pub async fn left(&mut self) {
        while self.keepers.join_next().await.is_some() {}
    }
}

struct Keeper {
    index: usize,
    plan: Plan,
    binary: PathBuf,
    news: mpsc::Sender<News>,
    phase: watch::Receiver<Phase>,
    pids: Pids,
}

impl Keeper {
    async fn keep(mut self) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut again = false;
        loop {
            let started = Instant::now();
            let how = match self.spawn() {
                Ok(child) => {
                    if let Some(pid) = child.id().filter(|_| again) {
                        self.tell(News::Again { worker: self.plan.name.clone(), pid }).await;
                    }
                    self.watch(child).await
                }
                Err(error) => format!("could not be started: {error}"),
            };
            if *self.phase.borrow() != Phase::Run {
                return;
            }
            if started.elapsed() > STEADY {
                backoff.reset();
            }
            again = true;
            let pause = backoff.pause();
            self.tell(News::Ended { worker: self.plan.name.clone(), how, pause }).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // An error means that the fleet was dropped.
                _ = self.phase.wait_for(|phase| *phase != Phase::Run) => return,
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.binary);
        if let Some(token) = &self.plan.token {
            command.env("REGATTA_TOKEN", token.expose());
        }
        command
            .args(&self.plan.arguments)
            // Held open while we live: its end tells the worker that we are gone, however we went.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal is for us; the workers are told by us.
            .process_group(0)
            .spawn()
    }

    /// Passes on what it prints until it ends; answers how it ended.
    async fn watch(&mut self, mut child: Child) -> String {
        let _stdin = child.stdin.take();
        let pid = child.id();
        self.note(pid);
        let mut readers = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(read(self.plan.name.clone(), stdout, self.news.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(read(self.plan.name.clone(), stderr, self.news.clone()));
        }
        let mut told = Phase::Run;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                changed = self.phase.wait_for(|phase| *phase > told), if told != Phase::Kill => {
                    told = changed.map_or(Phase::Kill, |phase| *phase);
                    let signal = if told == Phase::Kill { Signal::KILL } else { Signal::TERM };
                    if let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                        // It may have ended in this moment; it was not waited for, so the id is still its own.
                        let _ = kill_process(pid, signal);
                    }
                }
            }
        };
        self.note(None);
        // What it printed last; a grandchild that kept the pipe must not keep us.
        let _ =
            tokio::time::timeout(Duration::from_secs(1), async { while readers.join_next().await.is_some() {} }).await;
        match status {
            Ok(status) => format!("ended ({status})"),
            Err(error) => format!("was lost: {error}"),
        }
    }

    fn note(&self, pid: Option<u32>) {
        if let Some(entry) = self.pids.lock().get_mut(self.index) {
            entry.1 = pid;
        }
    }

    async fn tell(&self, news: News) {
        // Nobody may be listening any more.
        let _ = self.news.send(news).await;
    }
}

/// Passes on lines; a line that is no UTF-8 is passed on as far as it is.
async fn read(worker: String, from: impl AsyncRead + Unpin, to: mpsc::Sender<News>) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while let Ok(1..) = lines.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        // While nobody listens the worker must not be held up either.
        let _ = to.send(News::Line { worker: worker.clone(), text }).await;
    }
}
