//! The beginning of a transaction: locks in their order, and everything that is known to be needed, in few round trips.

use std::collections::{BTreeSet, HashSet};

use regatta_model::ledger::Remembered;
use regatta_model::subtask::State;
use regatta_model::{SubtaskKey, TaskId, TaskKey, Timestamp, WorkerId, WorkerKey};
use tokio_postgres::Row;
use uuid::Uuid;

use super::PostgresRows;
use super::subtasks::{block, block_params};
use crate::postgres::error::DbError;
use crate::postgres::link::{Batch, Param, Result};
use crate::postgres::wanted::Wanted;
use crate::postgres::{codec, sql};

/// What a statement of the first word asks.
enum Part {
    /// Nothing: it is done, that is all.
    Done,
    Keys,
    Remembered,
    Tasks,
    Blocks,
    Workers,
    Now,
}

/// The first word of a transaction and what its answers are.
#[derive(Default)]
struct First {
    batch: Batch,
    parts: Vec<Part>,
}

impl First {
    fn ask(&mut self, part: Part, sql: &'static str, params: Vec<Param>) {
        self.batch.add(sql, params);
        self.parts.push(part);
    }
}

fn numbers<T: Copy>(keys: &BTreeSet<T>, number: fn(T) -> i64) -> Param {
    Box::new(keys.iter().map(|&key| number(key)).collect::<Vec<i64>>())
}

impl PostgresRows {
    /// Begins a transaction, takes what is wanted, and says what time it is in the database.
    pub(in crate::postgres) fn begin(&mut self, wanted: &Wanted) -> Result<Timestamp> {
        // What can be asked without knowing more goes with the first word: PostgreSQL does one after the other.
        let mut first = First::default();
        first.ask(Part::Done, sql::BEGIN, Vec::new());
        if !wanted.names.is_empty() {
            first.ask(Part::Done, sql::LOCK_NAMES, vec![numbers(&wanted.names, |name| name)]);
        }
        let keys = wanted.new_tasks.saturating_sub(self.known.spare_keys.len());
        if keys > 0 {
            first.ask(Part::Keys, sql::NEXT_TASK_KEYS, vec![Box::new(keys as i64)]);
        }
        if !wanted.idempotency.is_empty() {
            let scopes: Vec<String> = wanted.idempotency.iter().map(|(scope, _)| codec::kept(scope)).collect();
            let names: Vec<String> = wanted.idempotency.iter().map(|(_, name)| codec::kept(name)).collect();
            first.ask(Part::Remembered, sql::REMEMBERED, vec![Box::new(scopes), Box::new(names)]);
        }
        let mut task_keys = wanted.task_keys.clone();
        let all_known = self.known_tasks(wanted, &mut task_keys);
        let mut blocks = BTreeSet::new();
        let at_once = all_known && wanted.names_all();
        let mut workers_locked = false;
        if at_once {
            if !task_keys.is_empty() {
                first.ask(Part::Tasks, sql::LOCK_TASKS, vec![numbers(&task_keys, |key: TaskKey| key.0)]);
            }
            blocks = self.known_blocks(wanted);
            if !blocks.is_empty() {
                first.ask(Part::Blocks, sql::LOAD_BLOCKS, block_params(&blocks));
            }
            // Who holds what is loaded must be known before any worker is locked.
            workers_locked = blocks.is_empty() && wanted.plans.is_empty() && !wanted.worker_keys.is_empty();
            if workers_locked {
                let keys = numbers(&wanted.worker_keys, |key: WorkerKey| key.0);
                first.ask(Part::Workers, sql::LOCK_WORKERS, vec![keys]);
            }
        }
        first.ask(Part::Now, sql::NOW, Vec::new());
        let answers = self.link.pipeline(&first.batch)?;
        let mut now = Vec::new();
        for (part, rows) in first.parts.into_iter().zip(answers) {
            match part {
                Part::Done => {}
                Part::Keys => {
                    // The next is taken from the end.
                    for row in rows {
                        self.known.spare_keys.insert(0, codec::get(&row, 0)?);
                    }
                }
                Part::Remembered => self.take_remembered(&rows)?,
                Part::Tasks => self.take_tasks(&rows)?,
                Part::Blocks => self.take_blocks(std::mem::take(&mut blocks), &rows)?,
                Part::Workers => self.take_workers(&rows)?,
                Part::Now => now = rows,
            }
        }
        let asked = self.link.trips();
        let mut worker_keys = wanted.worker_keys.clone();
        if at_once {
            self.note_missing(wanted);
        } else {
            self.take_more(wanted, task_keys, &mut worker_keys)?;
        }
        self.load_wanted(wanted)?;
        if !workers_locked {
            // Whoever holds what is loaded may lose it, or is asked who it is.
            let named: HashSet<SubtaskKey> = wanted.subtasks.iter().filter_map(|&id| self.known_key(id)).collect();
            for (key, entry) in &self.subtasks {
                if let Some(holder) = &entry.row.holder
                    && (entry.row.state == State::Leased || named.contains(key))
                {
                    worker_keys.insert(holder.worker);
                }
            }
            if !worker_keys.is_empty() {
                let mut batch = Batch::default();
                batch.add(sql::LOCK_WORKERS, vec![numbers(&worker_keys, |key: WorkerKey| key.0)]);
                batch.add(sql::NOW, Vec::new());
                let answers = self.link.pipeline(&batch)?;
                if let [rows, later] = answers.as_slice() {
                    self.take_workers(rows)?;
                    return time_of(later);
                }
            }
        }
        // Whoever waited for somebody comes after him.
        if self.link.trips() != asked {
            now = self.link.query(sql::NOW, &[])?;
        }
        time_of(&now)
    }

