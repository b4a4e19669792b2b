//! Subtasks: rows, texts, results, and what indexes know of them. Nobody changes one without its task's lock.

use std::collections::BTreeSet;

use regatta_model::ledger::{SubtaskText, context_json};
use regatta_model::plan::Json;
use regatta_model::subtask::{Attempt, State, SubtaskRow};
use regatta_model::{LaneKey, SubtaskKey, TaskKey, Timestamp, WorkerKey};
use tokio_postgres::Row;

use super::PostgresRows;
use crate::pack::keys;
use crate::pack::subtask as packed;
use crate::postgres::error::DbError;
use crate::postgres::link::{Batch, Param, Result};
use crate::postgres::{codec, sql};

/// Subtasks that are loaded together, a power of two: from one whose position is a multiple of it. Who wants a subtask
/// wants its neighbours soon.
const NEIGHBOURS: i64 = 16;

/// A subtask that was loaded or made.
pub(super) struct SubtaskEntry {
    pub(super) row: SubtaskRow,
    /// Its state in the database; `None` when it is not there yet.
    written: Option<State>,
    changed: bool,
    /// Of one that is not written yet.
    text: Option<SubtaskText>,
    /// A result that is not written yet.
    output: Option<Json>,
    output_changed: bool,
}

/// What a step without words of its own is to do, as long as its task's description is short: the same is put together
/// in `read_subtask.sql`.
fn usual_description(name: &str, summary: &str) -> String {
    format!("{name}: {summary}")
}

fn missing(key: SubtaskKey) -> DbError {
    DbError::Missing(format!("there is no subtask with key {}", key.0))
}

fn key_of(row: &Row) -> Result<SubtaskKey> {
    Ok(SubtaskKey(codec::get(row, 0)?))
}

/// The first key of the block that holds this one.
pub(super) fn block(key: SubtaskKey) -> i64 {
    key.0 & !(NEIGHBOURS - 1)
}

/// What `load_blocks.sql` is asked with.
pub(super) fn block_params(blocks: &BTreeSet<i64>) -> Vec<Param> {
    vec![Box::new(blocks.iter().copied().collect::<Vec<i64>>()), Box::new(NEIGHBOURS - 1)]
}

