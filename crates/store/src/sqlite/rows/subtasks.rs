//! Subtasks: rows, texts, outputs, and the indexes over what is ready, due or leased.

use regatta_model::ledger::{SubtaskText, context_json};
use regatta_model::plan::Json;
use regatta_model::subtask::{Attempt, State, SubtaskRow};
use regatta_model::{LaneKey, SubtaskKey, TaskKey, Timestamp, WorkerKey};
use rusqlite::{OptionalExtension, params};

use super::order::Place;
use super::tasks::TaskEntry;
use super::{Inserts, Lazy, Result, SqliteRows, TEXT_KEPT};
use crate::pack::keys;
use crate::pack::subtask as packed;
use crate::sqlite::error::DbError;
use crate::sqlite::{codec, sql};

/// Subtasks that are loaded together, a power of two: from one whose position is a multiple of it.
const NEIGHBOURS: i64 = 16;

/// A subtask that was loaded or made.
pub(super) struct SubtaskEntry {
    row: SubtaskRow,
    /// Its state in the database; `None` when it is not there yet.
    written: Option<State>,
    changed: bool,
    /// Where it stands in the order, and whether it may have moved since.
    place: Place,
    unplaced: bool,
    /// Always there until it is written, then only when it is short.
    text: Option<SubtaskText>,
    /// The text is not written: it is put together again when it is wanted.
    usual: bool,
    /// Always there until it is written, then only when it is short.
    output: Option<Json>,
    output_changed: bool,
}

impl SubtaskEntry {
    /// As it is in the database.
    fn written(row: SubtaskRow) -> Self {
        let place = Place::of(&row);
        Self {
            written: Some(row.state),
            row,
            changed: false,
            place,
            unplaced: false,
            text: None,
            usual: false,
            output: None,
            output_changed: false,
        }
    }

    /// The result is in the database.
    fn written_output(&mut self) {
        self.output_changed = false;
        if self.output.as_ref().is_some_and(|output| output.len() > TEXT_KEPT) {
            self.output = None;
        }
    }

    /// Not written yet.
    fn new(row: SubtaskRow, text: SubtaskText, usual: bool) -> Self {
        Self {
            row,
            written: None,
            changed: true,
            place: Place::default(),
            unplaced: true,
            text: Some(text),
            usual,
            output: None,
            output_changed: false,
        }
    }
}

/// Whether a text is not worth its room in memory once it is written.
fn is_long(text: &SubtaskText) -> bool {
    text.description.len() + text.input.as_ref().map_or(0, |input| input.len()) > TEXT_KEPT
}

/// What a step without words of its own is to do, as long as its task's description is short: the same is put together
/// in `read_subtask.sql`.
fn usual_description(name: &str, summary: &str) -> String {
    format!("{name}: {summary}")
}

fn missing(key: SubtaskKey) -> DbError {
    DbError::Missing(format!("there is no subtask with key {}", key.0))
}

impl SqliteRows {
    /// Whether there is such a subtask; then it is in the cache. So are its neighbours after that: who wants a subtask
    /// wants the others of its task soon, and a statement costs more than the rows it finds.
    fn load_subtask(&mut self, key: SubtaskKey) -> Result<bool> {
        if self.subtasks.has(key) {
            return Ok(true);
        }
        let first = key.0 & !(NEIGHBOURS - 1);
        let mut statement = self.conn.prepare_cached(sql::LIST_SUBTASKS)?;
        let mut rows = statement.query(params![first, first + NEIGHBOURS - 1, -1])?;
        let mut found = false;
        let mut task = None;
        while let Some(row) = rows.next()? {
            let neighbour = SubtaskKey(row.get(0)?);
            found |= neighbour == key;
            // One that is here may have changed since it was written.
            if self.subtasks.has(neighbour) {
                continue;
            }
            // Its id is made from its task's, and whoever wants a subtask wants its task next.
            let task = match task {
                Some(task) => task,
                None => {
                    if !self.tasks.has(key.task()) {
                        self.tasks.insert(key.task(), TaskEntry::load(&self.conn, key.task())?);
                    }
                    *task.insert(self.tasks.get(key.task()).ok_or_else(|| missing(key))?.row.head.id)
                }
            };
            self.subtasks.insert(neighbour, SubtaskEntry::written(codec::subtask_row(row, task)?));
        }
        Ok(found)
    }

    pub(super) fn subtask_row(&mut self, key: SubtaskKey) -> Result<Option<&SubtaskRow>> {
        self.load_subtask(key)?;
        Ok(self.subtasks.get(key).map(|entry| &entry.row))
    }

    fn change_entry(&mut self, key: SubtaskKey) -> Result<&mut SubtaskEntry> {
        self.load_subtask(key)?;
        let entry = self.subtasks.get_mut(key).ok_or_else(|| missing(key))?;
        if !entry.changed {
            entry.changed = true;
            self.changed_subtasks.push(key);
        }
        if !entry.unplaced {
            entry.unplaced = true;
            self.unplaced.push(key);
        }
        Ok(entry)
    }

