//! Keeping leases: what a worker says it runs is renewed, what it no longer runs goes back.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Ending, Ledger, Rows};
use crate::command::{ExtendLeases, Reject, Resume, Resumed};
use crate::id::{Lease, SubtaskKey, WorkerKey};
use crate::retry;
use crate::subtask::State;
use crate::time::Span;
use crate::words::AttemptOutcome;

/// Heartbeats in a row that may not leave a running subtask out.
const MISSED_HEARTBEATS: u8 = 2;

impl<R: Rows> Ledger<'_, R> {
    /// Gives a live lease its full length again.
    pub(super) fn renew(&mut self, key: SubtaskKey, length: Span) -> Result<(), R::Error> {
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        row.lease_expires_at = Some(now + length);
        // A time-out that is over and not due was put off by a rest of the server, and stays so.
        let timeout = match (row.deadline(), row.due_at) {
            (Some(deadline), Some(put_off)) if deadline <= now && put_off > now => Some(put_off),
            (deadline, _) => deadline,
        };
        row.due_at = [row.lease_expires_at, timeout].into_iter().flatten().min();
        row.missed = 0;
        Ok(())
    }

    /// Takes a lease away and sends the subtask back to the queue at once; a lost one only so often.
    pub(super) fn give_back(
        &mut self,
        key: SubtaskKey,
        outcome: AttemptOutcome,
        why: &str,
        stop: bool,
    ) -> Result<(), R::Error> {
        let reason: Arc<str> = why.into();
        self.end_lease(
            key,
            Ending { outcome, error: Some(reason.clone()), exit_code: None, stop: stop.then_some(reason) },
        )?;
        if outcome == AttemptOutcome::Lost {
            let row = self.rows.subtask_mut(key)?;
            row.losses += 1;
            if row.losses > retry::MAX_LOSSES {
                let error = format!("lost_too_often: its lease was lost {} times; the last time: {why}", row.losses);
                return self.fail(key, error.into());
            }
        }
        self.make_ready(key)
    }

    /// Renews exactly what a worker runs; what it left out twice in a row, and not `late`, goes back. Without `running` all are
    /// renewed.
    pub(super) fn renew_running(
        &mut self,
        worker: WorkerKey,
        running: Option<&[Lease]>,
        length: Span,
        late: bool,
    ) -> Result<(), R::Error> {
        let named: Option<HashSet<Lease>> = running.map(|leases| leases.iter().copied().collect());
        for key in self.rows.leased_by(worker)? {
            let row = self.rows.subtask_mut(key)?;
            if named.as_ref().is_none_or(|named| named.contains(&row.lease())) {
                self.renew(key, length)?;
                continue;
            }
            if late {
                continue;
            }
            row.missed += 1;
            if row.missed >= MISSED_HEARTBEATS {
                self.give_back(key, AttemptOutcome::Lost, "its worker no longer runs it", true)?;
            }
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, command: &Resume) -> Result<Option<Resumed>, R::Error> {
        let Some(worker) = self.rows.find_worker(command.worker)? else {
            return Ok(None);
        };
        let row = self.rows.worker(worker)?;
        if row.session != command.session || row.unregistered {
            return Ok(None);
        }
        self.knows_leases(worker)?;
        let named: HashSet<Lease> = command.running.iter().copied().collect();
        let mut kept = HashSet::new();
        for key in self.rows.leased_by(worker)? {
            let row = self.rows.subtask_mut(key)?;
            let lease = row.lease();
            if named.contains(&lease) {
                self.renew(key, command.lease)?;
                kept.insert(lease);
            } else if row.started_at.is_some_and(|at| at < command.connected_at) {
                self.give_back(key, AttemptOutcome::Lost, "its worker came back without it", false)?;
            }
        }
        let (kept, dropped) = command.running.iter().partition(|lease| kept.contains(lease));
        Ok(Some(Resumed { kept, dropped }))
    }

    pub(super) fn reject(&mut self, command: &Reject) -> Result<bool, R::Error> {
        let Some(key) = self.find_subtask(command.subtask)? else {
            return Ok(false);
        };
        // A rejection need not carry the lease, whatever else its worker shows leases for.
        let theirs = match command.lease {
            Some(_) => self.check_lease(key, command.lease, Some(command.worker), None)?.is_ok(),
            None => self.rows.subtask(key)?.is_some_and(|row| {
                row.state == State::Leased && row.holder.as_ref().is_some_and(|holder| holder.id == command.worker)
            }),
        };
        if !theirs {
            return Ok(false);
        }
        let drained = command.reason.starts_with("drain");
        let outcome = if drained { AttemptOutcome::Drained } else { AttemptOutcome::Rejected };
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        let worker = row.holder.as_ref().map(|holder| holder.worker);
        let before = row.avoid.filter(|&(other, until)| Some(other) != worker && now < until);
        row.avoid = worker.map(|worker| (worker, now + retry::REJECT_PAUSE));
        self.give_back(key, outcome, &command.reason, false)?;
        if let Some((_, until)) = before {
            // Only one worker is remembered. With a second one it waits until the first may have it again, else
            // two that will not take it would hand it to and fro as fast as they can.
            let row = self.rows.subtask_mut(key)?;
            row.state = State::Backoff;
            row.due_at = Some(until);
        }
        Ok(true)
    }

    pub(super) fn extend_leases(&mut self, command: &ExtendLeases) -> Result<(), R::Error> {
        for key in self.rows.leased()? {
            let row = self.rows.subtask_mut(key)?;
            if row.state != State::Leased {
                continue;
            }
            row.lease_expires_at = row.lease_expires_at.map(|at| at + command.by);
            // Time-outs too wait for the end of the lease. The worker, which was up, has kept to them; what it has to
            // say of them, or of a result that came in time, is on its way.
            row.due_at = row.lease_expires_at;
        }
        Ok(())
    }
}
