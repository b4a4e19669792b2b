//! What the worker's tasks share: what runs, what has ended and is not yet taken, and how a word of the server changes that.
//!
//! Nothing here waits; whoever calls goes on at once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regatta_api::frames::worker::{About, WorkerFrame};
use regatta_api::subtask::ReportResult;
use regatta_api::worker::{Assignment, LeaseRef};
use regatta_client::Client;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::attempt;
use super::lease::{GRACE, LeaseClock};
use super::outbox::Outbox;
use crate::clock::boot_ms;
use crate::journal::{Entry, Journal};
use crate::supervisor::Supervisor;
use crate::tools::set::ToolSet;
use crate::tools::{Stop, StopReason, Stopper};

/// A gap between two looks at the clock that is longer than this, in milliseconds, means that this process stood still.
const STOOD_STILL_MS: u64 = 3_000;
/// How long after that, in milliseconds, what is read may have been sent before.
const CATCHING_UP_MS: u64 = 1_000;
/// A result that was sent and not answered for this long is sent again.
const RESEND: Duration = Duration::from_secs(10);
/// How many such results are sent again at a time.
const OVERDUE_AT_ONCE: usize = 64;

/// See the module.
pub(super) struct Agent {
    parts: Parts,
    pub(super) outbox: Outbox,
    state: Mutex<State>,
    /// Told of every change of the state.
    pub(super) changed: watch::Sender<()>,
    /// Asks for a heartbeat now.
    pub(super) beat_now: Notify,
    /// Says that the server does not know this worker any more.
    pub(super) forgotten: Notify,
}

#[derive(Default)]
struct State {
    worker_id: Option<Uuid>,
    /// The system it is registered with.
    cluster: Option<Uuid>,
    draining: bool,
    /// Attempts whose tool runs, by lease.
    runs: HashMap<String, Run>,
    /// The lease under which a subtask runs.
    of_subtask: HashMap<Uuid, String>,
    /// Attempts that have ended and whose result the server has not taken, by lease.
    ended: HashMap<String, Ended>,
    /// When `resume` was last sent.
    resumed_ms: u64,
    /// When the clock was last looked at.
    ticked_ms: u64,
    /// Since when this process stood still, and until when what it reads may come from that time.
    stood_still: Option<(u64, u64)>,
}

impl State {
    fn run_of(&self, subtask: Uuid) -> Option<&Run> {
        self.runs.get(self.of_subtask.get(&subtask)?)
    }

    fn look_at_clock(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.ticked_ms) > STOOD_STILL_MS {
            self.stood_still = Some((self.ticked_ms, now_ms + CATCHING_UP_MS));
        }
        self.ticked_ms = now_ms;
    }

    fn over(&mut self, assignment: &Assignment) {
        self.runs.remove(&assignment.lease);
        self.of_subtask.remove(&assignment.subtask_id);
    }
}

struct Run {
    assignment: Arc<Assignment>,
    lease: LeaseClock,
    stopper: Stopper,
}

struct Ended {
    lease: LeaseRef,
    report: Arc<ReportResult>,
    /// Whether it is on disk: it is not sent before.
    kept: bool,
    /// When it was last sent, and how often.
    sent: Option<(Instant, u32)>,
    /// The server and the system that it came from, when an earlier life left it and it is not known yet whether they are ours.
    from: Option<(String, Option<Uuid>)>,
}

/// A subtask that runs, for those who ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The subtask.
    pub subtask_id: Uuid,
    /// Its name in the plan.
    pub name: String,
    /// The tool that runs it.
    pub tool: String,
}

/// What an agent is made of; it has them as its own.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) machine_id: String,
    pub(super) client: Client,
    pub(super) tools: ToolSet,
    pub(super) supervisor: Supervisor,
    pub(super) journal: Journal,
    pub(super) slots: u32,
    /// The time between heartbeats, if it is given.
    pub(super) heartbeat: Option<Duration>,
    /// The worker's folder.
    pub(super) folder: PathBuf,
}

impl std::ops::Deref for Agent {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Agent {
    /// An agent with the results that an earlier life left.
    pub(super) fn new(parts: Parts, left: Vec<Entry>) -> Self {
        let mut state = State { ticked_ms: boot_ms(), ..State::default() };
        for Entry { server, cluster, lease, report } in left {
            let from = Some((server, cluster));
            let ended = Ended { lease: lease.clone(), report: Arc::new(report), kept: true, sent: None, from };
            state.ended.insert(lease.lease, ended);
        }
        if !state.ended.is_empty() {
            tracing::info!(results = state.ended.len(), "results from before wait to be delivered");
        }
        Self {
            outbox: Outbox::new(parts.slots),
            parts,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            beat_now: Notify::new(),
            forgotten: Notify::new(),
        }
    }