impl PostgresRows {
    /// Takes rows that were read after their tasks were locked.
    fn take_subtasks<'a>(&mut self, rows: impl IntoIterator<Item = &'a Row>) -> Result<()> {
        for found in rows {
            let key = key_of(found)?;
            // One that is here may have changed.
            if self.subtasks.contains_key(&key) {
                continue;
            }
            let task = self.task_row(key.task())?.head.id;
            let row = codec::subtask_row(found, task)?;
            let written = Some(row.state);
            let entry = SubtaskEntry { row, written, changed: false, text: None, output: None, output_changed: false };
            self.subtasks.insert(key, entry);
        }
        Ok(())
    }

    /// Loads blocks that are not here. Their tasks must be locked; those of new tasks are here as they are made.
    pub(super) fn load_blocks(&mut self, blocks: BTreeSet<i64>) -> Result<()> {
        let wanted: Vec<i64> = blocks
            .into_iter()
            .filter(|&block| {
                let task = self.tasks.get(&SubtaskKey(block).task());
                task.is_some_and(|task| !task.is_new()) && self.blocks.insert(block)
            })
            .collect();
        if !wanted.is_empty() {
            let rows = self.link.query(sql::LOAD_BLOCKS, &[&wanted, &(NEIGHBOURS - 1)])?;
            self.take_subtasks(&rows)?;
        }
        Ok(())
    }

    /// Takes blocks that were asked for in the trip that locks their tasks, right behind it; subtasks of a task that is not
    /// there any more are nobody's.
    pub(super) fn take_blocks(&mut self, blocks: BTreeSet<i64>, rows: &[Row]) -> Result<()> {
        self.blocks.extend(blocks.into_iter().filter(|&block| self.tasks.contains_key(&SubtaskKey(block).task())));
        let mut there = Vec::with_capacity(rows.len());
        for row in rows {
            if self.tasks.contains_key(&key_of(row)?.task()) {
                there.push(row);
            }
        }
        self.take_subtasks(there)
    }

    /// Loads just these. Their tasks are locked here, where they are not yet.
    pub(super) fn load_subtasks(&mut self, wanted: &[SubtaskKey]) -> Result<()> {
        self.lock_tasks(wanted.iter().map(|key| key.task()))?;
        let keys: Vec<i64> = wanted.iter().filter(|key| !self.subtasks.contains_key(key)).map(|key| key.0).collect();
        if !keys.is_empty() {
            let rows = self.link.query(sql::SUBTASKS_BY_KEYS, &[&keys])?;
            self.take_subtasks(&rows)?;
        }
        Ok(())
    }

    /// Whether there is such a subtask; then it is loaded.
    fn load_subtask(&mut self, key: SubtaskKey) -> Result<bool> {
        if !self.subtasks.contains_key(&key) {
            self.lock_tasks([key.task()])?;
            self.load_blocks([block(key)].into())?;
        }
        Ok(self.subtasks.contains_key(&key))
    }

    /// Every subtask of a task.
    pub(super) fn load_plan(&mut self, task: TaskKey) -> Result<()> {
        let total = i64::from(self.task_row(task)?.total);
        let first = task.subtask(0).0;
        self.load_blocks((first..first + total).step_by(NEIGHBOURS as usize).collect())
    }

    pub(super) fn subtask_row(&mut self, key: SubtaskKey) -> Result<Option<&SubtaskRow>> {
        self.load_subtask(key)?;
        Ok(self.subtasks.get(&key).map(|entry| &entry.row))
    }

    pub(super) fn change_subtask(&mut self, key: SubtaskKey) -> Result<&mut SubtaskRow> {
        self.load_subtask(key)?;
        let entry = self.subtasks.get_mut(&key).ok_or_else(|| missing(key))?;
        entry.changed = true;
        Ok(&mut entry.row)
    }

    pub(super) fn add_subtask(&mut self, row: SubtaskRow, text: SubtaskText) {
        let entry =
            SubtaskEntry { written: None, changed: true, text: Some(text), output: None, output_changed: false, row };
        self.subtasks.insert(entry.row.head.key, entry);
    }

    pub(super) fn keep_output(&mut self, key: SubtaskKey, output: Json) -> Result<()> {
        self.change_subtask(key)?;
        let entry = self.subtasks.get_mut(&key).ok_or_else(|| missing(key))?;
        entry.output = Some(output);
        entry.output_changed = true;
        Ok(())
    }

    pub(super) fn text(&mut self, key: SubtaskKey) -> Result<SubtaskText> {
        if let Some(text) = self.subtasks.get(&key).and_then(|entry| entry.text.as_ref()) {
            return Ok(text.clone());
        }
        if let Some(text) = self.texts.get(&key) {
            return Ok(text.clone());
        }
        let text = self.read_text(key)?;
        self.texts.insert(key, text.clone());
        Ok(text)
    }

    /// Reads a text; where none is kept it is what is usual.
    fn read_text(&mut self, key: SubtaskKey) -> Result<SubtaskText> {
        match self.link.query(sql::SUBTASK_TEXTS, &[&vec![key.0]])?.first() {
            Some(row) => Ok(SubtaskText { description: codec::text(row, 1)?, input: codec::maybe_text(row, 2)? }),
            None => self.usual_text(key),
        }
    }

    fn usual_text(&mut self, key: SubtaskKey) -> Result<SubtaskText> {
        let name = self.subtask_row(key)?.ok_or_else(|| missing(key))?.head.name.clone();
        let description = usual_description(&name, &self.task_row(key.task())?.head.summary);
        Ok(SubtaskText { description: description.into(), input: None })
    }

    /// Reads results of dependencies ahead.
    fn read_outputs(&mut self, wanted: &[SubtaskKey]) -> Result<()> {
        let keys: Vec<i64> = wanted.iter().filter(|key| !self.outputs.contains_key(key)).map(|key| key.0).collect();
        if !keys.is_empty() {
            for row in self.link.query(sql::SUBTASK_OUTPUTS, &[&keys])? {
                self.outputs.insert(key_of(&row)?, (codec::text(&row, 1)?, codec::maybe_text(&row, 2)?));
            }
        }
        Ok(())
    }

    pub(super) fn outputs_of(&mut self, task: TaskKey, dependencies: &[u16]) -> Result<Json> {
        let wanted: Vec<SubtaskKey> = dependencies.iter().map(|&position| task.subtask(position)).collect();
        self.read_outputs(&wanted)?;
        let mut outputs = Vec::with_capacity(wanted.len());
        for key in wanted {
            let unwritten = self.subtasks.get(&key).filter(|entry| entry.output.is_some());
            let (name, output) = match unwritten {
                Some(entry) => (entry.row.head.name.clone(), entry.output.clone()),
                None => self.outputs.get(&key).cloned().ok_or_else(|| missing(key))?,
            };
            outputs.push((name, output.unwrap_or_else(|| "{}".into())));
        }
        Ok(context_json(outputs))
    }

    fn plan_where(&mut self, task: TaskKey, wanted: fn(State) -> bool) -> Result<Vec<SubtaskKey>> {
        self.load_plan(task)?;
        let (first, last) = keys::subtask_range(task);
        let range = self.subtasks.range(SubtaskKey(first)..=SubtaskKey(last));
        Ok(range.filter(|(_, entry)| wanted(entry.row.state)).map(|(&key, _)| key).collect())
    }

    pub(super) fn find_unfinished(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>> {
        self.plan_where(task, |state| !state.is_ended())
    }

    pub(super) fn find_restartable(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>> {
        self.plan_where(task, |state| matches!(state, State::Failed | State::Cancelled))
    }

    /// What the database says is leased, and what is so here; all loaded.
    fn leased_where(&mut self, found: &[Row], holds: impl Fn(&SubtaskRow) -> bool) -> Result<Vec<SubtaskKey>> {
        let found = found.iter().map(key_of).collect::<Result<Vec<_>>>()?;
        self.load_subtasks(&found)?;
        let leased = |entry: &SubtaskEntry| entry.row.state == State::Leased && holds(&entry.row);
        Ok(self.subtasks.iter().filter(|(_, entry)| leased(entry)).map(|(&key, _)| key).collect())
    }

    pub(super) fn find_leased_by(&mut self, worker: WorkerKey) -> Result<Vec<SubtaskKey>> {
        let found = self.link.query(sql::LEASED_BY, &[&worker.0])?;
        self.leased_where(&found, |row| row.holder.as_ref().is_some_and(|holder| holder.worker == worker))
    }

    pub(super) fn find_leased(&mut self) -> Result<Vec<SubtaskKey>> {
        let found = self.link.query(sql::LEASED, &[])?;
        self.leased_where(&found, |_| true)
    }

    /// What is ready in the database, locked where nobody else has it, and what is so here.
    pub(super) fn find_ready(&mut self, lanes: &[LaneKey], limit: u32) -> Result<Vec<SubtaskKey>> {
        let lane_keys: Vec<i64> = lanes.iter().map(|lane| lane.0).collect::<BTreeSet<_>>().into_iter().collect();
        // As many more as are loaded and may not be ready any more.
        let known = self.subtasks.values().filter(|entry| entry.written == Some(State::Ready)).count() as i64;
        let limit_here = i64::from(limit) + known;
        // In one trip: each statement sees what is there when it begins, so the second reads rows that the first has locked.
        let mut batch = Batch::default();
        batch.add(sql::LOCK_READY, vec![Box::new(lane_keys.clone()), Box::new(limit_here)]);
        batch.add(sql::READY, vec![Box::new(lane_keys), Box::new(limit_here)]);
        let answers = self.link.pipeline(&batch)?;
        let [locked, found] = answers.as_slice() else { return Err(DbError::Missing("what is ready".into())) };
        self.take_tasks(locked)?;
        let mut ours = Vec::with_capacity(found.len());
        for row in found {
            let key = key_of(row)?;
            if self.tasks.contains_key(&key.task()) {
                ours.push(row);
            } else {
                self.skipped.insert(key.task());
            }
        }
        self.take_subtasks(ours.iter().copied())?;
        for row in ours {
            let key = key_of(row)?;
            let text = match codec::maybe_text(row, 8)? {
                Some(description) => SubtaskText { description, input: codec::maybe_text(row, 9)? },
                None => self.usual_text(key)?,
            };
            self.texts.entry(key).or_insert(text);
        }
        let mut ready: Vec<(i64, SubtaskKey)> = self
            .subtasks
            .iter()
            .filter(|(_, entry)| entry.row.state == State::Ready && lanes.contains(&entry.row.head.lane))
            .map(|(&key, entry)| (entry.row.rank, key))
            .collect();
        ready.sort_unstable();
        ready.truncate(limit as usize);
        let keys: Vec<SubtaskKey> = ready.into_iter().map(|(_, key)| key).collect();
        self.read_ahead(&keys)?;
        Ok(keys)
    }

    /// The results that assignments of these need, in one statement instead of one for each.
    fn read_ahead(&mut self, keys: &[SubtaskKey]) -> Result<()> {
        let dependencies: BTreeSet<SubtaskKey> = keys
            .iter()
            .filter_map(|key| self.subtasks.get(key))
            .filter(|entry| entry.written.is_some())
            .flat_map(|entry| {
                let head = &entry.row.head;
                head.dependencies.iter().map(|&position| head.key.task().subtask(position))
            })
            .collect();
        self.read_outputs(&dependencies.into_iter().collect::<Vec<_>>())
    }

    /// Of what is loaded: what is in others' hands is looked at by the next sweep.
    pub(super) fn find_due(&mut self, now: Timestamp, limit: u32) -> Vec<SubtaskKey> {
        let mut due: Vec<(Timestamp, SubtaskKey)> = self
            .subtasks
            .iter()
            .filter_map(|(&key, entry)| Some((entry.row.due_at.filter(|&at| at <= now)?, key)))
            .collect();
        due.sort_unstable();
        due.truncate(limit as usize);
        due.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn find_next_due(&mut self) -> Result<Option<Timestamp>> {
        let known = self.subtasks.len() as i64 + 1;
        let found = self.link.query(sql::NEXT_DUE, &[&known])?;
        let mut earliest = self.subtasks.values().filter_map(|entry| entry.row.due_at).min();
        for row in &found {
            if !self.subtasks.contains_key(&key_of(row)?) {
                let at = codec::sure_time(row, 1)?;
                earliest = Some(earliest.map_or(at, |known| known.min(at)));
                break;
            }
        }
        Ok(earliest)
    }

    pub(super) fn keep_attempt(&mut self, key: SubtaskKey, attempt: Attempt) {
        self.changes.attempts.push((key, attempt));
    }

    /// Takes the subtasks of a task out of the counts and out of memory. Call after a flush.
    pub(super) fn uncount_subtasks(&mut self, task: TaskKey) -> Result<()> {
        let (first, last) = keys::subtask_range(task);
        for row in self.link.query(sql::COUNT_SUBTASKS_OF, &[&first, &last])? {
            let state = codec::word(&row, 0, State::from_code, "a subtask's state")?;
            self.counters.subtask(state, LaneKey(codec::get(&row, 1)?), -codec::get::<i64>(&row, 2)?);
        }
        self.subtasks.retain(|key, _| key.task() != task);
        Ok(())
    }

    /// Forgets all subtasks of a task.
    pub(super) fn forget_subtasks(&mut self, task: TaskKey) -> Result<()> {
        self.flush()?;
        self.uncount_subtasks(task)?;
        let (first, last) = keys::subtask_range(task);
        let mut batch = Batch::default();
        for statement in [sql::DELETE_SUBTASKS, sql::DELETE_TEXTS, sql::DELETE_ATTEMPTS] {
            batch.add(statement, vec![Box::new(first), Box::new(last)]);
        }
        self.link.pipeline(&batch)?;
        Ok(())
    }

    pub(super) fn write_subtasks(&mut self, batch: &mut Batch) -> Result<()> {
        let mut inserted = Columns::default();
        let (mut updated, mut ended) = (Columns::default(), Columns::default());
        let (mut heads, mut names, mut lanes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut text_keys, mut descriptions, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut outputs: Vec<Option<String>> = Vec::new();
        for (key, entry) in &mut self.subtasks {
            if !std::mem::take(&mut entry.changed) {
                continue;
            }
            let (row, lane) = (&entry.row, entry.row.head.lane);
            let new = entry.written.is_none();
            if new {
                let mut head = Vec::new();
                packed::head(&row.head, &mut head);
                heads.push(head);
                names.push(codec::kept(&row.head.name));
                lanes.push(lane.0);
                inserted.push(row);
                let text = entry.text.take().ok_or_else(|| missing(*key))?;
                let summary = self.tasks.get(&key.task()).map(|task| task.row.head.summary.clone());
                let rest = text.description.strip_prefix(&*row.head.name).and_then(|rest| rest.strip_prefix(": "));
                // One that is made up when it is wanted has no row.
                if text.input.is_some() || rest.is_none() || rest != summary.as_deref() {
                    text_keys.push(key.0);
                    descriptions.push(codec::kept(&text.description));
                    inputs.push(text.input.as_ref().map(|input| codec::kept(input)));
                }
                self.texts.insert(*key, text);
            }
            if entry.output_changed {
                // A new row has its result already when a plan that is begun and ended in one group is written.
                ended.push(row);
                outputs.push(entry.output.as_ref().map(|output| codec::kept(output)));
                self.outputs.insert(*key, (row.head.name.clone(), entry.output.take()));
            } else if !new {
                updated.push(row);
            }
            if entry.written != Some(row.state) {
                if let Some(before) = entry.written {
                    self.counters.subtask(before, lane, -1);
                }
                self.counters.subtask(row.state, lane, 1);
            }
            entry.written = Some(row.state);
            entry.output_changed = false;
        }
        if !inserted.keys.is_empty() {
            let Columns { keys, states, ranks, dues, workers, changing } = inserted;
            batch.add(
                sql::INSERT_SUBTASKS,
                vec![
                    Box::new(keys),
                    Box::new(states),
                    Box::new(lanes),
                    Box::new(ranks),
                    Box::new(dues),
                    Box::new(workers),
                    Box::new(changing),
                    Box::new(heads),
                    Box::new(names),
                ],
            );
        }
        if !text_keys.is_empty() {
            batch.add(sql::INSERT_TEXTS, vec![Box::new(text_keys), Box::new(descriptions), Box::new(inputs)]);
        }
        for (statement, columns, outputs) in
            [(sql::UPDATE_SUBTASKS, updated, None), (sql::UPDATE_SUBTASKS_OUTPUT, ended, Some(outputs))]
        {
            let Columns { keys, states, ranks, dues, workers, changing } = columns;
            if keys.is_empty() {
                continue;
            }
            let mut params: Vec<Param> = vec![
                Box::new(keys),
                Box::new(states),
                Box::new(ranks),
                Box::new(dues),
                Box::new(workers),
                Box::new(changing),
            ];
            if let Some(outputs) = outputs {
                params.push(Box::new(outputs));
            }
            batch.add(statement, params);
        }
        Ok(())
    }
}

/// What every write of a subtask has.
#[derive(Default)]
struct Columns {
    keys: Vec<i64>,
    states: Vec<i16>,
    ranks: Vec<i64>,
    dues: Vec<Option<i64>>,
    workers: Vec<Option<i64>>,
    changing: Vec<Vec<u8>>,
}

impl Columns {
    fn push(&mut self, row: &SubtaskRow) {
        let mut changing = Vec::new();
        packed::changing(row, &mut changing);
        self.keys.push(row.head.key.0);
        self.states.push(row.state.code().into());
        self.ranks.push(row.rank);
        self.dues.push(row.due_at.map(|at| at.0));
        self.workers.push(row.holder.as_ref().map(|holder| holder.worker.0));
        self.changing.push(changing);
    }
}
