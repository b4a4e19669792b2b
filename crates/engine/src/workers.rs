//! Workers coming, speaking and going; and the overview of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use regatta_model::command::{
    Heard, Heartbeat, Register, Registered, RemoveWorker, Removed, SetDraining, TakeOver, Touch, Unregister,
};
use regatta_model::plan::Json;
use regatta_model::routing::Resources;
use regatta_model::worker::{Profile, Registration, WorkerRow};
use regatta_model::{Lease, Timestamp, TokenId, WorkerId, WorkerStatus};
use regatta_store::{Counters, Start, WorkerDetail, WorkerPage, WorkerQuery};

use crate::recorder::Recent;
use crate::{Engine, Error, Result, timing};

/// A worker's registration, its fields already within their limits.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterRequest {
    /// Who and what.
    pub profile: Profile,
    /// A JSON object.
    pub system_info: Json,
    /// What it still runs.
    pub running: Option<Vec<Lease>>,
    /// Which worker it may be, where the machine is known; the profile says under which token it registers.
    pub take_over: TakeOver,
}

/// A worker's heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatRequest {
    /// What it says of itself.
    pub said: WorkerStatus,
    /// Figures, where it sends them.
    pub resources: Option<Resources>,
    /// A JSON object of the other numbers among them.
    pub figures: Option<Json>,
    /// What it says it works on.
    pub current_task: Option<Arc<str>>,
    /// What it really runs.
    pub running: Option<Vec<Lease>>,
}

/// The overview.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// How many there are of what.
    pub counters: Counters,
    /// Of the workers that are not offline: how many drain, their slots, and how many of these are taken.
    pub draining: u64,
    /// See above.
    pub slots: u64,
    /// See above.
    pub busy_slots: u64,
    /// The last minutes.
    pub recent: Recent,
    /// Why ready subtasks do not run, the most frequent reason first.
    pub waiting: Vec<WaitingReason>,
    /// Worker lines open at this node.
    pub lines: u64,
}

/// A reason to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingReason {
    /// In words that say what to do.
    pub reason: Arc<str>,
    /// How many subtasks wait for that.
    pub subtasks: u64,
}

impl Engine {
    /// Takes a worker in, or back: a new session begins, and what it does not run goes back to the queue.
    ///
    /// # Errors
    /// Those of the store. The inner one: under which token the machine's worker was registered that this caller may not
    /// take over.
    pub async fn register(
        &self,
        request: RegisterRequest,
    ) -> Result<std::result::Result<Registered, regatta_model::command::OwnedBy>> {
        let registration = Registration {
            new_id: WorkerId(self.inner.world.uuid()),
            profile: Arc::new(request.profile),
            system_info: request.system_info,
        };
        let register =
            Register { registration, take_over: request.take_over, running: request.running, lease: self.lease() };
        self.run(register).await
    }

    /// Takes a worker's heartbeat and renews its leases.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when it has unregistered.
    pub async fn heartbeat(&self, worker: WorkerId, request: HeartbeatRequest) -> Result<()> {
        let heartbeat = Heartbeat {
            worker,
            said: request.said,
            resources: request.resources,
            figures: request.figures,
            current_task: request.current_task,
            running: request.running,
            lease: self.lease(),
            late: false,
        };
        self.heard(worker, self.run(heartbeat).await?)
    }