    pub(super) fn worker_id(&self) -> Option<Uuid> {
        self.state.lock().worker_id
    }

    pub(super) fn set_worker_id(&self, worker: Option<Uuid>) {
        self.state.lock().worker_id = worker;
        self.tell();
    }

    /// The worker is registered with this system, as far as its server says which it is. Results for others stay in the journal.
    pub(super) fn joined(&self, cluster: Option<Uuid>) {
        let mut state = self.state.lock();
        state.cluster = cluster;
        state.ended.retain(|_, ended| {
            let Some((server, of)) = ended.from.take() else { return true };
            let ours = match (of, cluster) {
                (Some(of), Some(cluster)) => of == cluster,
                _ => self.client.servers().contains(&server),
            };
            if !ours {
                tracing::warn!(
                    subtask = %ended.lease.subtask_id, server,
                    "a result for another server waits in the journal; start this worker with that --server to deliver it"
                );
            }
            ours
        });
        drop(state);
        self.tell();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state.lock().draining
    }

    /// From now on nothing new is taken.
    pub(super) fn begin_drain(&self) {
        self.state.lock().draining = true;
        self.tell();
        self.beat_now.notify_one();
    }

    pub(super) fn running(&self) -> Vec<Running> {
        let state = self.state.lock();
        let of = |run: &Run| Running {
            subtask_id: run.assignment.subtask_id,
            name: run.assignment.name.clone(),
            tool: run.assignment.assigned_tool.clone(),
        };
        state.runs.values().map(of).collect()
    }

    /// How many tools run, and how many results the server has not taken.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.runs.len(), state.ended.len())
    }

    /// What the server is told to be running: what runs and is not being ended because its lease is over, and what has ended and
    /// is not yet taken.
    pub(super) fn leases(&self) -> Vec<LeaseRef> {
        let state = self.state.lock();
        let live = |run: &&Run| {
            let reason = run.stopper.order().map(|order| order.reason);
            matches!(reason, None | Some(StopReason::TimedOut | StopReason::Draining))
        };
        let runs = state.runs.values().filter(live).map(|run| lease_of(&run.assignment));
        runs.chain(state.ended.values().map(|ended| ended.lease.clone())).collect()
    }

    /// How often to send heartbeats.
    pub(super) fn beat_every(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(30);
        self.heartbeat.unwrap_or_else(|| {
            let state = self.state.lock();
            state.runs.values().map(|run| run.lease.third()).min().unwrap_or(LONGEST).min(LONGEST)
        })
    }

    /// The server gives an attempt.
    pub(super) fn assigned(self: &Arc<Self>, assignment: Assignment) {
        match self.admit(Arc::new(assignment)) {
            Admission::Start { assignment, stop, stopper, deadline_ms } => {
                self.ack(&assignment);
                self.tell();
                tokio::spawn(attempt::run(self.clone(), assignment, stop, stopper, deadline_ms));
            }
            // The first acknowledgement may be lost.
            Admission::Known(assignment) => self.ack(&assignment),
            Admission::Refuse(assignment, reason) => self.reject(&lease_of(&assignment), reason),
        }
    }

