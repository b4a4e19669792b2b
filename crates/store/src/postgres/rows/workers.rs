//! Workers: rows, registrations, figures; and lanes.

use std::collections::BTreeSet;
use std::sync::Arc;

use regatta_model::routing::Lane;
use regatta_model::worker::{Registration, Sample, WorkerRow};
use regatta_model::{LaneKey, Timestamp, WorkerId, WorkerKey};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::PostgresRows;
use crate::postgres::error::DbError;
use crate::postgres::link::{Batch, Result};
use crate::postgres::wanted::Wanted;
use crate::postgres::{codec, sql};

/// A worker that is locked, or that was made in this transaction.
pub(super) struct WorkerEntry {
    row: WorkerRow,
    /// As it is in the database; `None` when it is not there yet.
    written: Option<WorkerRow>,
}

fn missing(key: WorkerKey) -> DbError {
    DbError::Missing(format!("there is no worker with key {}", key.0))
}

impl PostgresRows {
    /// Takes rows of workers that were just locked, with the profiles that are not known of their sessions.
    pub(super) fn take_workers(&mut self, rows: &[Row]) -> Result<()> {
        let unknown = |row: &Row, known: &super::Known| -> Result<Option<i64>> {
            let (key, session): (i64, i64) = (codec::get(row, 0)?, codec::get(row, 2)?);
            let known = known.profiles.get(&WorkerKey(key)).is_some_and(|(of, _)| *of == session);
            Ok((!known).then_some(key))
        };
        let mut wanted = Vec::new();
        for row in rows {
            wanted.extend(unknown(row, &self.known)?);
        }
        let mut profiles = std::collections::HashMap::new();
        if !wanted.is_empty() {
            for row in self.link.query(sql::PROFILES, &[&wanted])? {
                profiles.insert(WorkerKey(codec::get(&row, 0)?), codec::profile(codec::get(&row, 1)?)?);
            }
        }
        for found in rows {
            let (key, session) = (WorkerKey(codec::get(found, 0)?), codec::get(found, 2)?);
            let profile = match profiles.remove(&key) {
                Some(profile) => {
                    self.known.profiles.insert(key, (session, profile.clone()));
                    profile
                }
                None => match self.known.profiles.get(&key) {
                    Some((_, profile)) => profile.clone(),
                    None => return Err(DbError::Corrupt(format!("worker {} without its profile", key.0))),
                },
            };
            let row = codec::worker_row(found, profile)?;
            self.worker_keys.insert(row.id, key);
            self.workers.entry(key).or_insert_with(|| WorkerEntry { written: Some(row.clone()), row });
        }
        Ok(())
    }

