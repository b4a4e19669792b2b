//! What waits for the writer: bounded, and in three classes, so that a flood of one cannot starve the others.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use regatta_model::command::{Answer, Command, Heartbeat};
use regatta_model::{Timestamp, plan::NewSteps};
use tokio::sync::oneshot;

use crate::{StoreError, Timed};

/// A command and who waits for its answer.
pub(crate) struct Job {
    pub(crate) now: Timestamp,
    pub(crate) command: Command,
    pub(crate) queued: Instant,
    pub(crate) answer: oneshot::Sender<Result<Timed<Answer>, StoreError>>,
    rows: usize,
    /// Its place in the order of arrival, given when it is queued.
    number: u64,
}

impl Job {
    pub(crate) fn new(
        now: Timestamp,
        command: Command,
    ) -> (Self, oneshot::Receiver<Result<Timed<Answer>, StoreError>>) {
        let (answer, answered) = oneshot::channel();
        let rows = rows(&command);
        (Self { now, command, queued: Instant::now(), answer, rows, number: 0 }, answered)
    }

    /// What is to be done now: a heartbeat that waited too long is late.
    pub(crate) fn command(&self) -> Cow<'_, Command> {
        match &self.command {
            Command::Heartbeat(beat) if self.queued.elapsed().as_micros() as i64 > beat.may_wait().0 => {
                Cow::Owned(Command::Heartbeat(Heartbeat { late: true, ..beat.clone() }))
            }
            command => Cow::Borrowed(command),
        }
    }
}

/// Commands that one group takes, at most; what is measured best, as waiting to fill a group gains nothing.
const GROUP_COMMANDS: usize = 256;
/// Rows that one group takes, at most, unless a single command has more.
const GROUP_ROWS: usize = 2_048;

/// Classes by whom they serve: workers and the fleet's own keeping, callers, log lines.
const CLASSES: usize = 3;
/// What each class may take of a group before the others had theirs.
const SHARES: [usize; CLASSES] = [128, 96, 32];

const fn class(command: &Command) -> usize {
    match command {
        Command::Submit(_)
        | Command::AddSteps(_)
        | Command::PlanTask(_)
        | Command::CancelTask(_)
        | Command::RetryTask(_)
        | Command::DeleteTask(_)
        | Command::Forget(_) => 1,
        Command::AppendLog(_) => 2,
        _ => 0,
    }
}

/// About how much a command writes: rows, and a row for each KiB of text.
fn rows(command: &Command) -> usize {
    let steps = |steps: &NewSteps| -> usize {
        let text = |step: &regatta_model::plan::PlannedStep| {
            1 + (step.description.len() + step.input.as_ref().map_or(0, |input| input.len())) / 1024
        };
        steps.steps.iter().map(text).sum()
    };
    match command {
        Command::Submit(submit) => submit
            .tasks
            .iter()
            .map(|task| {
                let text = &task.text;
                let bytes = text.description.len()
                    + [&text.metadata, &text.requirements, &text.deferred_steps]
                        .into_iter()
                        .flatten()
                        .map(|json| json.len())
                        .sum::<usize>();
                2 + bytes / 1024 + task.plan.as_ref().map_or(0, |plan| steps(&plan.steps))
            })
            .sum(),
        Command::PlanTask(plan) => 1 + steps(&plan.plan.steps),
        Command::AddSteps(add) => 1 + steps(&add.steps),
        Command::Report(report) => 2 + report.output.len() / 1024,
        Command::AppendLog(log) => 1 + log.message.len() / 1024,
        Command::Forget(forget) => usize::try_from(forget.rows).unwrap_or(usize::MAX).clamp(2, GROUP_ROWS),
        Command::Claim(claim) => 1 + claim.limit.min(GROUP_ROWS as u32) as usize,
        Command::Register(register) => 2 + register.registration.system_info.len() / 1024,
        _ => 2,
    }
}

#[derive(Default)]
struct Waiting {
    jobs: [VecDeque<Job>; CLASSES],
    rows: [usize; CLASSES],
    /// Commands that came so far.
    arrived: u64,
    closed: bool,
    /// Whether the writer sleeps and must be woken.
    idle: bool,
}

/// The queue between callers and the writer.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    limit: usize,
}