    /// Adds the keys of the tasks that are named; whether all are known.
    fn known_tasks(&self, wanted: &Wanted, keys: &mut BTreeSet<TaskKey>) -> bool {
        let known = wanted.tasks.iter().map(|id| self.known.task_keys.get(id));
        keys.extend(known.clone().flatten());
        known.into_iter().all(|key| key.is_some())
    }

    /// Where the subtasks are that are named, as far as that can be told from their ids.
    fn known_blocks(&self, wanted: &Wanted) -> BTreeSet<i64> {
        let mut blocks: BTreeSet<i64> =
            wanted.subtasks.iter().filter_map(|&id| self.known_key(id)).map(block).collect();
        for &(id, first, end) in &wanted.chunks {
            if let Some(&task) = self.known.task_keys.get(&id) {
                blocks.extend((first..end).map(|position| block(task.subtask(position))));
            }
        }
        blocks
    }

    /// What takes looking for: workers by their names, every lease of theirs, what is due.
    fn take_more(
        &mut self,
        wanted: &Wanted,
        mut task_keys: BTreeSet<TaskKey>,
        worker_keys: &mut BTreeSet<WorkerKey>,
    ) -> Result<()> {
        let leases_of = self.find_workers(wanted, worker_keys)?;
        if !leases_of.is_empty() {
            let keys: Vec<i64> = leases_of.iter().map(|key| key.0).collect();
            for row in self.link.query(sql::TASKS_LEASED_BY, &[&keys])? {
                task_keys.insert(TaskKey(codec::get(&row, 0)?));
            }
        }
        let mut due: Vec<SubtaskKey> = Vec::new();
        if let Some((now, limit)) = wanted.due {
            for row in self.link.query(sql::DUE, &[&now.0, &i64::from(limit)])? {
                due.push(SubtaskKey(codec::get(&row, 0)?));
            }
        }
        if wanted.all_leases {
            for row in self.link.query(sql::LEASED, &[])? {
                task_keys.insert(SubtaskKey(codec::get(&row, 0)?).task());
            }
        }
        self.wait_for_tasks(wanted, &task_keys)?;
        if !due.is_empty() {
            // What another holds is looked at next time.
            let keys: Vec<i64> = due.iter().map(|key| key.task().0).collect::<BTreeSet<_>>().into_iter().collect();
            let rows = self.link.query(sql::LOCK_TASKS_SKIP, &[&keys])?;
            self.take_tasks(&rows)?;
            due.retain(|key| self.tasks.contains_key(&key.task()));
            self.load_subtasks(&due)?;
        }
        Ok(())
    }

    fn known_key(&self, id: regatta_model::SubtaskId) -> Option<SubtaskKey> {
        let task = self.known.task_keys.get(&id.task())?;
        Some(task.subtask(id.position()))
    }

