//! The ledger: every change of tasks, subtasks and workers, as pure transitions over [`Rows`].
//!
//! One implementation serves every store and the model they are tested against: a store only loads and saves
//! rows. So what is promised (no subtask lost, none completed twice, never two live leases) is decided
//! here, once, without I/O, clocks or chance. A file here is a group of commands.
//!
//! A refusal is an answer and changes nothing; an error comes from the rows alone.

mod claim;
mod effects;
mod forget;
mod leases;
mod log;
mod report;
mod rows;
mod submit;
mod sweep;
mod task;
mod worker;

use std::sync::Arc;

pub use effects::{Effects, ProgressChange};
pub use rows::{Remembered, Rows, SubtaskText};

use crate::command::{Answer, Command};
use crate::id::{SubtaskId, SubtaskKey, TaskKey, WorkerKey};
use crate::plan::Json;
use crate::rank;
use crate::subtask::{Attempt, State};
use crate::time::Timestamp;
use crate::words::{AttemptOutcome, TaskStatus};

/// Applies one command to the rows, at `now`, and adds what follows from it to `effects`.
///
/// Call [`Effects::seal`] after the last command of a transaction.
///
/// # Errors
/// Only those of the rows; then the transaction must be rolled back.
pub fn apply<R: Rows>(
    rows: &mut R,
    effects: &mut Effects,
    now: Timestamp,
    command: &Command,
) -> Result<Answer, R::Error> {
    let mut ledger = Ledger { rows, effects, now };
    Ok(match command {
        Command::Submit(c) => Answer::Submit(ledger.submit(c)?),
        Command::AddSteps(c) => Answer::AddSteps(ledger.add_steps(c)?),
        Command::PlanTask(c) => Answer::PlanTask(ledger.plan_task(c)?),
        Command::Claim(c) => Answer::Claim(ledger.claim(c)?),
        Command::Report(c) => Answer::Report(ledger.report(c)?),
        Command::SetProgress(c) => Answer::SetProgress(ledger.set_progress(c)?),
        Command::AppendLog(c) => Answer::AppendLog(ledger.append_log(c)?),
        Command::Register(c) => Answer::Register(ledger.register(c)?),
        Command::Heartbeat(c) => Answer::Heartbeat(ledger.heartbeat(c)?),
        Command::Touch(c) => {
            ledger.touch(c)?;
            Answer::Touch(())
        }
        Command::Resume(c) => Answer::Resume(ledger.resume(c)?),
        Command::Acknowledge(c) => {
            ledger.acknowledge(c)?;
            Answer::Acknowledge(())
        }
        Command::Unregister(c) => Answer::Unregister(ledger.unregister(c)?),
        Command::SetDraining(c) => Answer::SetDraining(ledger.set_draining(c)?),
        Command::RemoveWorker(c) => Answer::RemoveWorker(ledger.remove_worker(c)?),
        Command::Reject(c) => Answer::Reject(ledger.reject(c)?),
        Command::CancelTask(c) => Answer::CancelTask(ledger.cancel_task(c)?),
        Command::RetryTask(c) => Answer::RetryTask(ledger.retry_task(c)?),
        Command::DeleteTask(c) => Answer::DeleteTask(ledger.delete_task(c)?),
        Command::Forget(c) => Answer::Forget(ledger.forget(c)?),
        Command::Sweep(c) => Answer::Sweep(ledger.sweep(c)?),
        Command::ExtendLeases(c) => {
            ledger.extend_leases(c)?;
            Answer::ExtendLeases(())
        }
    })
}

/// A JSON object of outputs by step name; the outputs are JSON texts and are not parsed.
pub fn context_json(outputs: impl IntoIterator<Item = (Arc<str>, Json)>) -> Json {
    let mut text = String::from("{");
    for (name, output) in outputs {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(&*name).to_string());
        text.push(':');
        text.push_str(&output);
    }
    text.push('}');
    text.into()
}

/// The rows, the effects and the time of one command.
struct Ledger<'a, R: Rows> {
    rows: &'a mut R,
    effects: &'a mut Effects,
    now: Timestamp,
}

/// How a lease is taken from its holder.
struct Ending {
    outcome: AttemptOutcome,
    error: Option<Arc<str>>,
    exit_code: Option<i32>,
    /// Tell the holder to stop, for this reason.
    stop: Option<Arc<str>>,
}

