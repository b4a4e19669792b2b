//! How many there are of what, moved by the transactions that change it.

use regatta_model::subtask::State;
use regatta_model::{LaneKey, TaskStatus, TaskType};
use rusqlite::{Connection, params};

use super::{Lazy, Result};
use crate::sqlite::cache::KeyMap;
use crate::sqlite::sql;

/// Tasks; the id is [`tasks_id`].
pub(in crate::sqlite) const TASKS: i64 = 0;
/// Subtasks by the code of their state.
pub(in crate::sqlite) const SUBTASKS: i64 = 1;
/// Ready subtasks by lane.
const READY: i64 = 2;

/// What has changed and is not written yet.
#[derive(Default)]
pub(super) struct Counters {
    unwritten: KeyMap<(i64, i64), i64>,
}

/// The id under which tasks of a status and a type are counted.
fn tasks_id(status: TaskStatus, task_type: TaskType) -> i64 {
    i64::from(status.code()) * 256 + i64::from(task_type.code())
}

impl Counters {
    pub(super) fn task(&mut self, status: TaskStatus, task_type: TaskType, by: i64) {
        *self.unwritten.entry((TASKS, tasks_id(status, task_type))).or_default() += by;
    }

    pub(super) fn subtask(&mut self, state: State, lane: LaneKey, by: i64) {
        *self.unwritten.entry((SUBTASKS, i64::from(state.code()))).or_default() += by;
        if state == State::Ready {
            *self.unwritten.entry((READY, lane.0)).or_default() += by;
        }
    }

    pub(super) fn flush(&mut self, conn: &Connection) -> Result<()> {
        let mut raise = Lazy::new(conn, sql::RAISE_COUNT);
        for ((kind, id), by) in self.unwritten.drain() {
            // Half the work of an INSERT with ON CONFLICT, and nearly always it is there.
            if by != 0 && raise.get()?.execute(params![kind, id, by])? == 0 {
                conn.prepare_cached(sql::INSERT_COUNT)?.execute(params![kind, id, by])?;
            }
        }
        Ok(())
    }
}