    fn admit(&self, assignment: Arc<Assignment>) -> Admission {
        let mut state = self.state.lock();
        let lease = &assignment.lease;
        if state.runs.contains_key(lease) || state.ended.contains_key(lease) {
            return Admission::Known(assignment);
        }
        if state.draining {
            return Admission::Refuse(assignment, "draining: this worker is shutting down".into());
        }
        if !self.tools.offers(&assignment.assigned_tool) {
            let reason = self.tools.refusal(&assignment.assigned_tool);
            return Admission::Refuse(assignment, reason);
        }
        // The server gives it anew, so the lease of the earlier attempt is over.
        if let Some(earlier) = state.run_of(assignment.subtask_id) {
            earlier.stopper.stop(StopReason::Dropped, GRACE);
            return Admission::Refuse(assignment, "an earlier attempt is still being ended here".into());
        }
        // What is being ended has no slot at the server any more; it is counted only when it matters.
        let slots = self.slots as usize;
        if state.runs.len() >= slots && state.runs.values().filter(|run| run.stopper.order().is_none()).count() >= slots
        {
            return Admission::Refuse(assignment, format!("full: all {slots} slots are taken"));
        }
        // A process that stood still reads late what was sent early: then the lease counts from before.
        let now = boot_ms();
        state.look_at_clock(now);
        let given = match state.stood_still {
            Some((since, until)) if now <= until => since,
            _ => now,
        };
        let clock = LeaseClock::new(assignment.lease_seconds, given);
        if clock.stop_at_ms() <= now {
            return Admission::Refuse(assignment, "the assignment came too late: its lease is nearly over".into());
        }
        let (stopper, stop) = Stopper::new();
        let run = Run { assignment: assignment.clone(), lease: clock, stopper: stopper.clone() };
        let sooner = self.heartbeat.is_none() && state.runs.values().all(|other| other.lease.third() > clock.third());
        state.of_subtask.insert(assignment.subtask_id, lease.clone());
        state.runs.insert(lease.clone(), run);
        drop(state);
        // A lease shorter than those before needs more heartbeats than were planned.
        if sooner && clock.third() < Duration::from_secs(30) {
            self.beat_now.notify_one();
        }
        Admission::Start { assignment, stop, stopper, deadline_ms: clock.kill_at_ms() }
    }

    fn ack(&self, assignment: &Assignment) {
        let LeaseRef { subtask_id, lease } = lease_of(assignment);
        self.outbox.control(WorkerFrame::Ack { subtask_id, lease });
    }

    fn reject(&self, lease: &LeaseRef, reason: String) {
        tracing::info!(subtask = %lease.subtask_id, reason, "not taken");
        let LeaseRef { subtask_id, lease } = lease.clone();
        self.outbox.control(WorkerFrame::TaskRejected { subtask_id, reason, lease: Some(lease) });
    }

    /// The server wants a subtask stopped.
    pub(super) fn cancel(&self, subtask: Uuid, reason: &str) {
        tracing::info!(%subtask, reason, "cancelled");
        if let Some(run) = self.state.lock().run_of(subtask) {
            run.stopper.stop(StopReason::Cancelled(reason.to_owned()), GRACE);
        }
    }

    /// There is a line: what runs is told over it first, then what has ended is sent again.
    pub(super) fn connected(&self) {
        self.state.lock().resumed_ms = boot_ms();
        self.outbox.open(WorkerFrame::Resume { running: self.leases() });
        let state = self.state.lock();
        for ended in state.ended.values().filter(|ended| ended.kept) {
            self.outbox.result(&ended.lease);
        }
        drop(state);
        self.tell();
    }

    /// The server's answer to `resume`.
    pub(super) fn resumed(&self, kept: &[LeaseRef], dropped: &[LeaseRef]) {
        let asked = self.state.lock().resumed_ms;
        self.renewed(kept, asked);
        let state = self.state.lock();
        for lease in dropped {
            if let Some(run) = state.runs.get(&lease.lease) {
                tracing::warn!(subtask = %lease.subtask_id, "its lease is over; stopping it");
                run.stopper.stop(StopReason::Dropped, GRACE);
            }
        }
    }

    /// A renewal of these leases, asked for at this time, has been acknowledged.
    pub(super) fn renewed(&self, leases: &[LeaseRef], asked_ms: u64) {
        let mut state = self.state.lock();
        for lease in leases {
            if let Some(run) = state.runs.get_mut(&lease.lease) {
                run.lease.renewed(asked_ms);
                if !self.tools.is_simulated(&run.assignment.assigned_tool) {
                    let marker = attempt::marker(&run.assignment);
                    self.supervisor.set_deadline(&marker, run.lease.kill_at_ms());
                }
            }
        }
    }

    /// Ends what holds a lease that could not be renewed, and says when to look again.
    pub(super) fn tick(&self) -> Duration {
        const LOOK_AGAIN_MS: u64 = 1000;
        let mut state = self.state.lock();
        let now = boot_ms();
        state.look_at_clock(now);
        let mut next = LOOK_AGAIN_MS;
        for run in state.runs.values() {
            match run.lease.stop_at_ms().checked_sub(now) {
                Some(left) if left > 0 => next = next.min(left),
                _ => {
                    if run.stopper.order().is_none() {
                        tracing::error!(
                            subtask = %run.assignment.subtask_id,
                            "its lease could not be renewed; ending it before another worker may be given it"
                        );
                    }
                    run.stopper.stop(StopReason::LeaseOver, run.lease.grace());
                }
            }
        }
        Duration::from_millis(next.max(1))
    }