impl Queue {
    /// At most `limit` rows may wait in each class.
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), limit }
    }

    pub(crate) fn push(&self, mut job: Job) -> Result<(), StoreError> {
        let class = class(&job.command);
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        // A single one that is larger than the limit must not wait for ever.
        if waiting.rows[class] > 0 && waiting.rows[class] + job.rows > self.limit {
            return Err(StoreError::Overloaded);
        }
        waiting.arrived += 1;
        job.number = waiting.arrived;
        waiting.rows[class] += job.rows;
        waiting.jobs[class].push_back(job);
        if std::mem::take(&mut waiting.idle) {
            drop(waiting);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// The next group: what is there at once, else what comes. The classes decide what gets into it; within it
    /// the order is that of arrival, so that a worker's last lines of log come before its result.
    /// `None` when the queue is closed and empty, or with `patience` when nothing came in that time
    /// (then `Some` of an empty group).
    pub(crate) fn take(&self, patience: Option<Duration>) -> Option<Vec<Job>> {
        let mut waiting = self.waiting.lock();
        while waiting.jobs.iter().all(VecDeque::is_empty) {
            if waiting.closed {
                return None;
            }
            waiting.idle = true;
            match patience {
                Some(patience) => {
                    if self.arrived.wait_for(&mut waiting, patience).timed_out() {
                        waiting.idle = false;
                        if waiting.jobs.iter().all(VecDeque::is_empty) {
                            return Some(Vec::new());
                        }
                    }
                }
                None => self.arrived.wait(&mut waiting),
            }
        }
        let mut group = Vec::new();
        let mut rows = 0;
        // First each class its share, then whatever fits.
        for shares in [SHARES, [GROUP_COMMANDS; CLASSES]] {
            for (class, share) in shares.into_iter().enumerate() {
                for _ in 0..share {
                    let Some(job) = waiting.jobs[class].front() else { break };
                    if group.len() >= GROUP_COMMANDS || (!group.is_empty() && rows + job.rows > GROUP_ROWS) {
                        break;
                    }
                    let Some(job) = waiting.jobs[class].pop_front() else { break };
                    rows += job.rows;
                    waiting.rows[class] -= job.rows;
                    group.push(job);
                }
            }
        }
        group.sort_unstable_by_key(|job| job.number);
        Some(group)
    }

    /// Commands that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().jobs.iter().map(VecDeque::len).sum()
    }

    /// Whether nothing more is taken: the store was closed, or its writer is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    /// Takes nothing more and lets go of what waits: its callers are told that the store is closed.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(jobs);
    }

    /// Takes nothing more; what waits is still done.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_model::command::{Acknowledge, AppendLog, CancelTask};
    use regatta_model::{LogLevel, TaskId, WorkerId};
    use uuid::Uuid;

    fn cancel() -> Job {
        let command = CancelTask { task: TaskId::from_random(Uuid::nil()), reason: None };
        Job::new(Timestamp(0), Command::CancelTask(command)).0
    }

    fn acknowledge() -> Job {
        Job::new(Timestamp(0), Command::Acknowledge(Acknowledge { worker: WorkerId(Uuid::nil()) })).0
    }

    #[test]
    fn a_flood_of_callers_leaves_room_for_workers() {
        let queue = Queue::new(100);
        let refused = (0..1_000).filter(|_| queue.push(cancel()).is_err()).count();
        assert_eq!(refused, 950);
        queue.push(acknowledge()).unwrap();
        let group = queue.take(None).unwrap();
        assert_eq!(group[50].command.name(), "Acknowledge");
        assert_eq!(group.len(), 51);
        queue.push(cancel()).unwrap();
    }

    #[test]
    fn a_flood_of_callers_does_not_keep_workers_out_of_a_group() {
        let queue = Queue::new(10_000);
        (0..1_000).for_each(|_| queue.push(cancel()).unwrap());
        queue.push(acknowledge()).unwrap();
        let group = queue.take(None).unwrap();
        assert_eq!((group.len(), group[255].command.name()), (256, "Acknowledge"));
    }

    #[test]
    fn a_group_keeps_the_order_of_arrival_over_all_classes() {
        let queue = Queue::new(10_000);
        let log = || {
            let append = AppendLog {
                subtask: TaskId::from_random(Uuid::nil()).subtask(0),
                lease: None,
                worker: None,
                bound: None,
                level: LogLevel::Info,
                message: "the last line before the result".into(),
                metadata: None,
            };
            Job::new(Timestamp(0), Command::AppendLog(append)).0
        };
        for job in [log(), acknowledge(), cancel(), log(), acknowledge()] {
            queue.push(job).unwrap();
        }
        let names: Vec<_> = queue.take(None).unwrap().iter().map(|job| job.command.name()).collect();
        assert_eq!(names, ["AppendLog", "Acknowledge", "CancelTask", "AppendLog", "Acknowledge"]);
    }

    #[test]
    fn a_group_is_bounded_and_what_waits_at_closing_is_still_done() {
        let queue = Queue::new(10_000);
        for _ in 0..300 {
            queue.push(cancel()).unwrap();
        }
        queue.close();
        assert!(matches!(queue.push(cancel()), Err(StoreError::Closed)));
        assert_eq!(queue.take(None).unwrap().len(), 256);
        assert_eq!(queue.take(None).unwrap().len(), 44);
        assert!(queue.take(None).is_none());
    }
}
