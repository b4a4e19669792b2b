//! The rows under the ledger: locked and loaded for each group of commands, kept as changed, written back at its end.
//!
//! Others write too, so nothing is kept from one transaction to the next but what never changes: keys of lanes and tasks,
//! profiles of sessions. A task's row is the lock of the task and its subtasks, a worker's row that of the worker;
//! [`super::wanted`] says in which order they are taken. What is asked of indexes comes from the database, and rows that
//! are loaded here, and may have changed, take the place of what it says.
//! Not here: transactions, which are the writer's.

mod begin;
mod changes;
mod counters;
mod happened;
mod ledger;
mod leftovers;
mod subtasks;
mod tasks;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use regatta_model::event::Event;
use regatta_model::ledger::{Remembered, SubtaskText};
use regatta_model::plan::Json;
use regatta_model::routing::Lane;
use regatta_model::worker::Profile;
use regatta_model::{LaneKey, SubtaskKey, TaskId, TaskKey, WorkerId, WorkerKey};

use super::link::{Batch, Link, Result};
use super::sql;
use super::wanted::Wanted;
use changes::Changes;
use counters::Counters;
pub(super) use counters::{SUBTASKS, TASKS};
use subtasks::SubtaskEntry;
use tasks::TaskEntry;
use workers::WorkerEntry;

/// Tasks of which the key is remembered, at most.
const KEYS_KEPT: usize = 16_384;

/// What this process knows for good, whoever writes.
#[derive(Default)]
struct Known {
    task_keys: HashMap<TaskId, TaskKey>,
    lanes: HashMap<Lane, LaneKey>,
    /// The one that was asked for last.
    last_lane: Option<(Lane, LaneKey)>,
    /// Of a session: whoever registers again has another one.
    profiles: HashMap<WorkerKey, (i64, Arc<Profile>)>,
    /// Keys that were drawn for tasks and not given yet, the next last.
    spare_keys: Vec<i64>,
}

/// The writer's connection and the rows of the transaction that runs.
pub(super) struct PostgresRows {
    pub(super) link: Link,
    known: Known,
    /// For keys of lanes, which must be there for everyone at once.
    lanes: Link,
    tasks: BTreeMap<TaskKey, TaskEntry>,
    /// Ids that there was no task of when locks were taken.
    no_tasks: HashSet<TaskId>,
    subtasks: BTreeMap<SubtaskKey, SubtaskEntry>,
    /// Runs of subtasks that are loaded as far as they exist, by their first key.
    blocks: HashSet<i64>,
    workers: BTreeMap<WorkerKey, WorkerEntry>,
    worker_keys: HashMap<WorkerId, WorkerKey>,
    no_workers: HashSet<WorkerId>,
    machines: HashMap<Arc<str>, Option<WorkerKey>>,
    remembered: HashMap<(Arc<str>, Arc<str>), Remembered>,
    /// Texts and results that were read ahead.
    texts: HashMap<SubtaskKey, SubtaskText>,
    outputs: HashMap<SubtaskKey, (Arc<str>, Option<Json>)>,
    changes: Changes,
    counters: Counters,
    /// Tasks whose plan was thrown away in this transaction.
    discarded_plans: HashSet<TaskKey>,
    /// Tasks that were ready and in others' hands.
    skipped: BTreeSet<TaskKey>,
}

impl PostgresRows {
    pub(super) fn new(link: Link, lanes: Link) -> Self {
        Self {
            link,
            lanes,
            known: Known::default(),
            tasks: BTreeMap::new(),
            no_tasks: HashSet::new(),
            subtasks: BTreeMap::new(),
            blocks: HashSet::new(),
            workers: BTreeMap::new(),
            worker_keys: HashMap::new(),
            no_workers: HashSet::new(),
            machines: HashMap::new(),
            remembered: HashMap::new(),
            texts: HashMap::new(),
            outputs: HashMap::new(),
            changes: Changes::default(),
            counters: Counters::default(),
            discarded_plans: HashSet::new(),
            skipped: BTreeSet::new(),
        }
    }

    /// Forgets the rows of a transaction; of one that was undone also what was known for good because of it.
    pub(super) fn forget(&mut self, undone: bool) {
        if undone {
            self.known.task_keys.clear();
            self.known.profiles.clear();
        }
        self.tasks.clear();
        self.no_tasks.clear();
        self.subtasks.clear();
        self.blocks.clear();
        self.workers.clear();
        self.worker_keys.clear();
        self.no_workers.clear();
        self.machines.clear();
        self.remembered.clear();
        self.texts.clear();
        self.outputs.clear();
        self.changes = Changes::default();
        self.counters = Counters::default();
        self.discarded_plans.clear();
        self.skipped.clear();
        if self.known.task_keys.len() > KEYS_KEPT {
            self.known.task_keys.clear();
        }
    }

    /// What a claim found in others' hands, to be waited for.
    pub(super) fn skipped(&self) -> Wanted {
        Wanted { task_keys: self.skipped.clone(), ..Wanted::default() }
    }

    /// Writes everything that changed since the last call. Call before COMMIT, after the effects are sealed.
    pub(super) fn flush(&mut self) -> Result<()> {
        let batch = self.written()?;
        if !batch.is_empty() {
            self.link.pipeline(&batch)?;
        }
        Ok(())
    }

    /// The same with the events of the transaction and its end.
    pub(super) fn finish(&mut self, events: &[Event]) -> Result<Batch> {
        let mut batch = self.written()?;
        self.write_events(events, &mut batch)?;
        batch.add(sql::COMMIT, Vec::new());
        Ok(batch)
    }

    /// What changed and is not written yet.
    fn written(&mut self) -> Result<Batch> {
        let mut batch = Batch::default();
        self.write_tasks(&mut batch)?;
        self.write_subtasks(&mut batch)?;
        self.write_workers(&mut batch)?;
        self.changes.write(&mut batch);
        self.counters.write(self.link.shard()?, &mut batch);
        Ok(batch)
    }
}
