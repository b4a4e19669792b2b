//! The thread that leads a run: it spawns and stops users, merges what the threads measured, and says how it goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use rustls::ClientConfig;

use super::meter::{Interval, Meter};
use super::schedule::Schedule;
use super::shard::{self, Command, Names, Report, Start};
use super::user::Leash;
use super::{Error, Options};
use crate::scenario::Plan;
use crate::scenario::plan::RequestName;
use crate::threshold::Verdict;
use crate::totals::Totals;

/// So often users are spawned.
const STEP: Duration = Duration::from_millis(20);
/// After the users had to stop they get so long to clean up; then they are dropped.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// What the controller hears.
#[derive(Debug)]
pub(super) enum Message {
    Report(Box<Report>),
    /// A thread has ended without a last report.
    Lost(String),
    AddUsers(i64),
    /// So many, at so many a second.
    Aim(u64, f64),
    /// To end so long after its beginning.
    RunTime(Option<Duration>),
    /// So many of each class.
    SetUsers(Vec<u64>),
    Stop(&'static str),
    ResetStats,
}

/// Steers a run from other threads.
#[derive(Debug, Clone)]
pub struct Handle(Sender<Message>);

impl Handle {
    pub(super) const fn new(sender: Sender<Message>) -> Self {
        Self(sender)
    }

    /// More users, or fewer. In the closed model.
    pub fn add_users(&self, difference: i64) {
        let _ = self.0.send(Message::AddUsers(difference));
    }

    /// Goes for this number of users, so many a second. In the closed model.
    pub fn aim(&self, users: u64, spawn_rate: f64) {
        let _ = self.0.send(Message::Aim(users, spawn_rate));
    }

    /// Has the run end so long after its beginning, or not by itself.
    pub fn set_run_time(&self, run_time: Option<Duration>) {
        let _ = self.0.send(Message::RunTime(run_time));
    }

    /// So many users of each class, in the order of the plan's classes, at once. For a run that is led.
    pub fn set_users(&self, counts: Vec<u64>) {
        let _ = self.0.send(Message::SetUsers(counts));
    }

    /// Stops the run: the first time users may finish within the stop timeout, the second time they may only clean
    /// up, the third time not even that.
    pub fn stop(&self) {
        self.stop_as("interrupted");
    }

    /// The same with what the log says of it.
    pub fn stop_as(&self, why: &'static str) {
        let _ = self.0.send(Message::Stop(why));
    }

    /// Forgets what was measured so far.
    pub fn reset_stats(&self) {
        let _ = self.0.send(Message::ResetStats);
    }
}

/// Something that is worth a line in a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Users begin to come.
    Spawning {
        /// So many.
        users: u64,
        /// So many a second.
        rate: f64,
    },
    /// All users are there, by class.
    Spawned(Vec<(String, u64)>),
    /// What was measured so far does not count.
    Reset,
    /// The run ends, and why.
    Stopping(String),
}

/// Who looks on.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, _event: &Event, _totals: &Totals) {}
    /// Another second was merged.
    fn second(&mut self, _totals: &Totals) {}
    /// What was measured in it, by request; comes before [`Observer::second`]. The second is of the run.
    fn measured(&mut self, _second: u64, _requests: &[(usize, RequestName, Interval)], _totals: &Totals) {}
}

/// A run that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured.
    pub totals: Totals,
    /// How the thresholds stand.
    pub verdicts: Vec<Verdict>,
    /// Whether somebody stopped it before its time.
    pub interrupted: bool,
    /// Whether a threshold stopped it.
    pub aborted: bool,
    /// Why the result is not valid: the generator was the bottleneck. Empty when it is.
    pub invalid: Vec<String>,
}

/// A run under way.
pub(super) struct Controller {
    plan: Arc<Plan>,
    options: Options,
    names: Arc<Names>,
    commands: Vec<UnboundedSender<Command>>,
    threads: Vec<JoinHandle<()>>,
    messages: (Sender<Message>, Receiver<Message>),
    begin: Instant,
    end: Option<Instant>,
    totals: Totals,
    schedule: Schedule,
    /// Users of the closed model: class and number, in the order in which they came.
    users: Vec<(usize, u64)>,
    numbered: u64,
    target: u64,
    /// When the way to the target began, and from how many.
    ramp: Option<(Instant, u64)>,
    /// Reports of seconds that not all threads have reported yet.
    pending: BTreeMap<u64, Vec<Report>>,
    /// Each thread's last second reported, and whether that was its last.
    heard: Vec<(Option<u64>, bool)>,
    merged: u64,
    epoch: u64,
    measured_from: Instant,
    measured_to: Option<Instant>,
    counts: Vec<Vec<u64>>,
    cpu: Vec<(f64, u64)>,
    stopping: Option<(Leash, Instant)>,
    interrupted: bool,
    aborted: bool,
    lost: Option<String>,
}

