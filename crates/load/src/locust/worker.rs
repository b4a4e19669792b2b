//! What a worker does, from joining its master to leaving it.
//!
//! One task leads it: it hears the master and the run, and says what there is to say. The run has threads of its own,
//! so that a busy engine never keeps a heartbeat from going out. A connection that breaks is made again while the run
//! goes on; what is measured meanwhile is told afterwards.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval};

use super::delta::Delta;
use super::hooks::{End, Error, Hooks, Level, Options};
use super::message::{Exception, Heard, Heartbeat, Job, Logs, Said, State, Users, decode};
use super::run::{News, Run};
use super::usage::Usage;
use super::zmtp::Dealer;

/// Locust's HEARTBEAT_INTERVAL.
const BEAT: Duration = Duration::from_secs(1);
/// Locust's WORKER_REPORT_INTERVAL.
const REPORT: Duration = Duration::from_secs(3);
/// A master that does not take us up is asked again after so many beats.
const AGAIN: u32 = 5;
/// And given up after so long: it may be started after its workers.
const JOIN: Duration = Duration::from_secs(300);
/// A master that was away and leaves so many beats unanswered is another one, which does not know us.
const UNKNOWN: u32 = 3;
/// Lines of the log that a master is told.
const LOG_LINES: usize = 500;
/// A clock that is closer than this is the same, in seconds: the way of a message is not told apart from it.
const SAME_CLOCK: f64 = 1.0;

/// What follows when the run under way has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    /// The master hears that we have stopped, and that we are ready for another.
    Ready,
    /// A master that does not know us is told only the latter.
    Join,
    /// We leave.
    Leave(Result<End, Error>),
}

