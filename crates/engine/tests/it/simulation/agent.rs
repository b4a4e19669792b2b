//! Agents: they run what they are given, and go wrong in every way that agents do.
//!
//! An agent is a process with an identity and a journal that outlive it. It keeps the promise that the platform
//! builds on: what it cannot renew it ends before the lease does, by its own clock, also when it is stopped
//! (its supervisor does that), and after a standstill it takes no work from a line before it has resumed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regatta_engine::{HeartbeatRequest, LineEvent, LineHandle, LineMessage, RegisterRequest, ReportRequest};
use regatta_model::command::{Assignment, Reported, TakeOver};
use regatta_model::routing::Offer;
use regatta_model::worker::Profile;
use regatta_model::{Lease, WorkerId, WorkerStatus};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::store::output;
use super::{LEASE, Sim};

/// What agents can do.
pub const TOOLS: [&str; 2] = ["claude_code", "gemini_cli"];
/// A third of the lease, as the contract asks.
const BEAT: Duration = Duration::from_secs(LEASE as u64 / 3);
/// What runs without renewal is ended so long before its lease.
const MARGIN: Duration = Duration::from_secs(LEASE as u64 / 4);

pub struct Agent {
    sim: Arc<Sim>,
    profile: Profile,
    /// Results that were not acknowledged yet.
    journal: BTreeMap<Lease, ReportRequest>,
}

/// A process.
struct Process {
    /// When it ends by itself, and how; a hanging one never does.
    ends: Instant,
    works: bool,
    /// When its time is over.
    timeout: Instant,
    /// When its lease is too close to its end.
    deadline: Instant,
}

/// What comes in.
enum Message {
    Registered(WorkerId),
    Assigned(Assignment),
    Stop(Lease),
    Renewed(Vec<Lease>, Instant),
    Dropped(Vec<Lease>),
    Answered(Lease, Option<Reported>),
    Closed(u16),
}

/// A life of the agent's process.
struct Life<'a> {
    agent: &'a mut Agent,
    worker: Option<WorkerId>,
    running: Arc<Mutex<BTreeMap<Lease, Process>>>,
    inbox: mpsc::UnboundedReceiver<(u64, Message)>,
    outbox: mpsc::UnboundedSender<(u64, Message)>,
    link: Option<JoinHandle<()>>,
    /// For what goes out over the line.
    handle: Arc<Mutex<Option<LineHandle>>>,
    /// Messages of earlier lines do not count.
    line: u64,
}

impl Agent {
    pub fn new(number: u32, sim: &Arc<Sim>) -> Self {
        // The first can do everything, so that nothing waits for ever.
        let mut offer = rigged(sim, number == 0);
        if number == 0 || sim.chance.one_in(3) {
            offer.labels.insert("zone".into(), "a".into());
        }
        let name: Arc<str> = format!("agent-{number}").into();
        let slots = sim.chance.between(1, 3);
        let profile = Profile { machine_id: name.clone(), machine_name: name, offer, slots, owner: None };
        Self { sim: sim.clone(), profile, journal: BTreeMap::new() }
    }

    /// Lives, dies and lives again.
    pub async fn live(mut self) {
        let sim = self.sim.clone();
        loop {
            let (outbox, inbox) = mpsc::unbounded_channel();
            let running = Arc::default();
            let handle = Arc::default();
            let mut life = Life { agent: &mut self, worker: None, running, inbox, outbox, link: None, handle, line: 0 };
            let death = if sim.unlucky(2) { sim.chance.seconds(1, 60) } else { Duration::from_secs(1 << 30) };
            let died = tokio::time::timeout(death, life.run()).await.is_err();
            life.end_everything();
            if died {
                sim.floor.killed();
            }
            let longest = if sim.unlucky(3) { 2 * LEASE } else { 4 };
            tokio::time::sleep(sim.chance.seconds(0, longest)).await;
        }
    }
}

fn rigged(sim: &Sim, everything: bool) -> Offer {
    let tools: Vec<&str> =
        if everything || sim.chance.one_in(2) { TOOLS.to_vec() } else { vec![*sim.chance.pick(&TOOLS)] };
    crate::rig::offer(&tools)
}