    /// An attempt is over and there is nothing to report of it.
    pub(super) fn forget(&self, assignment: &Assignment) {
        self.state.lock().over(assignment);
        self.tell();
    }

    /// An attempt is over, and goes back to the server.
    pub(super) fn give_back(&self, assignment: &Assignment, reason: String) {
        self.reject(&lease_of(assignment), reason);
        self.forget(assignment);
    }

    /// An attempt has ended: its result is written down, then sent.
    pub(super) async fn finish(&self, assignment: &Assignment, report: ReportResult) {
        let lease = lease_of(assignment);
        let server = self.client.server().to_owned();
        let mut entry = Entry { server, cluster: None, lease: lease.clone(), report: report.clone() };
        {
            let mut state = self.state.lock();
            entry.cluster = state.cluster;
            state.over(assignment);
            let ended = Ended { lease: lease.clone(), report: Arc::new(report), kept: false, sent: None, from: None };
            state.ended.insert(lease.lease.clone(), ended);
        }
        self.tell();
        // What is only pretended is worth a write, which outlives this process, but not a sync, which outlives the machine.
        let sync = !self.tools.is_simulated(&assignment.assigned_tool);
        if let Err(error) = self.journal.keep(entry, sync).await {
            // Better sent without than not at all.
            tracing::error!(%error, subtask = %lease.subtask_id, "the result is not written down; it is lost if this worker is killed now");
        }
        if let Some(ended) = self.state.lock().ended.get_mut(&lease.lease) {
            ended.kept = true;
        }
        self.outbox.result(&lease);
    }

    /// The frame of a result that waits; `None` when it was taken in the meantime.
    pub(super) fn result_frame(&self, lease: &LeaseRef) -> Option<WorkerFrame> {
        let mut state = self.state.lock();
        let ended = state.ended.get_mut(&lease.lease)?;
        let times = ended.sent.map_or(0, |(_, times)| times);
        ended.sent = Some((Instant::now(), times + 1));
        let body = (*ended.report).clone();
        Some(WorkerFrame::Result { data: About { subtask_id: lease.subtask_id, body } })
    }

    /// The server has taken a result, or will never take it.
    pub(super) fn settled(&self, subtask: Uuid, lease: Option<&str>, accepted: bool, detail: Option<&str>) {
        let mut state = self.state.lock();
        let key = match lease {
            Some(lease) => Some(lease.to_owned()),
            None => state.ended.values().find(|one| one.lease.subtask_id == subtask).map(|one| one.lease.lease.clone()),
        };
        let Some(ended) = key.and_then(|key| state.ended.remove(&key)) else { return };
        drop(state);
        if !accepted {
            tracing::warn!(%subtask, detail, "the server does not take the result; dropping it");
        }
        self.journal.forget(ended.lease);
        self.tell();
    }

    /// Results that were not answered in time, with how often each was sent; they count as sent now.
    pub(super) fn overdue(&self) -> Vec<(LeaseRef, Arc<ReportResult>, u32)> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut overdue = Vec::new();
        for ended in state.ended.values_mut().filter(|ended| ended.kept) {
            // The rest at the next look: a server that comes back is not to be overrun.
            if overdue.len() == OVERDUE_AT_ONCE {
                break;
            }
            match &mut ended.sent {
                Some((at, times)) if now - *at >= RESEND => {
                    *at = now;
                    overdue.push((ended.lease.clone(), ended.report.clone(), *times));
                }
                Some(_) => {}
                // It waits for a line; should none come, it is overdue in a while.
                none => *none = Some((now, 0)),
            }
        }
        overdue
    }

    /// Tells everything that runs to stop.
    pub(super) fn stop_all(&self, reason: &StopReason, grace: Duration) {
        for run in self.state.lock().runs.values() {
            run.stopper.stop(reason.clone(), grace);
        }
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }
}

enum Admission {
    Start { assignment: Arc<Assignment>, stop: Stop, stopper: Stopper, deadline_ms: u64 },
    Known(Arc<Assignment>),
    Refuse(Arc<Assignment>, String),
}

pub(super) fn lease_of(assignment: &Assignment) -> LeaseRef {
    LeaseRef { subtask_id: assignment.subtask_id, lease: assignment.lease.clone() }
}