impl<R: Rows> Ledger<'_, R> {
    /// The key of a subtask that exists.
    fn find_subtask(&mut self, id: SubtaskId) -> Result<Option<SubtaskKey>, R::Error> {
        let Some(task) = self.rows.find_task(id.task())? else {
            return Ok(None);
        };
        let key = task.subtask(id.position());
        Ok(self.rows.subtask(key)?.map(|_| key))
    }

    /// Numbers an event about a subtask's present state.
    fn tell_subtask(&mut self, key: SubtaskKey) -> Result<(), R::Error> {
        let Some(row) = self.rows.subtask(key)? else {
            return Ok(());
        };
        let (head, record) = (row.head.clone(), row.into());
        let now = self.now;
        let task = self.rows.task_mut(key.task())?;
        self.effects.subtask_event(task, now, head, record);
        Ok(())
    }

    /// Makes a subtask whose dependencies have all completed ready, and tells so.
    fn make_ready(&mut self, key: SubtaskKey) -> Result<(), R::Error> {
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        row.state = State::Ready;
        row.due_at = None;
        row.progress = 0;
        if row.queued_at.is_none() {
            row.queued_at = Some(now);
            row.rank = rank::rank(now, row.head.head_start);
        }
        let lane = row.head.lane;
        self.effects.woke(lane);
        self.tell_subtask(key)
    }

    /// Takes the lease of a leased subtask away and frees the slot. The caller sets the next state.
    fn end_lease(&mut self, key: SubtaskKey, ending: Ending) -> Result<(), R::Error> {
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        let lease = row.lease();
        let attempt = row.attempt;
        let started_at = row.started_at.unwrap_or(now);
        row.lease_expires_at = None;
        row.due_at = None;
        row.missed = 0;
        row.exit_code = ending.exit_code;
        let holder = row.holder.clone();
        if let Some(holder) = holder {
            let worker = self.rows.worker_mut(holder.worker)?;
            worker.used = worker.used.saturating_sub(1);
            self.effects.worker_changed(holder.worker);
            if ending.outcome != AttemptOutcome::Completed {
                self.rows.record_attempt(
                    key,
                    Attempt {
                        attempt,
                        worker: holder.id,
                        tool: holder.tool,
                        started_at,
                        ended_at: Some(now),
                        outcome: ending.outcome,
                        error: ending.error,
                        exit_code: ending.exit_code,
                    },
                )?;
            }
            if let Some(reason) = ending.stop {
                self.effects.stop(holder.id, lease, reason);
            }
        }
        self.rows.task_mut(key.task())?.running -= 1;
        self.effects.task_counted(key.task());
        Ok(())
    }

    /// Fails a subtask that is not leased (any more) for good, and cancels what depends on it.
    fn fail(&mut self, key: SubtaskKey, error: Arc<str>) -> Result<(), R::Error> {
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        row.state = State::Failed;
        row.due_at = None;
        row.error = Some(error.clone());
        row.completed_at = Some(now);
        let name = row.head.name.clone();
        let mut queue: Vec<u16> = row.head.dependents.to_vec();
        let task = self.rows.task_mut(key.task())?;
        task.failed += 1;
        if task.error.is_none() {
            task.error = Some(error);
        }
        self.effects.task_changed(key.task());
        self.tell_subtask(key)?;
        let reason: Arc<str> = format!("cancelled because {name} failed").into();
        while let Some(position) = queue.pop() {
            let dependent = key.task().subtask(position);
            let Some(row) = self.rows.subtask(dependent)? else { continue };
            if row.state.is_ended() {
                continue;
            }
            queue.extend_from_slice(&row.head.dependents);
            self.cancel_subtask(dependent, &reason)?;
        }
        self.settle(key.task())
    }

    /// Cancels a subtask that has not ended; a running one is told to stop.
    fn cancel_subtask(&mut self, key: SubtaskKey, reason: &Arc<str>) -> Result<(), R::Error> {
        if self.rows.subtask_mut(key)?.state == State::Leased {
            self.end_lease(
                key,
                Ending {
                    outcome: AttemptOutcome::Cancelled,
                    error: Some(reason.clone()),
                    exit_code: None,
                    stop: Some(reason.clone()),
                },
            )?;
        }
        let now = self.now;
        let row = self.rows.subtask_mut(key)?;
        row.state = State::Cancelled;
        row.due_at = None;
        row.completed_at = Some(now);
        row.error = Some(reason.clone());
        self.rows.task_mut(key.task())?.cancelled += 1;
        self.effects.task_counted(key.task());
        self.tell_subtask(key)
    }

    /// Ends a task of which nothing is left to run.
    fn settle(&mut self, key: TaskKey) -> Result<(), R::Error> {
        let now = self.now;
        let task = self.rows.task_mut(key)?;
        if task.status != TaskStatus::InProgress || task.completed + task.failed + task.cancelled < task.total {
            return Ok(());
        }
        task.status = if task.failed > 0 {
            TaskStatus::Failed
        } else if task.cancelled > 0 {
            TaskStatus::Cancelled
        } else {
            TaskStatus::Completed
        };
        task.completed_at = Some(now);
        self.effects.task_changed(key);
        Ok(())
    }

    /// Marks a worker as one that knows leases.
    fn knows_leases(&mut self, key: WorkerKey) -> Result<(), R::Error> {
        if !self.rows.worker(key)?.uses_leases {
            self.rows.worker_mut(key)?.uses_leases = true;
            self.effects.worker_changed(key);
        }
        Ok(())
    }
}