impl Drop for Life<'_> {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Life<'_> {
    /// Runs until it dies.
    async fn run(&mut self) {
        let sim = self.agent.sim.clone();
        self.connect();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut resend = tokio::time::interval(Duration::from_secs(3));
        loop {
            if sim.unlucky(60) {
                self.stand_still().await;
            }
            if sim.unlucky(40) {
                self.reconnect(); // a line that breaks, with all that is in it
            }
            let due = self.next_due();
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => self.end_what_is_due(true),
                Some((line, message)) = self.inbox.recv() => self.take(line, message).await,
                _ = beat.tick() => self.heartbeat(),
                _ = resend.tick() => self.send_journal(),
            }
        }
    }

    /// SIGSTOP, and SIGCONT later. Its supervisor goes on: processes end when their lease does.
    async fn stand_still(&mut self) {
        let until = Instant::now() + self.agent.sim.chance.seconds(1, 2 * LEASE);
        while Instant::now() < until {
            let deadline = self.running.lock().values().map(|process| process.deadline).min();
            tokio::time::sleep_until(deadline.unwrap_or(until).min(until)).await;
            self.end_what_is_due(false);
        }
        self.end_what_is_due(true);
        self.reconnect();
    }

    fn next_due(&self) -> Instant {
        let running = self.running.lock();
        let due = running.values().map(|process| process.ends.min(process.timeout).min(process.deadline)).min();
        due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600))
    }

    /// Ends processes; who is `awake` also writes down what came of them.
    fn end_what_is_due(&mut self, awake: bool) {
        let now = Instant::now();
        let mut running = self.running.lock();
        let over: Vec<Lease> = running
            .iter()
            .filter(|(_, process)| process.deadline <= now || (awake && process.ends.min(process.timeout) <= now))
            .map(|(&lease, _)| lease)
            .collect();
        let sim = &self.agent.sim;
        for lease in over {
            let Some(process) = running.remove(&lease) else { continue };
            sim.floor.end(lease);
            // What the supervisor ended has no result; what ended by itself before that has, however late.
            let result = if process.ends <= process.timeout.min(process.deadline) && process.works {
                Ok(())
            } else if process.ends.min(process.timeout) <= process.deadline {
                Err("it did not work out".into())
            } else {
                continue;
            };
            let report = ReportRequest {
                subtask: lease.subtask,
                lease: Some(lease),
                by: self.worker,
                bound: None,
                result,
                output: output(lease.epoch).into(),
                execution_time: 1.0,
                exit_code: Some(0),
                simulated: false,
            };
            self.agent.journal.insert(lease, report);
        }
        drop(running);
        if awake {
            self.send_journal();
        }
    }

    async fn take(&mut self, line: u64, message: Message) {
        if line != self.line && !matches!(message, Message::Answered(..) | Message::Renewed(..)) {
            return;
        }
        let sim = self.agent.sim.clone();
        match message {
            Message::Registered(worker) => self.worker = Some(worker),
            Message::Assigned(assignment) => self.start(assignment),
            Message::Stop(lease) => self.stop(lease),
            Message::Dropped(leases) => leases.into_iter().for_each(|lease| self.stop(lease)),
            Message::Renewed(leases, sent) => {
                let mut running = self.running.lock();
                for lease in leases {
                    if let Some(process) = running.get_mut(&lease) {
                        process.deadline = process.deadline.max(sent + Duration::from_secs(LEASE.into()) - MARGIN);
                    }
                }
            }
            Message::Answered(lease, Some(answer)) => match answer {
                Reported::Accepted { .. } | Reported::Repeated { .. } => {
                    if let Some(report) = self.agent.journal.remove(&lease)
                        && report.result.is_ok()
                    {
                        sim.floor.accepted(lease);
                    }
                }
                Reported::Stale(_) | Reported::Unknown => {
                    if self.agent.journal.remove(&lease).is_some() {
                        sim.floor.refused();
                    }
                }
            },
            Message::Answered(_, None) => {}
            Message::Closed(code) => {
                if code == 4001 || code == 4002 {
                    // An operator sent it away; it is started again later.
                    self.end_everything();
                    tokio::time::sleep(sim.chance.seconds(1, 10)).await;
                    self.worker = None;
                }
                self.reconnect();
            }
        }
    }

    fn start(&mut self, assignment: Assignment) {
        let sim = self.agent.sim.clone();
        let lease = assignment.lease;
        if sim.unlucky(12) {
            self.reject(lease);
            return;
        }
        let now = Instant::now();
        let hangs = sim.unlucky(15);
        let takes = if hangs { Duration::from_secs(1 << 20) } else { sim.chance.seconds(0, 25) };
        let process = Process {
            ends: now + takes,
            works: !sim.unlucky(6),
            timeout: now + Duration::from_secs(assignment.timeout_seconds.into()),
            deadline: now + Duration::from_micros(assignment.lease_length.0 as u64) - MARGIN,
        };
        if self.running.lock().contains_key(&lease) || self.agent.journal.contains_key(&lease) {
            return;
        }
        sim.floor.start(lease, &sim.durable);
        self.running.lock().insert(lease, process);
    }

    fn stop(&mut self, lease: Lease) {
        if self.running.lock().remove(&lease).is_some() {
            self.agent.sim.floor.end(lease);
        }
    }

    pub fn end_everything(&mut self) {
        for (lease, _) in std::mem::take(&mut *self.running.lock()) {
            self.agent.sim.floor.end(lease);
        }
        self.hang_up();
    }

    fn hang_up(&mut self) {
        if let Some(link) = self.link.take() {
            link.abort();
            *self.handle.lock() = None;
        }
    }

    fn reconnect(&mut self) {
        self.hang_up();
        self.connect();
    }

    /// Registers where that is needed, opens a line, resumes, and passes on what comes.
    fn connect(&mut self) {
        self.line += 1;
        let link = Link {
            sim: self.agent.sim.clone(),
            number: self.line,
            outbox: self.outbox.clone(),
            profile: self.agent.profile.clone(),
            running: self.running.clone(),
            handle: self.handle.clone(),
        };
        self.link = Some(tokio::spawn(link.keep(self.worker)));
    }

    fn heartbeat(&mut self) {
        let Some(worker) = self.worker else { return };
        let sim = self.agent.sim.clone();
        if sim.unlucky(4) {
            return; // lost on its way
        }
        let running: Vec<Lease> = self.running.lock().keys().copied().collect();
        let (line, outbox, sent) = (self.line, self.outbox.clone(), Instant::now());
        tokio::spawn(async move {
            sim.travel().await;
            let node = sim.nodes.up().await;
            if sent.elapsed() > super::SLOWEST {
                return;
            }
            let beat = HeartbeatRequest {
                said: WorkerStatus::Online,
                resources: None,
                figures: None,
                current_task: None,
                running: Some(running.clone()),
            };
            if let Some(Ok(())) = node.call(node.engine.heartbeat(worker, beat)).await
                && !sim.unlucky(6)
            {
                sim.travel().await;
                let _ = outbox.send((line, Message::Renewed(running, sent)));
            }
        });
    }

    fn send_journal(&mut self) {
        for (&lease, report) in &self.agent.journal {
            // Now and then twice, and now and then lost.
            let times = if self.agent.sim.unlucky(6) { self.agent.sim.chance.between(0, 2) } else { 1 };
            for _ in 0..times {
                let (sim, report) = (self.agent.sim.clone(), report.clone());
                let (line, outbox) = (self.line, self.outbox.clone());
                tokio::spawn(async move {
                    sim.travel().await;
                    let node = sim.nodes.up().await;
                    let answer = node.call(node.engine.report(report)).await;
                    let answer = answer.and_then(Result::ok).filter(|_| !sim.unlucky(6));
                    sim.travel().await;
                    let _ = outbox.send((line, Message::Answered(lease, answer)));
                });
            }
        }
    }

    fn reject(&self, lease: Lease) {
        let (sim, handle) = (self.agent.sim.clone(), self.handle.lock().clone());
        tokio::spawn(async move {
            sim.travel().await;
            let node = sim.nodes.up().await;
            let Some(handle) = handle else { return };
            let _ = node.call(handle.reject(lease.subtask, Some(lease), "not today".into())).await;
        });
    }
}

