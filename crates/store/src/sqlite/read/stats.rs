//! How many there are of what, lanes, and the store itself.

use std::collections::BTreeMap;

use regatta_model::routing::Lane;
use regatta_model::subtask::State;
use regatta_model::{LaneKey, SubtaskStatus, TaskStatus, Timestamp, WorkerStatus};
use rusqlite::OptionalExtension;

use super::workers::silent_since;
use super::{Reader, Result};
use crate::query::Counters;
use crate::sqlite::error::DbError;
use crate::sqlite::restore::RESTORED_AT;
use crate::sqlite::rows::{LAST_SWEEP, SUBTASKS, TASKS};
use crate::sqlite::{codec, sql};

impl Reader<'_> {
    pub(in crate::sqlite) fn counters(&self, now: Timestamp) -> Result<Counters> {
        self.snapshot(|| {
            let mut tasks: BTreeMap<TaskStatus, u64> = BTreeMap::new();
            let mut subtasks: BTreeMap<SubtaskStatus, u64> = BTreeMap::new();
            let rows: Vec<(i64, i64, i64)> =
                self.all(sql::READ_COUNTERS, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            for (kind, id, count) in rows {
                let (code, count) = (|id: i64| u8::try_from(id).unwrap_or(u8::MAX), count.max(0) as u64);
                match kind {
                    TASKS => {
                        if let Some(status) = TaskStatus::from_code(code(id / 256)) {
                            *tasks.entry(status).or_default() += count;
                        }
                    }
                    SUBTASKS => {
                        if let Some(state) = State::from_code(code(id)) {
                            *subtasks.entry(state.status()).or_default() += count;
                        }
                    }
                    _ => {}
                }
            }
            let mut workers = self.all(sql::COUNT_WORKERS_BY_STATUS, [silent_since(now)], |row| {
                let status = codec::word(row, 0, WorkerStatus::from_code, "a worker's status")?;
                Ok((status, row.get::<_, i64>(1)? as u64))
            })?;
            workers.sort();
            Ok(Counters {
                tasks: tasks.into_iter().filter(|&(_, count)| count > 0).collect(),
                subtasks: subtasks.into_iter().filter(|&(_, count)| count > 0).collect(),
                workers,
            })
        })
    }

    pub(in crate::sqlite) fn lanes(&self, after: LaneKey) -> Result<Vec<(LaneKey, Lane)>> {
        self.all(sql::LANES_AFTER, [after.0], |row| {
            let canonical = row.get_ref(1)?;
            let lane = canonical.as_str().ok().and_then(|text| serde_json::from_str(text).ok());
            Ok((LaneKey(row.get(0)?), lane.ok_or_else(|| DbError::Corrupt("a lane that cannot be read".into()))?))
        })
    }

    pub(in crate::sqlite) fn ready_lanes(&self) -> Result<Vec<(LaneKey, u64)>> {
        self.all(sql::READY_LANES, [], |row| Ok((LaneKey(row.get(0)?), row.get::<_, i64>(1)? as u64)))
    }

    pub(in crate::sqlite) fn restored_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.prepare(sql::META)?.query_row([RESTORED_AT], |row| row.get(0)).optional()?.map(Timestamp))
    }

    pub(in crate::sqlite) fn last_sweep(&self) -> Result<Option<Timestamp>> {
        Ok(self.prepare(sql::META)?.query_row([LAST_SWEEP], |row| row.get(0)).optional()?.map(Timestamp))
    }
}