impl Controller {
    /// Starts the threads.
    pub fn start(
        plan: Arc<Plan>,
        options: Options,
        addresses: Arc<[SocketAddr]>,
        tls: Option<Arc<ClientConfig>>,
        messages: (Sender<Message>, Receiver<Message>),
    ) -> Result<Self, Error> {
        let names = Arc::new(Names::new(&plan.names));
        let begin = Instant::now();
        let (mut commands, mut threads) = (Vec::new(), Vec::new());
        for index in 0..options.threads {
            let (sender, receiver) = unbounded_channel();
            let most = usize::try_from(options.users).unwrap_or(usize::MAX).div_ceil(options.threads);
            let start = Start {
                index,
                threads: options.threads,
                plan: Arc::clone(&plan),
                addresses: Arc::clone(&addresses),
                names: Arc::clone(&names),
                begin,
                commands: receiver,
                reports: messages.0.clone(),
                tls: tls.clone(),
                http2: options.http2,
                arrivals: options.arrivals.clone().map(|profile| (profile, most)),
            };
            let lost = messages.0.clone();
            let thread = std::thread::Builder::new().name(format!("load-{index}")).spawn(move || {
                if let Err(error) = shard::run(start) {
                    let _ = lost.send(Message::Lost(error.to_string()));
                }
            })?;
            commands.push(sender);
            threads.push(thread);
        }
        let classes: Vec<String> = plan.classes.iter().map(|class| class.name.clone()).collect();
        Ok(Self {
            totals: Totals::new(&plan.names, &classes),
            schedule: Schedule::new(plan.classes.iter().map(|class| class.weight)),
            names,
            commands,
            messages,
            begin,
            end: None,
            users: Vec::new(),
            numbered: 0,
            target: 0,
            ramp: None,
            pending: BTreeMap::new(),
            heard: vec![(None, false); options.threads],
            merged: 0,
            epoch: 0,
            measured_from: begin,
            measured_to: None,
            counts: vec![vec![0; classes.len()]; options.threads],
            cpu: vec![(0.0, 0); options.threads],
            threads,
            plan,
            options,
            stopping: None,
            interrupted: false,
            aborted: false,
            lost: None,
        })
    }