/// The agent's side of a line.
struct Link {
    sim: Arc<Sim>,
    number: u64,
    outbox: mpsc::UnboundedSender<(u64, Message)>,
    profile: Profile,
    running: Arc<Mutex<BTreeMap<Lease, Process>>>,
    handle: Arc<Mutex<Option<LineHandle>>>,
}

impl Link {
    fn say(&self, message: Message) {
        let _ = self.outbox.send((self.number, message));
    }

    async fn keep(self, worker: Option<WorkerId>) {
        let sim = self.sim.clone();
        tokio::time::sleep(sim.chance.duration(Duration::from_millis(1), Duration::from_millis(800))).await;
        let node = sim.nodes.up().await;
        sim.travel().await;
        let worker = match worker {
            Some(worker) => worker,
            None => {
                let running: Vec<Lease> = self.running.lock().keys().copied().collect();
                let request = RegisterRequest {
                    profile: self.profile.clone(),
                    system_info: "{}".into(),
                    running: Some(running),
                    take_over: TakeOver::Any,
                };
                let Some(Ok(Ok(registered))) = node.call(node.engine.register(request)).await else {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    return self.say(Message::Closed(1006));
                };
                self.say(Message::Registered(registered.worker));
                registered.worker
            }
        };
        let Some(Ok(mut line)) = node.call(node.engine.open_line(worker)).await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return self.say(Message::Closed(if node.is_alive() { 4002 } else { 1006 }));
        };
        sim.travel().await;
        let sent = Instant::now();
        let running: Vec<Lease> = self.running.lock().keys().copied().collect();
        match node.call(line.handle().resume(running)).await {
            Some(Ok(resumed)) => {
                sim.travel().await;
                self.say(Message::Dropped(resumed.dropped));
                self.say(Message::Renewed(resumed.kept, sent));
            }
            _ => return self.say(Message::Closed(1006)),
        }
        *self.handle.lock() = Some(line.handle());
        loop {
            match node.call(line.next()).await {
                Some(LineEvent::Message(message)) => {
                    sim.travel().await;
                    self.say(match message {
                        LineMessage::Assign(assignment) => Message::Assigned(*assignment),
                        LineMessage::Stop(stop) => Message::Stop(stop.lease),
                    });
                }
                Some(LineEvent::Close(code, _)) => return self.say(Message::Closed(code)),
                None => return self.say(Message::Closed(1006)),
            }
        }
    }
}