    fn take_remembered(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            let ids: Vec<Uuid> = codec::get(row, 3)?;
            let tasks = ids.into_iter().map(|id| {
                TaskId::from_uuid(id)
                    .ok_or_else(|| DbError::Corrupt("an idempotency key with an id that is no task's".into()))
            });
            let made = Remembered {
                body: codec::get::<i64>(row, 2)? as u64,
                tasks: tasks.collect::<Result<_>>()?,
                at: codec::sure_time(row, 4)?,
            };
            self.remembered.insert((codec::text(row, 0)?, codec::text(row, 1)?), made);
        }
        Ok(())
    }

    /// Keys of the workers that are named, into `keys`; those of whom every lease is wanted.
    fn find_workers(&mut self, wanted: &Wanted, keys: &mut BTreeSet<WorkerKey>) -> Result<BTreeSet<WorkerKey>> {
        let mut leases_of = BTreeSet::new();
        if !wanted.workers.is_empty() {
            let ids: Vec<Uuid> = wanted.workers.iter().map(|id| id.uuid()).collect();
            for row in self.link.query(sql::WORKERS_BY_UUID, &[&ids])? {
                let (key, id) = (WorkerKey(codec::get(&row, 0)?), WorkerId(codec::get(&row, 1)?));
                keys.insert(key);
                self.worker_keys.insert(id, key);
                if wanted.leases_of.contains(&id) {
                    leases_of.insert(key);
                }
            }
            let unknown = wanted.workers.iter().filter(|id| !self.worker_keys.contains_key(id));
            self.no_workers.extend(unknown.copied().collect::<Vec<_>>());
        }
        if !wanted.machines.is_empty() {
            let names: Vec<String> = wanted.machines.iter().map(|machine| codec::kept(machine)).collect();
            self.machines.extend(wanted.machines.iter().map(|machine| (machine.clone(), None)));
            for row in self.link.query(sql::WORKERS_BY_MACHINE, &[&names])? {
                let key = WorkerKey(codec::get(&row, 0)?);
                keys.insert(key);
                leases_of.insert(key);
                let kept = codec::text(&row, 1)?;
                for name in wanted.machines.iter().filter(|name| name.contains('\0')) {
                    if codec::kept(name) == *kept {
                        self.machines.insert(name.clone(), Some(key));
                    }
                }
                self.machines.insert(kept, Some(key));
            }
        }
        Ok(leases_of)
    }

    fn wait_for_tasks(&mut self, wanted: &Wanted, keys: &BTreeSet<TaskKey>) -> Result<()> {
        if wanted.tasks.is_empty() && keys.is_empty() {
            return Ok(());
        }
        let unknown = wanted.tasks.iter().filter(|id| !self.known.task_keys.contains_key(id));
        let ids: Vec<Uuid> = unknown.map(|id| id.uuid()).collect();
        let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
        let rows = match ids.is_empty() {
            true => self.link.query(sql::LOCK_TASKS, &[&keys])?,
            false => self.link.query(sql::LOCK_TASKS_BY_UUID, &[&keys, &ids])?,
        };
        self.take_tasks(&rows)?;
        self.note_missing(wanted);
        Ok(())
    }

    /// Remembers which of the tasks that are named are not there.
    fn note_missing(&mut self, wanted: &Wanted) {
        if wanted.tasks.is_empty() {
            return;
        }
        let locked: HashSet<TaskId> = self.tasks.values().map(|entry| entry.row.head.id).collect();
        self.no_tasks.extend(wanted.tasks.iter().filter(|id| !locked.contains(id)));
    }

    /// Loads the subtasks that are named, with what is near them.
    fn load_wanted(&mut self, wanted: &Wanted) -> Result<()> {
        let mut blocks = self.known_blocks(wanted);
        for id in &wanted.plans {
            if let Some(&task) = self.known.task_keys.get(id)
                && let Some(entry) = self.tasks.get(&task)
            {
                blocks.extend((0..entry.row.total).map(|position| block(task.subtask(position as u16))));
            }
        }
        self.load_blocks(blocks)
    }
}

fn time_of(rows: &[Row]) -> Result<Timestamp> {
    codec::sure_time(rows.first().ok_or_else(|| DbError::Missing("PostgreSQL's time".into()))?, 0)
}