    /// Leads the run to its end.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        if self.options.arrivals.is_none() && !self.options.led {
            self.aim(self.options.users, observer);
        }
        let length = match &self.options.arrivals {
            Some(profile) => self.options.run_time.or_else(|| profile.length()),
            None => self.options.run_time,
        };
        self.end = length.map(|length| self.begin + length);
        let mut warming = !self.options.warm_up.is_zero();
        while !self.heard.iter().all(|(_, last)| *last) {
            match self.messages.1.recv_timeout(STEP) {
                Ok(message) => self.hear(message, observer),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            while let Ok(message) = self.messages.1.try_recv() {
                self.hear(message, observer);
            }
            if warming && self.begin.elapsed() >= self.options.warm_up {
                warming = false;
                self.reset(observer);
            }
            self.ramp(observer);
            if self.stopping.is_none() && self.end.is_some_and(|end| Instant::now() >= end) {
                self.stop("--run-time limit reached", observer);
            }
            self.pull();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.lost.get_or_insert_with(|| "a thread of the load engine has panicked".to_owned());
            }
        }
        if let Some(lost) = self.lost {
            return Err(Error::System(std::io::Error::other(lost)));
        }
        let verdicts = self.verdicts();
        let totals = self.totals;
        let slow = totals.all.response.quantile(0.99);
        let invalid = totals.health.complaints(slow, totals.iterations, totals.dropped);
        Ok(Outcome { verdicts, invalid, totals, interrupted: self.interrupted, aborted: self.aborted })
    }

    fn hear(&mut self, message: Message, observer: &mut dyn Observer) {
        match message {
            Message::Report(report) => {
                self.heard[report.shard] = (Some(report.second), report.last);
                self.pending.entry(report.second).or_default().push(*report);
                self.merge(observer);
            }
            Message::Lost(why) => {
                self.lost = Some(why);
                self.heard.iter_mut().for_each(|(_, last)| *last = true);
            }
            Message::AddUsers(difference) => {
                if self.options.arrivals.is_none() && self.stopping.is_none() {
                    self.aim(self.target.saturating_add_signed(difference), observer);
                }
            }
            Message::Aim(users, rate) => {
                if self.options.arrivals.is_none() && self.stopping.is_none() {
                    self.options.spawn_rate = rate;
                    self.aim(users, observer);
                }
            }
            Message::RunTime(length) => self.end = length.map(|length| self.begin + length),
            Message::SetUsers(counts) => {
                if self.stopping.is_none() {
                    self.set_users(&counts, observer);
                }
            }
            Message::Stop(why) => match self.stopping {
                None => {
                    self.interrupted = true;
                    self.stop(why, observer);
                }
                Some((leash, _)) => {
                    let shorter = if leash < Leash::Now { Leash::Now } else { Leash::Gone };
                    self.pull_to(shorter);
                }
            },
            Message::ResetStats => self.reset(observer),
        }
    }

    /// Goes for another number of users.
    fn aim(&mut self, target: u64, observer: &mut dyn Observer) {
        self.target = target;
        self.ramp = Some((Instant::now(), self.users.len() as u64));
        observer.event(&Event::Spawning { users: target, rate: self.options.spawn_rate }, &self.totals);
        self.ramp(observer);
    }

    /// Spawns or releases as many as are due by now.
    fn ramp(&mut self, observer: &mut dyn Observer) {
        let Some((since, from)) = self.ramp else { return };
        if self.stopping.is_some() {
            self.ramp = None;
            return;
        }
        // The first comes at once.
        let due = (since.elapsed().as_secs_f64() * self.options.spawn_rate) as u64 + 1;
        let mut batches: Vec<Vec<(usize, u64)>> = vec![Vec::new(); self.options.threads];
        let aim = if self.target >= from {
            from.saturating_add(due).min(self.target)
        } else {
            from.saturating_sub(due).max(self.target)
        };
        while (self.users.len() as u64) < aim {
            let class = self.schedule.next();
            self.spawn(class, &mut batches);
        }
        self.send(batches);
        while self.users.len() as u64 > aim {
            let Some((_, number)) = self.users.pop() else { break };
            self.release(number);
        }
        if self.users.len() as u64 == self.target {
            self.ramp = None;
            observer.event(&Event::Spawned(self.spawned()), &self.totals);
            if self.options.reset_stats {
                self.reset(observer);
            }
        }
    }

    /// Spawns and releases until there are so many of each class.
    fn set_users(&mut self, counts: &[u64], observer: &mut dyn Observer) {
        let mut batches: Vec<Vec<(usize, u64)>> = vec![Vec::new(); self.options.threads];
        for (class, &wanted) in counts.iter().enumerate().take(self.plan.classes.len()) {
            let mut there = self.users.iter().filter(|(of, _)| *of == class).count() as u64;
            while there < wanted {
                self.spawn(class, &mut batches);
                there += 1;
            }
            while there > wanted {
                let Some(last) = self.users.iter().rposition(|(of, _)| *of == class) else { break };
                let (_, number) = self.users.remove(last);
                self.release(number);
                there -= 1;
            }
        }
        self.send(batches);
        (self.target, self.ramp) = (self.users.len() as u64, None);
        observer.event(&Event::Spawned(self.spawned()), &self.totals);
    }

    fn spawn(&mut self, class: usize, batches: &mut [Vec<(usize, u64)>]) {
        self.numbered += 1;
        self.users.push((class, self.numbered));
        batches[self.thread_of(self.numbered)].push((class, self.numbered));
    }

    fn send(&self, batches: Vec<Vec<(usize, u64)>>) {
        for (thread, batch) in batches.into_iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
            let _ = self.commands[thread].send(Command::Spawn(batch));
        }
    }

    fn release(&self, number: u64) {
        let _ = self.commands[self.thread_of(number)].send(Command::Release(vec![number]));
    }

    /// How many users of each class there are, or will be as soon as the threads have heard of them.
    fn spawned(&self) -> Vec<(String, u64)> {
        let mut counts = vec![0; self.plan.classes.len()];
        self.users.iter().for_each(|(class, _)| counts[*class] += 1);
        self.plan.classes.iter().map(|class| class.name.clone()).zip(counts).collect()
    }

    fn thread_of(&self, number: u64) -> usize {
        // A remainder of a usize fits a usize.
        (number % self.options.threads as u64) as usize
    }

    fn reset(&mut self, observer: &mut dyn Observer) {
        self.epoch += 1;
        self.commands.iter().for_each(|thread| drop(thread.send(Command::Reset(self.epoch))));
        let second = self.begin.elapsed().as_secs();
        self.totals.reset(second);
        self.cpu.fill((0.0, 0));
        self.measured_from = Instant::now();
        observer.event(&Event::Reset, &self.totals);
    }

    fn stop(&mut self, why: &str, observer: &mut dyn Observer) {
        self.measured_to = Some(Instant::now());
        observer.event(&Event::Stopping(why.to_owned()), &self.totals);
        let leash = if self.options.stop_timeout.is_zero() { Leash::Now } else { Leash::AfterTask };
        self.pull_to(leash);
    }

    /// Shortens everybody's leash when the time for the longer one is over.
    fn pull(&mut self) {
        match self.stopping {
            Some((Leash::AfterTask, since)) if since.elapsed() >= self.options.stop_timeout => self.pull_to(Leash::Now),
            Some((Leash::Now, since)) if since.elapsed() >= CLEAN_UP => self.pull_to(Leash::Gone),
            _ => {}
        }
    }

    fn pull_to(&mut self, leash: Leash) {
        self.stopping = Some((leash, Instant::now()));
        self.commands.iter().for_each(|thread| drop(thread.send(Command::StopAll(leash))));
    }

    /// Merges every second that all threads have reported.
    fn merge(&mut self, observer: &mut dyn Observer) {
        loop {
            let second = self.merged;
            if !self.heard.iter().all(|(heard, last)| *last || heard.is_some_and(|heard| heard >= second)) {
                return;
            }
            let Some(reports) = self.pending.remove(&second) else { return };
            self.merged += 1;
            let reports: Vec<Report> = reports
                .into_iter()
                .filter(|report| {
                    self.counts[report.shard].clone_from(&report.users);
                    report.epoch == self.epoch
                })
                .collect();
            self.add(second, reports, observer);
            observer.second(&self.totals);
            self.judge(observer);
        }
    }

    fn add(&mut self, second: u64, reports: Vec<Report>, observer: &mut dyn Observer) {
        let mut merged: BTreeMap<usize, Interval> = BTreeMap::new();
        for (index, (_, count)) in self.totals.users.iter_mut().enumerate() {
            *count = self.counts.iter().map(|counts| counts[index]).sum();
        }
        for Report { shard, meter, cpu, last, .. } in reports {
            // The last piece is shorter than a second and busy with stopping.
            if !last {
                self.cpu[shard].0 += cpu;
                self.cpu[shard].1 += 1;
            }
            let Meter { intervals, iterations, dropped, exceptions, lag, lateness } = meter;
            for (id, interval) in intervals.into_iter().enumerate().filter(|(_, interval)| interval.requests > 0) {
                merged.entry(id).or_default().merge(&interval);
            }
            self.totals.iterations += iterations;
            self.totals.dropped += dropped;
            self.totals.health.lag.merge(&lag);
            self.totals.health.lateness.merge(&lateness);
            for (key, count) in exceptions {
                *self.totals.exceptions.entry(key).or_default() += count;
            }
        }
        self.totals.health.cpu =
            self.cpu.iter().map(|(sum, count)| if *count > 0 { sum / *count as f64 } else { 0.0 }).collect();
        let until = self.measured_to.unwrap_or_else(Instant::now);
        let elapsed = until.saturating_duration_since(self.measured_from);
        self.totals.elapsed_micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let named = merged.into_iter().filter_map(|(id, interval)| Some((id, self.names.name(id)?, interval)));
        let named: Vec<_> = named.collect();
        observer.measured(second, &named, &self.totals);
        self.totals.add_second(second, named);
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.plan.thresholds.iter().chain(&self.options.thresholds).map(|it| it.judge(&self.totals)).collect()
    }

    /// Stops the run when a threshold wants that.
    fn judge(&mut self, observer: &mut dyn Observer) {
        if self.stopping.is_some() {
            return;
        }
        let ran = self.totals.seconds();
        let broken = self.plan.thresholds.iter().chain(&self.options.thresholds).find(|threshold| {
            let due = threshold.abort.is_some_and(|delay| ran >= delay.as_secs_f64());
            due && matches!(threshold.judge(&self.totals), Verdict { holds: false, value: Some(_), .. })
        });
        if let Some(broken) = broken {
            let why = format!("the threshold `{}` does not hold", broken.source);
            self.aborted = true;
            self.stop(&why, observer);
        }
    }
}
