//! Results and progress, under a lease.

use std::sync::Arc;

use super::{Ending, Ledger, Rows};
use crate::command::{AppendLog, ProgressSet, Report, Reported, SetProgress, StaleLease};
use crate::id::{Lease, SubtaskKey, WorkerId};
use crate::retry;
use crate::subtask::State;
use crate::token::TokenId;
use crate::words::{AttemptOutcome, LogLevel};

/// The most bytes of output that a subtask may be given as context.
pub const MAX_CONTEXT_BYTES: u64 = 8 << 20;

/// The error of a subtask whose dependencies put out more than [`MAX_CONTEXT_BYTES`].
pub const CONTEXT_TOO_LARGE: &str =
    "context_too_large: the outputs of its dependencies together are over 8388608 bytes; let them put out less";

impl<R: Rows> Ledger<'_, R> {
    /// Whether the caller holds the live lease of the subtask. Marks its holder as one that knows leases.
    pub(super) fn check_lease(
        &mut self,
        key: SubtaskKey,
        lease: Option<Lease>,
        by: Option<WorkerId>,
        bound: Option<TokenId>,
    ) -> Result<Result<(), StaleLease>, R::Error> {
        let Some(row) = self.rows.subtask(key)? else {
            return Ok(Err(StaleLease::Superseded));
        };
        let holder = row.holder.as_ref().map(|holder| (holder.worker, holder.id));
        let (leased, current) = (row.state == State::Leased, row.lease());
        let Some((worker, worker_id)) = holder.filter(|_| leased) else {
            return Ok(Err(StaleLease::NotRunning(row.state.status())));
        };
        if by.is_some_and(|by| by != worker_id) {
            return Ok(Err(StaleLease::OtherWorker));
        }
        if bound.is_some() && self.rows.worker(worker)?.profile.owner != bound {
            return Ok(Err(StaleLease::OtherWorker));
        }
        match lease {
            Some(lease) if lease == current => {
                self.knows_leases(worker)?;
                Ok(Ok(()))
            }
            Some(_) => Ok(Err(StaleLease::Superseded)),
            None if self.rows.worker(worker)?.uses_leases => Ok(Err(StaleLease::LeaseNeeded)),
            None => Ok(Ok(())),
        }
    }

    /// Whether the present or last holder of a subtask registered under this token; anybody's word will do where none
    /// speaks.
    pub(super) fn is_holder(&mut self, key: SubtaskKey, bound: Option<TokenId>) -> Result<bool, R::Error> {
        if bound.is_none() {
            return Ok(true);
        }
        let holder = self.rows.subtask(key)?.and_then(|row| row.holder.as_ref().map(|holder| holder.worker));
        match holder {
            // It may have been taken off the list.
            Some(worker) if self.rows.knows_worker(worker)? => Ok(self.rows.worker(worker)?.profile.owner == bound),
            _ => Ok(false),
        }
    }

    pub(super) fn report(&mut self, command: &Report) -> Result<Reported, R::Error> {
        let Some(key) = self.find_subtask(command.subtask)? else {
            return Ok(Reported::Unknown);
        };
        if let Some(row) = self.rows.subtask(key)?
            && row.state == State::Completed
            && command.lease == Some(row.lease())
            && self.is_holder(key, command.bound)?
        {
            return Ok(Reported::Repeated { progress: self.rows.task(key.task())?.progress() });
        }
        if let Err(stale) = self.check_lease(key, command.lease, command.by, command.bound)? {
            return Ok(Reported::Stale(stale));
        }
        let newly_ready = match &command.result {
            Ok(()) => self.complete(key, command)?,
            Err(error) => {
                self.end_lease(
                    key,
                    Ending {
                        outcome: AttemptOutcome::Failed,
                        error: Some(error.clone()),
                        exit_code: command.exit_code,
                        stop: None,
                    },
                )?;
                let row = self.rows.subtask_mut(key)?;
                row.execution_time = command.execution_time;
                row.simulated = command.simulated;
                self.count_failure(key, error.clone(), command.jitter)?;
                0
            }
        };
        let status = self.rows.subtask_mut(key)?.state.status();
        let progress = self.rows.task(key.task())?.progress();
        Ok(Reported::Accepted { status, progress, newly_ready })
    }

    fn complete(&mut self, key: SubtaskKey, command: &Report) -> Result<u32, R::Error> {
        self.end_lease(
            key,
            Ending { outcome: AttemptOutcome::Completed, error: None, exit_code: command.exit_code, stop: None },
        )?;
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        row.state = State::Completed;
        row.progress = 100;
        row.completed_at = Some(now);
        row.error = None;
        row.execution_time = command.execution_time;
        row.simulated = command.simulated;
        let head = row.head.clone();
        self.rows.set_output(key, command.output.clone())?;
        self.tell_subtask(key)?;
        self.rows.task_mut(key.task())?.completed += 1;
        self.effects.task_changed(key.task());
        let mut newly_ready = 0;
        for &position in &head.dependents {
            let dependent = key.task().subtask(position);
            let row = self.rows.subtask_mut(dependent)?;
            // Counted whatever the dependent's state, so that a retry finds the number right.
            row.deps_left = row.deps_left.saturating_sub(1);
            row.context_bytes += command.output.len() as u64;
            if row.deps_left > 0 || row.state != State::Waiting {
                continue;
            }
            if row.context_bytes > MAX_CONTEXT_BYTES {
                self.fail(dependent, CONTEXT_TOO_LARGE.into())?;
            } else {
                self.make_ready(dependent)?;
                newly_ready += 1;
            }
        }
        self.settle(key.task())?;
        Ok(newly_ready)
    }

    /// Counts a failed attempt (its lease is ended): tries again after a pause, or fails for good.
    pub(super) fn count_failure(&mut self, key: SubtaskKey, error: Arc<str>, jitter: u16) -> Result<(), R::Error> {
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        row.failures += 1;
        if row.failures >= row.head.max_attempts {
            return self.fail(key, error);
        }
        row.state = State::Backoff;
        row.progress = 0;
        row.due_at = Some(now + retry::backoff(row.failures, jitter));
        row.error = Some(error);
        self.tell_subtask(key)
    }

    pub(super) fn set_progress(&mut self, command: &SetProgress) -> Result<ProgressSet, R::Error> {
        let Some(key) = self.find_subtask(command.subtask)? else {
            return Ok(ProgressSet::Unknown);
        };
        if let Err(stale) = self.check_lease(key, command.lease, command.by, command.bound)? {
            return Ok(ProgressSet::Stale(stale));
        }
        let row = self.rows.subtask_mut(key)?;
        if row.progress != command.progress {
            row.progress = command.progress;
            self.tell_subtask(key)?;
        }
        if let Some(message) = &command.message {
            self.append_log(&AppendLog {
                subtask: command.subtask,
                lease: None,
                worker: command.by,
                bound: command.bound,
                level: LogLevel::Info,
                message: message.clone(),
                metadata: Some(format!("{{\"progress\":{}}}", command.progress).into()),
            })?;
        }
        Ok(ProgressSet::Accepted)
    }
}
