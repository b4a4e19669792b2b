//! Workers: rows, registrations, figures; and lanes.

use regatta_model::routing::{Lane, Resources};
use regatta_model::worker::{Registration, SAMPLE_EVERY, SAMPLES_KEPT, Sample, WorkerRow};
use regatta_model::{LaneKey, Timestamp, WorkerId, WorkerKey};
use rusqlite::{OptionalExtension, params};

use super::{Result, SqliteRows};
use crate::sqlite::error::DbError;
use crate::sqlite::{codec, sql};

/// A worker that was loaded or made.
pub(super) struct WorkerEntry {
    row: WorkerRow,
    /// As it is in the database.
    written: WorkerRow,
    changed: bool,
}

fn missing(key: WorkerKey) -> DbError {
    DbError::Missing(format!("there is no worker with key {}", key.0))
}

impl SqliteRows {
    pub(super) fn worker_key(&mut self, id: WorkerId) -> Result<Option<WorkerKey>> {
        if let Some(&key) = self.worker_keys.get(&id) {
            return Ok(Some(key));
        }
        let mut statement = self.conn.prepare_cached(sql::WORKER_BY_UUID)?;
        let found = statement.query_row([id.uuid().as_bytes()], |row| row.get(0)).optional()?.map(WorkerKey);
        if let Some(key) = found {
            self.worker_keys.insert(id, key);
        }
        Ok(found)
    }

    pub(super) fn machine_key(&mut self, machine_id: &str) -> Result<Option<WorkerKey>> {
        let mut statement = self.conn.prepare_cached(sql::WORKER_BY_MACHINE)?;
        Ok(statement.query_row([machine_id], |row| row.get(0)).optional()?.map(WorkerKey))
    }

    /// Whether there is such a worker; then it is among those kept.
    fn load_worker(&mut self, key: WorkerKey) -> Result<bool> {
        if self.workers.contains_key(&key) {
            return Ok(true);
        }
        let mut statement = self.conn.prepare_cached(sql::WORKER_BY_KEY)?;
        let mut found = statement.query([key.0])?;
        let Some(row) = found.next()? else { return Ok(false) };
        let row = codec::worker_row(row)?;
        self.workers.insert(key, WorkerEntry { written: row.clone(), row, changed: false });
        Ok(true)
    }

    pub(super) fn is_worker(&mut self, key: WorkerKey) -> Result<bool> {
        self.load_worker(key)
    }

    pub(super) fn worker_row(&mut self, key: WorkerKey) -> Result<&WorkerRow> {
        self.load_worker(key)?;
        self.workers.get(&key).map(|entry| &entry.row).ok_or_else(|| missing(key))
    }

    pub(super) fn change_worker(&mut self, key: WorkerKey) -> Result<&mut WorkerRow> {
        self.load_worker(key)?;
        let entry = self.workers.get_mut(&key).ok_or_else(|| missing(key))?;
        if !entry.changed {
            entry.changed = true;
            self.changed_workers.push(key);
        }
        Ok(&mut entry.row)
    }

    pub(super) fn add_worker(&mut self, registration: &Registration, now: Timestamp) -> Result<WorkerKey> {
        let key = WorkerKey(self.last_worker.next());
        let row = registration.first_row(key, now);
        self.conn.prepare_cached(sql::INSERT_WORKER)?.execute(params![
            key.0,
            row.id.uuid().as_bytes(),
            row.profile.machine_id,
            row.session,
            row.profile.slots,
            row.used,
            row.said.code(),
            row.draining,
            row.unregistered,
            row.uses_leases,
            row.resources.cpu_percent,
            row.resources.memory_percent,
            row.resources.disk_percent,
            row.current_task,
            row.last_heartbeat.0,
            row.registered_at.0,
        ])?;
        self.save_profile(key, registration)?;
        self.worker_keys.insert(row.id, key);
        self.workers.insert(key, WorkerEntry { written: row.clone(), row, changed: false });
        Ok(key)
    }

