//! What a group of commands will touch, as far as that can be told before it runs.
//!
//! Locks are taken in one order everywhere: keys of callers and machines, then tasks, then workers, each in ascending
//! order. Whoever waits holds nothing that comes later in that order, so no two wait for each other. What turns out to be
//! needed only while the ledger runs is taken without waiting; where another holds it, the group is run again with it
//! among what is wanted.

use std::collections::BTreeSet;
use std::sync::Arc;

use regatta_model::command::{Command, Submit};
use regatta_model::{SubtaskId, TaskId, TaskKey, Timestamp, WorkerId, WorkerKey};
use xxhash_rust::xxh3::xxh3_64;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Callers' keys and machines, hashed.
    pub(super) names: BTreeSet<i64>,
    /// Scopes and keys of callers.
    pub(super) idempotency: Vec<(Arc<str>, Arc<str>)>,
    /// Tasks by id.
    pub(super) tasks: BTreeSet<TaskId>,
    /// Tasks by key.
    pub(super) task_keys: BTreeSet<TaskKey>,
    /// Tasks of which every subtask is needed.
    pub(super) plans: BTreeSet<TaskId>,
    /// Subtasks that are named, and with them the workers that hold them.
    pub(super) subtasks: BTreeSet<SubtaskId>,
    /// Chunks of plans: task, first position, one behind the last.
    pub(super) chunks: Vec<(TaskId, u16, u16)>,
    /// Workers by id.
    pub(super) workers: BTreeSet<WorkerId>,
    /// Workers by key.
    pub(super) worker_keys: BTreeSet<WorkerKey>,
    /// Workers of which every lease is needed; they are among `workers`.
    pub(super) leases_of: BTreeSet<WorkerId>,
    /// Machines whose workers are needed with all their leases.
    pub(super) machines: BTreeSet<Arc<str>>,
    /// Every lease there is.
    pub(super) all_leases: bool,
    /// What is due at that time, so many of it.
    pub(super) due: Option<(Timestamp, u32)>,
    /// New tasks, which need a key.
    pub(super) new_tasks: usize,
}

/// A lock's name.
pub(super) fn name(kind: &str, parts: &[&str]) -> i64 {
    let mut text = String::from(kind);
    for part in parts {
        text.push('\0');
        text.push_str(part);
    }
    xxh3_64(text.as_bytes()) as i64
}

impl Wanted {
    /// What these commands name.
    pub(super) fn of<'a>(commands: impl Iterator<Item = (Timestamp, &'a Command)>) -> Self {
        let mut wanted = Self::default();
        for (now, command) in commands {
            wanted.add(now, command);
        }
        wanted
    }

    fn add(&mut self, now: Timestamp, command: &Command) {
        match command {
            Command::Submit(submit) => self.add_submit(submit),
            Command::AddSteps(c) => {
                self.tasks.insert(c.task);
                let end = c.steps.first.saturating_add(c.steps.steps.len() as u16);
                self.chunks.push((c.task, c.steps.first.saturating_sub(1), end));
                if c.last {
                    self.plans.insert(c.task);
                }
            }
            Command::PlanTask(c) => drop(self.tasks.insert(c.task)),
            Command::Claim(c) => self.worker_keys.extend(c.seats.iter().map(|seat| seat.worker)),
            Command::Report(c) => self.add_subtask(c.subtask),
            Command::SetProgress(c) => self.add_subtask(c.subtask),
            Command::AppendLog(c) => self.add_subtask(c.subtask),
            Command::Reject(c) => self.add_subtask(c.subtask),
            Command::Register(c) => {
                let machine = &c.registration.profile.machine_id;
                self.names.insert(name("machine", &[machine]));
                self.machines.insert(machine.clone());
            }
            Command::Heartbeat(c) => self.add_worker(c.worker, true),
            Command::Touch(c) => self.workers.extend(c.heard.iter().map(|&(worker, _)| worker)),
            Command::Resume(c) => self.add_worker(c.worker, true),
            Command::Acknowledge(c) => self.add_worker(c.worker, false),
            Command::Unregister(c) => self.add_worker(c.worker, true),
            Command::SetDraining(c) => self.add_worker(c.worker, false),
            Command::RemoveWorker(c) => self.add_worker(c.worker, true),
            Command::CancelTask(c) => self.add_plan(c.task),
            Command::RetryTask(c) => self.add_plan(c.task),
            Command::DeleteTask(c) => drop(self.tasks.insert(c.task)),
            Command::Forget(_) => {}
            Command::Sweep(c) => {
                let (at, limit) = self.due.unwrap_or((now, 0));
                self.due = Some((at.max(now), limit.max(c.limit)));
            }
            Command::ExtendLeases(_) => self.all_leases = true,
        }
    }

    fn add_submit(&mut self, submit: &Submit) {
        self.new_tasks += submit.tasks.len();
        if let Some(key) = &submit.idempotency {
            self.names.insert(name("key", &[&key.scope, &key.key]));
            self.idempotency.push((key.scope.clone(), key.key.clone()));
        }
    }

    fn add_subtask(&mut self, subtask: SubtaskId) {
        self.tasks.insert(subtask.task());
        self.subtasks.insert(subtask);
    }

    fn add_plan(&mut self, task: TaskId) {
        self.tasks.insert(task);
        self.plans.insert(task);
    }

    fn add_worker(&mut self, worker: WorkerId, leases: bool) {
        self.workers.insert(worker);
        if leases {
            self.leases_of.insert(worker);
        }
    }

    /// Whether nothing has to be looked for first: all that is wanted has a name or a key.
    pub(super) fn names_all(&self) -> bool {
        self.workers.is_empty() && self.machines.is_empty() && !self.all_leases && self.due.is_none()
    }

    /// With what another run of the group found to be needed.
    pub(super) fn and(&mut self, other: &Wanted) {
        self.task_keys.extend(&other.task_keys);
        self.worker_keys.extend(&other.worker_keys);
    }
}