    pub(super) fn change_subtask(&mut self, key: SubtaskKey) -> Result<&mut SubtaskRow> {
        Ok(&mut self.change_entry(key)?.row)
    }

    pub(super) fn add_subtask(&mut self, row: SubtaskRow, text: SubtaskText) -> Result<()> {
        let key = row.head.key;
        let usual = self.is_usual(key, &row.head.name, &text)?;
        self.subtasks.insert(key, SubtaskEntry::new(row, text, usual));
        self.changed_subtasks.push(key);
        self.unplaced.push(key);
        Ok(())
    }

    pub(super) fn keep_output(&mut self, key: SubtaskKey, output: Json) -> Result<()> {
        let entry = self.change_entry(key)?;
        entry.output = Some(output);
        entry.output_changed = true;
        Ok(())
    }

    pub(super) fn text(&mut self, key: SubtaskKey) -> Result<SubtaskText> {
        if let Some(text) = self.subtasks.get(key).and_then(|entry| entry.text.as_ref()) {
            return Ok(text.clone());
        }
        let kept = self
            .conn
            .prepare_cached(sql::SUBTASK_TEXT)?
            .query_row([key.0], |row| Ok(SubtaskText { description: row.get(0)?, input: row.get(1)? }))
            .optional()?;
        if let Some(text) = kept {
            return Ok(text);
        }
        let name = self.subtask_row(key)?.ok_or_else(|| missing(key))?.head.name.clone();
        let description = usual_description(&name, &self.task_row(key.task())?.head.summary);
        Ok(SubtaskText { description: description.into(), input: None })
    }

    /// Whether a subtask's text is what is made up for one without a row of texts, which is cheaper than to keep it.
    fn is_usual(&mut self, key: SubtaskKey, name: &str, text: &SubtaskText) -> Result<bool> {
        let summary = &self.task_row(key.task())?.head.summary;
        let rest = text.description.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
        Ok(text.input.is_none() && rest == Some(&**summary))
    }

    pub(super) fn outputs_of(&mut self, task: TaskKey, dependencies: &[u16]) -> Result<Json> {
        let mut outputs = Vec::with_capacity(dependencies.len());
        for &position in dependencies {
            let key = task.subtask(position);
            let kept = self.subtasks.get(key);
            if let Some((entry, output)) = kept.and_then(|entry| Some((entry, entry.output.clone()?))) {
                outputs.push((entry.row.head.name.clone(), output));
                continue;
            }
            let found = self
                .conn
                .prepare_cached(sql::SUBTASK_OUTPUT)?
                .query_row([key.0], |row| Ok((row.get(0)?, row.get::<_, Option<Json>>(1)?)))
                .optional()?;
            let (name, output) = found.ok_or_else(|| missing(key))?;
            outputs.push((name, output.unwrap_or_else(|| "{}".into())));
        }
        Ok(context_json(outputs))
    }

    /// Keys of a task's subtasks in states that do: from the cache when all are there, as right after a plan
    /// was written down, which saves writing it twice.
    fn subtasks_where(&mut self, task: TaskKey, wanted: fn(State) -> bool, sql: &str) -> Result<Vec<SubtaskKey>> {
        let total = self.task_row(task)?.total;
        let mut found = Vec::new();
        let whole = (0..total).all(|position| {
            let key = task.subtask(position as u16);
            match self.subtasks.get(key) {
                Some(entry) => {
                    if wanted(entry.row.state) {
                        found.push(key);
                    }
                    true
                }
                None => false,
            }
        });
        if whole {
            return Ok(found);
        }
        self.flush_subtasks()?;
        let (first, last) = keys::subtask_range(task);
        self.keys(sql, [first, last])
    }