    fn save_profile(&self, key: WorkerKey, registration: &Registration) -> Result<()> {
        let profile = codec::profile_json(&registration.profile)?;
        self.conn.prepare_cached(sql::SAVE_PROFILE)?.execute(params![key.0, profile, registration.system_info])?;
        Ok(())
    }

    pub(super) fn change_registration(&mut self, key: WorkerKey, registration: &Registration) -> Result<()> {
        self.save_profile(key, registration)?;
        self.change_worker(key)?.profile = registration.profile.clone();
        Ok(())
    }

    pub(super) fn forget_worker(&mut self, key: WorkerKey) -> Result<()> {
        let id = self.worker_row(key)?.id;
        self.workers.remove(&key);
        self.worker_keys.remove(&id);
        self.conn.prepare_cached(sql::DELETE_WORKER)?.execute([key.0])?;
        self.conn.prepare_cached(sql::DELETE_PROFILE)?.execute([key.0])?;
        self.conn.prepare_cached(sql::DELETE_SAMPLES)?.execute([key.0])?;
        Ok(())
    }

    pub(super) fn keep_sample(&mut self, key: WorkerKey, sample: Sample) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql::LAST_SAMPLE)?;
        let last: Option<i64> = statement.query_row([key.0], |row| row.get(0))?;
        if last.is_some_and(|last| sample.at - Timestamp(last) < SAMPLE_EVERY) {
            return Ok(());
        }
        let Resources { cpu_percent, memory_percent, disk_percent } = sample.resources;
        self.conn.prepare_cached(sql::INSERT_SAMPLE)?.execute(params![
            key.0,
            sample.at.0,
            cpu_percent,
            memory_percent,
            disk_percent
        ])?;
        self.conn.prepare_cached(sql::DELETE_OLD_SAMPLES)?.execute([key.0, (sample.at - SAMPLES_KEPT).0])?;
        Ok(())
    }

    pub(super) fn flush_workers(&mut self) -> Result<()> {
        for key in self.changed_workers.drain(..) {
            // A removed one is not here any more.
            let Some(entry) = self.workers.get_mut(&key) else { continue };
            entry.changed = false;
            let row = &entry.row;
            if *row == entry.written {
                continue;
            }
            entry.written.used = row.used;
            if *row == entry.written {
                // What every claim and result changes; leaves the index on heartbeats alone.
                self.conn.prepare_cached(sql::UPDATE_WORKER_USED)?.execute(params![key.0, row.used])?;
                continue;
            }
            self.conn.prepare_cached(sql::UPDATE_WORKER)?.execute(params![
                key.0,
                row.session,
                row.profile.slots,
                row.used,
                row.said.code(),
                row.draining,
                row.unregistered,
                row.uses_leases,
                row.resources.cpu_percent,
                row.resources.memory_percent,
                row.resources.disk_percent,
                row.current_task,
                row.last_heartbeat.0,
                row.figures,
            ])?;
            entry.written = row.clone();
        }
        Ok(())
    }

    pub(super) fn lane_key(&mut self, lane: &Lane) -> Result<LaneKey> {
        // The steps of a plan are mostly in one, and comparing it costs less than hashing its texts.
        if let Some((last, key)) = &self.last_lane
            && last == lane
        {
            return Ok(*key);
        }
        let key = self.find_or_insert_lane(lane)?;
        self.last_lane = Some((lane.clone(), key));
        Ok(key)
    }

    fn find_or_insert_lane(&mut self, lane: &Lane) -> Result<LaneKey> {
        if let Some(&key) = self.lanes.get(lane) {
            return Ok(key);
        }
        let canonical = lane.canonical();
        let found =
            self.conn.prepare_cached(sql::LANE_BY_CANONICAL)?.query_row([&canonical], |row| row.get(0)).optional()?;
        let key = match found {
            Some(key) => LaneKey(key),
            None => LaneKey(self.conn.prepare_cached(sql::INSERT_LANE)?.insert([&canonical])?),
        };
        self.lanes.insert(lane.clone(), key);
        Ok(key)
    }
}