    /// A page of workers.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn workers(&self, query: WorkerQuery) -> Result<WorkerPage> {
        Ok(timing::book(self.inner.store.workers(query, self.now()).await?))
    }

    /// A worker with everything.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn worker(&self, id: WorkerId) -> Result<WorkerDetail> {
        timing::book(self.inner.store.worker(id, self.now()).await?).ok_or_else(|| Error::not_found("worker", id))
    }

    /// Whether a worker was registered under this token; `None` when there is no such worker.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn owns(&self, token: TokenId, worker: WorkerId) -> Result<Option<bool>> {
        // What the fleet has heard may be a moment old, so only its yes counts.
        if self.inner.fleet.lock().row(worker).is_some_and(|row| row.profile.owner == Some(token)) {
            return Ok(Some(true));
        }
        let found = timing::book(self.inner.store.worker(worker, self.now()).await?);
        Ok(found.map(|found| found.row.profile.owner == Some(token)))
    }

    /// Lets a worker go; what it runs goes back at once.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn unregister(&self, worker: WorkerId) -> Result<()> {
        let heard = self.run(Unregister { worker }).await?;
        self.heard(worker, heard)
    }

    /// No new work for a worker, or new work again; its row as it then is.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_draining(&self, worker: WorkerId, draining: bool) -> Result<WorkerRow> {
        self.run(SetDraining { worker, draining }).await?.ok_or_else(|| Error::not_found("worker", worker))
    }

    /// Takes a worker that is offline off the list.
    ///
    /// # Errors
    /// [`Error::Conflict`] while it is not offline.
    pub async fn remove_worker(&self, worker: WorkerId) -> Result<()> {
        match self.run(RemoveWorker { worker }).await? {
            Removed::Yes => Ok(()),
            Removed::InUse => Err(Error::Conflict(format!(
                "worker {worker} is not offline; stop it, or unregister it first: POST /api/v1/workers/{worker}/unregister"
            ))),
            Removed::Unknown => Err(Error::not_found("worker", worker)),
        }
    }

    /// What an overview needs.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn stats(&self) -> Result<Stats> {
        let now = self.now();
        let counters = timing::book(self.inner.store.counters(now).await?);
        let ready = self.inner.store.ready_lanes().await?;
        let mut fleet = self.inner.fleet.lock();
        let mut reasons: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (lane, subtasks) in ready {
            *reasons.entry(fleet.explain(lane, now)).or_default() += subtasks;
        }
        let mut waiting: Vec<WaitingReason> =
            reasons.into_iter().map(|(reason, subtasks)| WaitingReason { reason, subtasks }).collect();
        waiting.sort_by_key(|reason| std::cmp::Reverse(reason.subtasks));
        let (mut draining, mut slots, mut busy_slots) = (0, 0, 0);
        for row in fleet.rows().filter(|row| !row.is_offline(now)) {
            draining += u64::from(row.draining);
            slots += u64::from(row.profile.slots);
            busy_slots += u64::from(row.used);
        }
        let lines = fleet.lines() as u64;
        drop(fleet);
        Ok(Stats { counters, draining, slots, busy_slots, recent: self.inner.recorder.recent(now), waiting, lines })
    }

    /// Turns a worker's answer into an error where it is one.
    pub(crate) fn heard(&self, worker: WorkerId, heard: Heard) -> Result<()> {
        match heard {
            Heard::Yes => Ok(()),
            Heard::Unregistered => Err(unregistered(worker)),
            Heard::Unknown => Err(Error::not_found("worker", worker)),
        }
    }

    /// A worker's row for a connection that begins now; the fleet knows it from here on.
    pub(crate) async fn connecting(&self, worker: WorkerId) -> Result<WorkerRow> {
        let row = self.worker(worker).await?.row;
        if row.unregistered {
            return Err(unregistered(worker));
        }
        self.inner.fleet.lock().update(row.clone());
        Ok(row)
    }

    /// Writes signs of life down.
    pub(crate) async fn touch(&self, heard: Vec<(WorkerId, Timestamp)>) -> Result<()> {
        if heard.is_empty() { Ok(()) } else { self.run(Touch { heard }).await }
    }

    /// Reads every worker that the store lists.
    pub(crate) async fn load_workers(&self) -> Result<()> {
        let mut start = Start::Offset(0);
        loop {
            let query = WorkerQuery { status: None, tool: None, label: None, start, limit: 1_000 };
            let page = self.workers(query).await?;
            let mut fleet = self.inner.fleet.lock();
            for row in page.workers {
                fleet.update(row);
            }
            match page.next {
                Some(next) => start = Start::After(next),
                None => return Ok(()),
            }
        }
    }
}

fn unregistered(worker: WorkerId) -> Error {
    Error::Conflict(format!("worker {worker} has unregistered; register it again: POST /api/v1/workers/register"))
}
