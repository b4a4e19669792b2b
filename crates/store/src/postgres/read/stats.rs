//! How many there are of what, lanes, and the store itself.

use std::collections::BTreeMap;

use regatta_model::routing::Lane;
use regatta_model::subtask::State;
use regatta_model::{LaneKey, SubtaskStatus, TaskStatus, Timestamp, WorkerStatus};

use super::Reader;
use super::workers::silent_since;
use crate::postgres::error::DbError;
use crate::postgres::link::Result;
use crate::postgres::rows::{SUBTASKS, TASKS};
use crate::postgres::{codec, sql};
use crate::query::Counters;

impl Reader<'_> {
    pub(in crate::postgres) async fn counters(&self, now: Timestamp) -> Result<Counters> {
        self.snapshot(async {
            let mut tasks: BTreeMap<TaskStatus, u64> = BTreeMap::new();
            let mut subtasks: BTreeMap<SubtaskStatus, u64> = BTreeMap::new();
            for row in self.all(sql::READ_COUNTERS, &[]).await? {
                let (kind, id, count): (i16, i64, i64) =
                    (codec::get(&row, 0)?, codec::get(&row, 1)?, codec::get(&row, 2)?);
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
            let mut workers = Vec::new();
            for row in self.all(sql::COUNT_WORKERS_BY_STATUS, &[&silent_since(now)]).await? {
                let status = codec::word(&row, 0, WorkerStatus::from_code, "a worker's status")?;
                workers.push((status, codec::number(&row, 1)?));
            }
            workers.sort();
            Ok(Counters {
                tasks: tasks.into_iter().filter(|&(_, count)| count > 0).collect(),
                subtasks: subtasks.into_iter().filter(|&(_, count)| count > 0).collect(),
                workers,
            })
        })
        .await
    }

    pub(in crate::postgres) async fn lanes(&self, after: LaneKey) -> Result<Vec<(LaneKey, Lane)>> {
        let rows = self.all(sql::LANES_AFTER, &[&after.0]).await?;
        let lane = |row| -> Result<(LaneKey, Lane)> {
            let lane = serde_json::from_str(codec::get(row, 1)?).ok();
            Ok((
                LaneKey(codec::get(row, 0)?),
                lane.ok_or_else(|| DbError::Corrupt("a lane that cannot be read".into()))?,
            ))
        };
        rows.iter().map(lane).collect()
    }

    /// A single value.
    pub(in crate::postgres) async fn noted_text(&self, name: &str) -> Result<Option<String>> {
        let row = self.first(sql::META, &[&name]).await?;
        row.map(|row| codec::get(&row, 0)).transpose()
    }

    /// A time among the single values.
    pub(in crate::postgres) async fn noted(&self, name: &str) -> Result<Option<Timestamp>> {
        let Some(text) = self.noted_text(name).await? else { return Ok(None) };
        let at = text.parse().map_err(|_| DbError::Corrupt(format!("{text} as a time")))?;
        Ok(Some(Timestamp(at)))
    }

    /// The database's time, and what a trivial read takes.
    pub(in crate::postgres) async fn now(&self) -> Result<Timestamp> {
        let row = self.first(sql::NOW, &[]).await?;
        codec::sure_time(&row.ok_or_else(|| DbError::Missing("PostgreSQL's time".into()))?, 0)
    }
}