    /// Whether this worker is on the list; it is locked then, without waiting.
    fn lock_worker(&mut self, key: WorkerKey) -> Result<bool> {
        if self.workers.contains_key(&key) {
            return Ok(true);
        }
        if self.changes.removed_workers.contains(&key) {
            return Ok(false);
        }
        let rows = self.link.query(sql::LOCK_WORKERS_NOWAIT, &[&vec![key.0]]).map_err(|error| match error {
            DbError::Sql(sql) if sql.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                DbError::Locked(Box::new(Wanted { worker_keys: BTreeSet::from([key]), ..Wanted::default() }))
            }
            error => error,
        })?;
        self.take_workers(&rows)?;
        Ok(self.workers.contains_key(&key))
    }

    pub(super) fn worker_key(&mut self, id: WorkerId) -> Result<Option<WorkerKey>> {
        if self.no_workers.contains(&id) {
            return Ok(None);
        }
        let key = match self.worker_keys.get(&id) {
            Some(&key) => key,
            None => match self.link.query(sql::WORKER_BY_UUID, &[&id.uuid()])?.first() {
                Some(row) => WorkerKey(codec::get(row, 0)?),
                None => return Ok(None),
            },
        };
        Ok(self.lock_worker(key)?.then_some(key))
    }

    pub(super) fn machine_key(&mut self, machine_id: &str) -> Result<Option<WorkerKey>> {
        match self.machines.get(machine_id).copied() {
            Some(Some(key)) => Ok(self.lock_worker(key)?.then_some(key)),
            _ => Ok(None),
        }
    }

    pub(super) fn is_worker(&mut self, key: WorkerKey) -> Result<bool> {
        self.lock_worker(key)
    }

    pub(super) fn worker_row(&mut self, key: WorkerKey) -> Result<&WorkerRow> {
        self.lock_worker(key)?;
        self.workers.get(&key).map(|entry| &entry.row).ok_or_else(|| missing(key))
    }

    pub(super) fn change_worker(&mut self, key: WorkerKey) -> Result<&mut WorkerRow> {
        self.lock_worker(key)?;
        self.workers.get_mut(&key).map(|entry| &mut entry.row).ok_or_else(|| missing(key))
    }

    pub(super) fn add_worker(&mut self, registration: &Registration, now: Timestamp) -> Result<WorkerKey> {
        let row = self.link.query(sql::NEXT_WORKER_KEY, &[])?;
        let key = WorkerKey(codec::get(row.first().ok_or_else(|| missing(WorkerKey(0)))?, 0)?);
        let row = registration.first_row(key, now);
        self.save_profile(key, registration)?;
        self.worker_keys.insert(row.id, key);
        self.machines.insert(registration.profile.machine_id.clone(), Some(key));
        self.workers.insert(key, WorkerEntry { row, written: None });
        Ok(key)
    }

    fn save_profile(&mut self, key: WorkerKey, registration: &Registration) -> Result<()> {
        let json = serde_json::to_string(&*registration.profile).map_err(|error| {
            DbError::Pack(crate::pack::PackError::Limit(format!("the registration cannot be kept: {error}")))
        })?;
        self.changes.profiles.push((key, json, registration.system_info.clone()));
        Ok(())
    }

    pub(super) fn change_registration(&mut self, key: WorkerKey, registration: &Registration) -> Result<()> {
        self.save_profile(key, registration)?;
        self.change_worker(key)?.profile = registration.profile.clone();
        Ok(())
    }

    pub(super) fn forget_worker(&mut self, key: WorkerKey) -> Result<()> {
        let (id, machine) = {
            let row = self.worker_row(key)?;
            (row.id, row.profile.machine_id.clone())
        };
        self.workers.remove(&key);
        self.worker_keys.remove(&id);
        self.no_workers.insert(id);
        self.machines.insert(machine, None);
        self.known.profiles.remove(&key);
        self.changes.removed_workers.push(key);
        Ok(())
    }

    pub(super) fn keep_sample(&mut self, key: WorkerKey, sample: Sample) {
        self.changes.samples.push((key, sample));
    }

    pub(super) fn write_workers(&mut self, batch: &mut Batch) -> Result<()> {
        let (mut inserted, mut updated): (Vec<&WorkerRow>, Vec<&WorkerRow>) = (Vec::new(), Vec::new());
        for (key, entry) in &mut self.workers {
            if entry.written.as_ref() == Some(&entry.row) {
                continue;
            }
            // A session's profile is as it was when the session was made.
            let known = (entry.row.session, entry.row.profile.clone());
            let rows = if entry.written.is_some() { &mut updated } else { &mut inserted };
            if entry.written.as_ref().is_none_or(|written| written.session != entry.row.session) {
                self.known.profiles.insert(*key, known);
            }
            entry.written = Some(entry.row.clone());
            rows.push(&entry.row);
        }
        for (statement, rows) in [(sql::INSERT_WORKERS, inserted), (sql::UPDATE_WORKERS, updated)] {
            if rows.is_empty() {
                continue;
            }
            let number = |value: fn(&WorkerRow) -> i64| -> Box<Vec<i64>> {
                Box::new(rows.iter().map(|row| value(row)).collect())
            };
            let flag = |value: fn(&WorkerRow) -> bool| -> Box<Vec<bool>> {
                Box::new(rows.iter().map(|row| value(row)).collect())
            };
            let percent = |value: fn(&WorkerRow) -> Option<f64>| -> Box<Vec<Option<f64>>> {
                Box::new(rows.iter().map(|row| value(row)).collect())
            };
            let text = |value: fn(&WorkerRow) -> Option<&Arc<str>>| -> Box<Vec<Option<String>>> {
                Box::new(rows.iter().map(|row| value(row).map(|text| codec::kept(text))).collect())
            };
            batch.add(
                statement,
                vec![
                    number(|row| row.key.0),
                    Box::new(rows.iter().map(|row| row.id.uuid()).collect::<Vec<uuid::Uuid>>()),
                    Box::new(rows.iter().map(|row| codec::kept(&row.profile.machine_id)).collect::<Vec<String>>()),
                    number(|row| row.session),
                    number(|row| row.profile.slots.into()),
                    number(|row| row.used.into()),
                    Box::new(rows.iter().map(|row| row.said.code().into()).collect::<Vec<i16>>()),
                    flag(|row| row.draining),
                    flag(|row| row.unregistered),
                    flag(|row| row.uses_leases),
                    percent(|row| row.resources.cpu_percent),
                    percent(|row| row.resources.memory_percent),
                    percent(|row| row.resources.disk_percent),
                    text(|row| row.current_task.as_ref()),
                    number(|row| row.last_heartbeat.0),
                    number(|row| row.registered_at.0),
                    text(|row| row.figures.as_ref()),
                ],
            );
        }
        Ok(())
    }

    pub(super) fn lane_key(&mut self, lane: &Lane) -> Result<LaneKey> {
        // The steps of a plan are mostly in one, and comparing it costs less than hashing its texts.
        if let Some((last, key)) = &self.known.last_lane
            && last == lane
        {
            return Ok(*key);
        }
        let key = match self.known.lanes.get(lane) {
            Some(&key) => key,
            None => self.find_or_insert_lane(lane)?,
        };
        self.known.lanes.insert(lane.clone(), key);
        self.known.last_lane = Some((lane.clone(), key));
        Ok(key)
    }

    /// By a connection of its own, at once: in this transaction it would keep others with the same lane waiting.
    fn find_or_insert_lane(&mut self, lane: &Lane) -> Result<LaneKey> {
        let canonical = lane.canonical();
        self.lanes.connect()?;
        for statement in [sql::LANE_BY_CANONICAL, sql::INSERT_LANE, sql::LANE_BY_CANONICAL] {
            if let Some(row) = self.lanes.query(statement, &[&&*canonical])?.first() {
                return Ok(LaneKey(codec::get(row, 0)?));
            }
        }
        Err(DbError::Missing("a lane that was just made".into()))
    }
}