/// A worker.
pub struct Worker {
    options: Options,
    hooks: Arc<dyn Hooks>,
    id: String,
    state: State,
    run: Option<Run>,
    then: Option<Then>,
    /// A job that came while the run before it was ending.
    waiting: Option<Job>,
    users: Users,
    delta: Arc<Mutex<Delta>>,
    news: UnboundedSender<News>,
    /// Classes that the master asks for and nobody here knows, told once a run.
    unknown: BTreeSet<String>,
    /// The timestamp of the newest job.
    newest: f64,
    /// What the master's clock is ahead of ours, in seconds.
    ahead: f64,
    /// What waits to be sent.
    out: VecDeque<Vec<u8>>,
    connected: bool,
    /// When the master was last heard; `None` before it took us up.
    heard: Option<Instant>,
    /// Beats since, and whether the connection is another than then.
    unanswered: u32,
    elsewhere: bool,
    began: Instant,
    trouble: String,
    log: VecDeque<String>,
    log_told: bool,
    usage: Usage,
    /// Runs that have ended and may still clean up.
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Worker {
    /// Works until the master says that it is over, or `stop` hears something: then users may finish what they do;
    /// heard once more, they may only clean up.
    ///
    /// # Errors
    /// When there is no master, or none any more.
    pub async fn work(options: Options, hooks: Arc<dyn Hooks>, mut stop: UnboundedReceiver<()>) -> Result<End, Error> {
        let (news, mut learned) = unbounded_channel();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut worker = Self {
            usage: Usage::new(options.threads),
            options,
            hooks,
            // A master spreads users over machines by what stands before the underscore.
            id: format!("{host}_{}", uuid::Uuid::now_v7().simple()),
            state: State::Ready,
            run: None,
            then: None,
            waiting: None,
            users: Users::default(),
            delta: Arc::default(),
            news,
            unknown: BTreeSet::new(),
            newest: 0.0,
            ahead: 0.0,
            out: VecDeque::new(),
            connected: false,
            heard: None,
            unanswered: 0,
            elsewhere: false,
            began: Instant::now(),
            trouble: String::new(),
            log: VecDeque::new(),
            log_told: true,
            threads: Vec::new(),
        };
        let mut link: Option<Dealer> = None;
        let mut beats = interval(BEAT);
        let mut reports = interval(REPORT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            worker.flush(&mut link).await;
            if worker.run.is_none()
                && let Some(Then::Leave(end)) = worker.then.take()
            {
                worker.leave(&mut link, &end).await;
                return end;
            }
            tokio::select! {
                message = receive(&mut link) => match message {
                    Ok(bytes) => worker.hear(&bytes, &mut link),
                    Err(error) => worker.lost(&mut link, &error),
                },
                Some(news) = learned.recv() => worker.learn(news),
                _ = beats.tick() => worker.beat(&mut link).await,
                _ = reports.tick() => worker.report(),
                Some(()) = stop.recv() => worker.end(Then::Leave(Ok(End::Interrupted))),
            }
        }
    }

    fn master(&self) -> String {
        format!("{}:{}", self.options.host, self.options.port)
    }

    fn say(&mut self, said: &Said<'_>) {
        self.out.push_back(said.encode(&self.id));
    }

    fn log(&mut self, level: Level, text: &str) {
        let line = self.hooks.log(level, text);
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
        self.log_told = false;
    }

    /// Logs, and shows it among the master's exceptions: who looks at its page sees it there.
    fn complain(&mut self, text: &str) {
        self.log(Level::Error, text);
        let exception = Exception { msg: text.to_owned(), traceback: format!("regatta load --worker: {text}") };
        self.say(&Said::Exception(&exception));
    }

    /// Sends what waits, as far as there is a connection.
    async fn flush(&mut self, link: &mut Option<Dealer>) {
        while let (Some(dealer), Some(message)) = (link.as_mut(), self.out.front()) {
            match dealer.send(message).await {
                Ok(()) => drop(self.out.pop_front()),
                Err(error) => self.lost(link, &error),
            }
        }
    }

    fn lost(&mut self, link: &mut Option<Dealer>, error: &std::io::Error) {
        *link = None;
        self.connected = false;
        self.trouble = error.to_string();
        let text = format!("The connection to the master at {} is lost: {error}", self.master());
        self.log(Level::Warning, &text);
    }

    /// Once a second: a sign of life, or another try to connect.
    async fn beat(&mut self, link: &mut Option<Dealer>) {
        if link.is_none() {
            match Dealer::connect(&self.options.host, self.options.port, &self.id).await {
                Ok(dealer) => {
                    *link = Some(dealer);
                    self.connected = true;
                    (self.unanswered, self.elsewhere) = (0, true);
                    if self.heard.is_none() {
                        self.say(&Said::Ready);
                    }
                }
                Err(error) => {
                    if self.trouble.is_empty() {
                        let text = format!("Waiting for a master at {}: {error}", self.master());
                        self.log(Level::Info, &text);
                    }
                    self.trouble = error.to_string();
                }
            }
        }
        let patience = self.options.patience;
        match self.heard {
            None if self.began.elapsed() >= JOIN => {
                let reason = self.trouble.clone();
                self.end(Then::Leave(Err(Error::Unreachable { master: self.master(), reason })));
            }
            None if self.connected => {
                self.unanswered += 1;
                if self.unanswered.is_multiple_of(AGAIN) {
                    self.trouble = "it does not take us up".to_owned();
                    self.say(&Said::Ready);
                }
            }
            None => {}
            Some(heard) if heard.elapsed() >= patience => {
                self.end(Then::Leave(Err(Error::Lost { master: self.master(), patience })));
            }
            Some(_) if self.connected => {
                self.unanswered += 1;
                let (current_cpu_usage, current_memory_usage) = self.usage.look();
                let beat = Heartbeat { state: self.state, current_cpu_usage, current_memory_usage };
                self.say(&Said::Heartbeat(&beat));
                if self.elsewhere && self.unanswered > UNKNOWN {
                    self.elsewhere = false;
                    self.log(Level::Warning, "The master does not know this worker any more: joining it anew");
                    self.newest = 0.0;
                    self.end(Then::Join);
                }
            }
            Some(_) => {}
        }
    }

    fn hear(&mut self, bytes: &[u8], link: &mut Option<Dealer>) {
        let heard = match decode(bytes) {
            Ok(heard) => heard,
            Err(error) => {
                self.log(Level::Warning, &format!("A message of the master is not understood: {error}"));
                return;
            }
        };
        match heard {
            Heard::Ack => {
                if self.heard.is_none() {
                    let text = format!("Joined the master at {} as {}", self.master(), self.id);
                    self.log(Level::Info, &text);
                }
                self.answered();
            }
            Heard::Heartbeat => self.answered(),
            Heard::Spawn(job) => self.spawn(job),
            Heard::Stop => {
                self.waiting = None;
                self.end(Then::Ready);
            }
            Heard::Quit => {
                self.log(Level::Info, "Got quit message from master, shutting down");
                // It waits half a second for our last report: nobody can finish anything.
                self.end(Then::Leave(Ok(End::Quit)));
                self.end(Then::Leave(Ok(End::Quit)));
            }
            Heard::Reconnect => {
                self.log(Level::Warning, "The master asks us to connect anew");
                *link = None;
                self.connected = false;
            }
            Heard::SpawningComplete => {}
            // Messages of a locustfile's own, to workers that run that file.
            Heard::Other(_) => {}
        }
    }

    fn answered(&mut self) {
        self.heard = Some(Instant::now());
        (self.unanswered, self.elsewhere) = (0, false);
    }

    /// So many users shall there be.
    fn spawn(&mut self, job: Job) {
        if job.timestamp <= self.newest {
            self.log(Level::Info, "Discarded a job that is older than the one before it");
            return;
        }
        self.newest = job.timestamp;
        match self.then {
            Some(Then::Leave(_)) => return,
            Some(_) => {
                self.waiting = Some(job);
                return;
            }
            None => {}
        }
        self.say(&Said::Spawning);
        self.state = State::Spawning;
        let ahead = job.timestamp - Timestamp::now().as_millisecond() as f64 / 1e3;
        self.ahead = if ahead.abs() > SAME_CLOCK { ahead } else { 0.0 };
        if self.run.is_none() {
            self.unknown.clear();
            match Run::start(&job, &self.options, &self.hooks, &self.delta, &self.news) {
                Ok(run) => self.run = Some(run),
                Err(why) => {
                    self.complain(&why);
                    self.spawned(Users::default());
                    return;
                }
            }
        }
        let Some(run) = &self.run else { return };
        run.set_users(&job.user_classes_count);
        let classes = run.classes().join(", ");
        let wanted = job.user_classes_count.iter().filter(|(_, count)| **count > 0).map(|(class, _)| class);
        let unknown: Vec<String> = wanted.filter(|class| !run.classes().contains(class)).cloned().collect();
        for class in unknown.into_iter().filter(|class| self.unknown.insert(class.clone())).collect::<Vec<_>>() {
            self.complain(&format!(
                "the user class `{class}` is not in this worker's scenario, so none of its users run here; it has {classes}"
            ));
        }
    }

    /// Users are there.
    fn spawned(&mut self, users: Users) {
        self.users = users;
        if self.then.is_none() {
            self.state = State::Running;
            self.out.push_back(Said::SpawningComplete(&self.users).encode(&self.id));
        }
    }

    fn learn(&mut self, news: News) {
        match news {
            News::Spawned(users) => self.spawned(users),
            News::Trouble(text) => self.log(Level::Warning, &text),
            News::Ended(ended) => {
                self.threads.extend(self.run.take().map(Run::into_thread));
                self.users = Users::default();
                match ended {
                    Ok(invalid) => {
                        for why in invalid {
                            let text = format!("The result is invalid, the generator was the bottleneck: {why}");
                            self.log(Level::Warning, &text);
                        }
                    }
                    Err(why) => self.complain(&why),
                }
                match self.then {
                    // What belongs to a run of the master before is nothing to this one.
                    Some(Then::Join) => *self.delta.lock() = Delta::default(),
                    _ => self.report(),
                }
                self.ended();
            }
        }
    }

    /// Ends the run, if there is one, and goes on with `then`.
    fn end(&mut self, then: Then) {
        if let Some(run) = &self.run {
            // Who leaves already leaves.
            if !matches!(self.then, Some(Then::Leave(_))) {
                self.then = Some(then);
            }
            run.stop();
            return;
        }
        self.then = Some(then);
        self.ended();
    }

    /// Nothing runs any more.
    fn ended(&mut self) {
        match self.then {
            Some(Then::Ready) => {
                self.say(&Said::Stopped);
                self.say(&Said::Ready);
            }
            Some(Then::Join) => {
                self.heard = None;
                self.began = Instant::now();
                self.say(&Said::Ready);
            }
            // Whoever leads us sees it.
            Some(Then::Leave(_)) => return,
            // It broke; the master has not stopped it yet.
            None => return,
        }
        self.then = None;
        self.state = State::Ready;
        if let Some(job) = self.waiting.take() {
            self.newest = 0.0;
            self.spawn(job);
        }
    }

    /// What was measured since the last time. While there is no connection it adds up.
    fn report(&mut self) {
        if !self.connected || self.heard.is_none() {
            return;
        }
        let (stats, exceptions) = self.delta.lock().take(self.users.clone(), self.ahead);
        exceptions.iter().for_each(|exception| self.say(&Said::Exception(exception)));
        self.say(&Said::Stats(&stats));
        if !self.log_told {
            self.log_told = true;
            let logs = Logs { worker_id: &self.id, logs: self.log.iter().map(String::as_str).collect() };
            self.out.push_back(Said::Logs(&logs).encode(&self.id));
        }
    }

    /// The last words.
    async fn leave(&mut self, link: &mut Option<Dealer>, end: &Result<End, Error>) {
        self.report();
        if *end == Ok(End::Interrupted) {
            self.say(&Said::Quit);
        }
        self.flush(link).await;
        if let Some(dealer) = link.take() {
            dealer.close().await;
        }
        for thread in self.threads.drain(..) {
            // What went wrong in it is told already.
            let _ = thread.join();
        }
    }
}

/// The next message; never without a connection.
async fn receive(link: &mut Option<Dealer>) -> std::io::Result<Vec<u8>> {
    match link {
        Some(dealer) => dealer.receive().await,
        None => std::future::pending().await,
    }
}
