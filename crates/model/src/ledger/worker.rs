//! Workers coming, speaking and going.

use std::collections::HashSet;

use super::{Ledger, Rows};
use crate::command::{
    Acknowledge, Heard, Heartbeat, OwnedBy, Register, Registered, RemoveWorker, Removed, SetDraining, TakeOver, Touch,
    Unregister,
};
use crate::id::Lease;
use crate::words::{AttemptOutcome, WorkerStatus};
use crate::worker::{Sample, WorkerRow};

impl<R: Rows> Ledger<'_, R> {
    pub(super) fn register(&mut self, command: &Register) -> Result<Result<Registered, OwnedBy>, R::Error> {
        let now = self.now;
        let found = self.rows.find_machine(&command.registration.profile.machine_id)?;
        if let Some(key) = found
            && let Some(owner) = self.rows.worker(key)?.profile.owner
        {
            let own = command.registration.profile.owner == Some(owner);
            let allowed = match command.take_over {
                TakeOver::Any => true,
                TakeOver::Own => own,
                TakeOver::From(other) => own || other == owner,
            };
            if !allowed {
                return Ok(Err(OwnedBy(owner)));
            }
        }
        let key = match found {
            Some(key) => {
                self.rows.update_registration(key, &command.registration)?;
                key
            }
            None => self.rows.insert_worker(&command.registration, now)?,
        };
        let row = self.rows.worker_mut(key)?;
        row.session += 1;
        row.said = WorkerStatus::Online;
        row.unregistered = false;
        row.uses_leases = command.running.is_some();
        row.last_heartbeat = now;
        row.current_task = None;
        let (worker, session) = (row.id, row.session);
        let length = row.lease_length(command.lease);
        self.effects.worker_changed(key);

        let running: HashSet<Lease> = command.running.iter().flatten().copied().collect();
        for subtask in self.rows.leased_by(key)? {
            let row = self.rows.subtask_mut(subtask)?;
            if !running.contains(&row.lease()) {
                self.give_back(subtask, AttemptOutcome::Lost, "its worker registered again without it", false)?;
                continue;
            }
            self.renew(subtask, length)?;
            if let Some(holder) = &mut self.rows.subtask_mut(subtask)?.holder {
                holder.session = session;
            }
        }
        Ok(Ok(Registered { worker, key, session, known: found.is_some() }))
    }

    pub(super) fn heartbeat(&mut self, command: &Heartbeat) -> Result<Heard, R::Error> {
        let Some(key) = self.rows.find_worker(command.worker)? else {
            return Ok(Heard::Unknown);
        };
        if self.rows.worker(key)?.unregistered {
            return Ok(Heard::Unregistered);
        }
        let now = self.now;
        let row = self.rows.worker_mut(key)?;
        row.said = command.said;
        row.last_heartbeat = now;
        row.current_task = command.current_task.clone();
        if let Some(resources) = command.resources {
            row.resources = resources;
            row.figures = command.figures.clone();
        }
        row.uses_leases |= command.running.is_some();
        let length = row.lease_length(command.lease);
        let resources = row.resources;
        self.effects.worker_changed(key);
        if command.resources.is_some() {
            self.rows.add_sample(key, Sample { at: now, resources })?;
        }
        // A worker that says it is gone renews nothing: its leases run out.
        if command.said != WorkerStatus::Offline {
            self.renew_running(key, command.running.as_deref(), length, command.late)?;
        }
        Ok(Heard::Yes)
    }

    pub(super) fn touch(&mut self, command: &Touch) -> Result<(), R::Error> {
        for &(worker, at) in &command.heard {
            let Some(key) = self.rows.find_worker(worker)? else { continue };
            if self.rows.worker(key)?.last_heartbeat < at {
                self.rows.worker_mut(key)?.last_heartbeat = at;
                self.effects.worker_changed(key);
            }
        }
        Ok(())
    }

    pub(super) fn acknowledge(&mut self, command: &Acknowledge) -> Result<(), R::Error> {
        match self.rows.find_worker(command.worker)? {
            Some(key) => self.knows_leases(key),
            None => Ok(()),
        }
    }

    pub(super) fn unregister(&mut self, command: &Unregister) -> Result<Heard, R::Error> {
        let Some(key) = self.rows.find_worker(command.worker)? else {
            return Ok(Heard::Unknown);
        };
        if !self.rows.worker(key)?.unregistered {
            self.rows.worker_mut(key)?.unregistered = true;
            self.effects.worker_changed(key);
            for subtask in self.rows.leased_by(key)? {
                self.give_back(subtask, AttemptOutcome::Unregistered, "its worker unregistered", true)?;
            }
        }
        Ok(Heard::Yes)
    }

    pub(super) fn set_draining(&mut self, command: &SetDraining) -> Result<Option<WorkerRow>, R::Error> {
        let Some(key) = self.rows.find_worker(command.worker)? else {
            return Ok(None);
        };
        if self.rows.worker(key)?.draining != command.draining {
            self.rows.worker_mut(key)?.draining = command.draining;
            self.effects.worker_changed(key);
        }
        Ok(Some(self.rows.worker(key)?.clone()))
    }

    pub(super) fn remove_worker(&mut self, command: &RemoveWorker) -> Result<Removed, R::Error> {
        let Some(key) = self.rows.find_worker(command.worker)? else {
            return Ok(Removed::Unknown);
        };
        if !self.rows.worker(key)?.is_offline(self.now) {
            return Ok(Removed::InUse);
        }
        for subtask in self.rows.leased_by(key)? {
            self.give_back(subtask, AttemptOutcome::Lost, "its worker was removed while offline", true)?;
        }
        self.rows.remove_worker(key)?;
        self.effects.worker_removed(key, command.worker);
        Ok(Removed::Yes)
    }
}
