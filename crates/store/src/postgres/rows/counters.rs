//! How many there are of what, moved by the transactions that change it.

use std::collections::BTreeMap;

use regatta_model::subtask::State;
use regatta_model::{LaneKey, TaskStatus, TaskType};

use crate::postgres::link::Batch;
use crate::postgres::sql;

/// Tasks; the id is their status * 256 + their type.
pub(in crate::postgres) const TASKS: i16 = 0;
/// Subtasks by the code of their state.
pub(in crate::postgres) const SUBTASKS: i16 = 1;
/// Ready subtasks by lane.
const READY: i16 = 2;

/// What has changed and is not written yet; in order, so that no two writers that share rows wait for each other.
#[derive(Default)]
pub(super) struct Counters {
    unwritten: BTreeMap<(i16, i64), i64>,
}

impl Counters {
    pub(super) fn task(&mut self, status: TaskStatus, task_type: TaskType, by: i64) {
        let id = i64::from(status.code()) * 256 + i64::from(task_type.code());
        *self.unwritten.entry((TASKS, id)).or_default() += by;
    }

    pub(super) fn subtask(&mut self, state: State, lane: LaneKey, by: i64) {
        *self.unwritten.entry((SUBTASKS, i64::from(state.code()))).or_default() += by;
        if state == State::Ready {
            *self.unwritten.entry((READY, lane.0)).or_default() += by;
        }
    }

    pub(super) fn write(&mut self, shard: i64, batch: &mut Batch) {
        let unwritten: Vec<_> = std::mem::take(&mut self.unwritten).into_iter().filter(|&(_, by)| by != 0).collect();
        if !unwritten.is_empty() {
            batch.add(
                sql::RAISE_COUNTS,
                vec![
                    Box::new(unwritten.iter().map(|&((kind, _), _)| kind).collect::<Vec<i16>>()),
                    Box::new(unwritten.iter().map(|&((_, id), _)| id).collect::<Vec<i64>>()),
                    Box::new(unwritten.iter().map(|&(_, by)| by).collect::<Vec<i64>>()),
                    Box::new(shard),
                ],
            );
        }
    }
}