    pub(super) fn find_unfinished(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>> {
        self.subtasks_where(task, |state| !state.is_ended(), sql::UNFINISHED)
    }

    pub(super) fn find_restartable(&mut self, task: TaskKey) -> Result<Vec<SubtaskKey>> {
        self.subtasks_where(task, |state| matches!(state, State::Failed | State::Cancelled), sql::RESTARTABLE)
    }

    pub(super) fn find_leased_by(&mut self, worker: WorkerKey) -> Result<Vec<SubtaskKey>> {
        self.flush_subtasks()?;
        self.keys(sql::LEASED_BY, [worker.0])
    }

    pub(super) fn find_leased(&mut self) -> Result<Vec<SubtaskKey>> {
        self.flush_subtasks()?;
        self.keys(sql::LEASED, [])
    }

    /// Lets the order know what has changed.
    fn place(&mut self) {
        for key in self.unplaced.drain(..) {
            // A deleted one is not here any more.
            let Some(entry) = self.subtasks.get_mut(key) else { continue };
            entry.unplaced = false;
            let place = Place::of(&entry.row);
            self.order.moved(key, entry.place, place);
            entry.place = place;
        }
    }

    pub(super) fn find_ready(&mut self, lanes: &[LaneKey], limit: u32) -> Vec<SubtaskKey> {
        self.place();
        self.order.ready(lanes, limit)
    }

    pub(super) fn find_due(&mut self, now: Timestamp, limit: u32) -> Vec<SubtaskKey> {
        self.place();
        self.order.due(now, limit)
    }

    pub(super) fn find_next_due(&mut self) -> Option<Timestamp> {
        self.place();
        self.order.next_due()
    }

    pub(super) fn keep_attempt(&mut self, key: SubtaskKey, attempt: &Attempt) -> Result<()> {
        self.conn.prepare_cached(sql::INSERT_ATTEMPT)?.execute(params![
            key.0,
            attempt.attempt,
            attempt.worker.uuid().as_bytes(),
            attempt.tool,
            attempt.started_at.0,
            attempt.ended_at.map(|at| at.0),
            attempt.outcome.code(),
            attempt.error,
            attempt.exit_code,
        ])?;
        Ok(())
    }

    /// Forgets all subtasks of a task.
    /// Takes the subtasks of a task out of the counts and out of memory.
    pub(super) fn uncount_subtasks(&mut self, task: TaskKey) -> Result<()> {
        self.flush_subtasks()?;
        let (first, last) = keys::subtask_range(task);
        let mut statement = self.conn.prepare_cached(sql::COUNT_SUBTASKS_OF)?;
        let mut rows = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            let state = codec::word(row, 0, State::from_code, "a subtask's state")?;
            self.counters.subtask(state, LaneKey(row.get(1)?), -row.get::<_, i64>(2)?);
        }
        drop(rows);
        drop(statement);
        let total = self.task_row(task)?.total;
        for position in 0..total {
            let key = task.subtask(position as u16);
            if let Some(entry) = self.subtasks.remove(key) {
                self.order.moved(key, entry.place, Place::default());
            }
        }
        Ok(())
    }

    pub(super) fn forget_subtasks(&mut self, task: TaskKey) -> Result<()> {
        self.uncount_subtasks(task)?;
        let (first, last) = keys::subtask_range(task);
        self.conn.prepare_cached(sql::DELETE_SUBTASKS)?.execute([first, last])?;
        self.conn.prepare_cached(sql::DELETE_TEXTS)?.execute([first, last])?;
        self.conn.prepare_cached(sql::DELETE_ATTEMPTS)?.execute([first, last])?;
        Ok(())
    }

    pub(super) fn flush_subtasks(&mut self) -> Result<()> {
        self.place();
        let mut changed = std::mem::take(&mut self.changed_subtasks);
        // In order of key, so that new rows are appended and neighbours share pages.
        changed.sort_unstable();
        // Looking a statement up costs a hash of its text, so it is done once for all rows.
        let mut update = Lazy::new(&self.conn, sql::UPDATE_SUBTASK);
        let mut update_output = Lazy::new(&self.conn, sql::UPDATE_SUBTASK_OUTPUT);
        let new =
            changed.iter().filter(|&&key| self.subtasks.get(key).is_some_and(|entry| entry.written.is_none())).count();
        let mut insert = Inserts::new(&self.conn, sql::INSERT_SUBTASK, &sql::INSERT_SUBTASKS, new);
        let mut insert_text = Lazy::new(&self.conn, sql::INSERT_TEXT);
        let (mut changing, mut head, mut with_output) = (Vec::new(), Vec::new(), Vec::new());
        for key in changed.drain(..) {
            let Some(entry) = self.subtasks.get_mut(key) else { continue };
            entry.changed = false;
            let (row, lane) = (&entry.row, entry.row.head.lane);
            let (state, worker) = (row.state.code(), row.holder.as_ref().map(|holder| holder.worker.0));
            packed::changing(row, &mut changing);
            if entry.written.is_none() {
                let text = entry.text.as_ref().ok_or_else(|| missing(key))?;
                packed::head(&row.head, &mut head);
                insert.add(params![key.0, state, lane.0, row.rank, worker, changing, head, row.head.name])?;
                if !entry.usual {
                    insert_text.get()?.execute(params![key.0, text.description, text.input])?;
                }
            }
            if entry.output_changed && entry.written.is_none() {
                // A plan that is begun and ended in one group: its row may not be there yet.
                with_output.push(key);
            } else if entry.output_changed {
                let output = &entry.output;
                update_output.get()?.execute(params![key.0, state, row.rank, worker, changing, output])?;
            } else if entry.written.is_some() {
                update.get()?.execute(params![key.0, state, row.rank, worker, changing])?;
            }
            if entry.written != Some(row.state) {
                if let Some(before) = entry.written {
                    self.counters.subtask(before, lane, -1);
                }
                self.counters.subtask(row.state, lane, 1);
            }
            if entry.written.replace(row.state).is_some() {
                entry.written_output();
            }
            if entry.text.as_ref().is_some_and(is_long) {
                entry.text = None;
            }
        }
        insert.end()?;
        for key in with_output {
            let Some(entry) = self.subtasks.get_mut(key) else { continue };
            let row = &entry.row;
            let worker = row.holder.as_ref().map(|holder| holder.worker.0);
            packed::changing(row, &mut changing);
            update_output.get()?.execute(params![key.0, row.state.code(), row.rank, worker, changing, entry.output])?;
            entry.written_output();
        }
        self.changed_subtasks = changed;
        Ok(())
    }
}
