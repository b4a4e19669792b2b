//! The writer: the one thread that changes the database, a group of commands at a time.
//!
//! It takes what waits, runs it in one transaction, commits once and answers all. Within a group every command
//! is concurrent to every other one (a caller waits for its answer before it gives the next), so any order will
//! do: what frees and fills comes before claims, claims before sweeps. A group that fails is run again command
//! by command, so that a bad one fails alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use regatta_model::command::{Answer, Command};
use regatta_model::ledger::{self, Effects};
use regatta_model::{Span, Timestamp};

use super::checkpoint::Checkpoints;
use super::error::DbError;
use super::place::Place;
use super::rows::SqliteRows;
use crate::panicked::panic_text;
use crate::queue::{Job, Queue};
use crate::{Sink, StoreError, Timed, Timing, delayed};

/// A command that is older than the last one by so much is so because the clock was set back.
const SET_BACK: Span = Span::seconds(1);
/// How often the time of the last sweep is written down, at most.
const SWEEP_NOTED_EVERY: Span = Span::seconds(5);

/// The writer's state.
pub(super) struct Writer {
    rows: SqliteRows,
    place: Arc<Place>,
    sink: Arc<dyn Sink>,
    queue: Arc<Queue>,
    checkpoints: Arc<Checkpoints>,
    /// Commits so far, raised before their answers: see [`crate::Store::version`].
    version: Arc<AtomicU64>,
    sweep_noted: Option<Timestamp>,
    /// A transaction failed and could not be undone yet.
    broken: bool,
    /// How long a group's commands may run before the rest waits for the next group.
    group_time: Duration,
    /// When the last command happened.
    latest: Timestamp,
}

/// However the writer ends, nobody waits for it in vain.
struct AbandonAtEnd(Arc<Queue>);

impl Drop for AbandonAtEnd {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Claims and sweeps see what the other commands of their group did.
const fn phase(command: &Command) -> u8 {
    match command {
        Command::Claim(_) => 1,
        Command::Sweep(_) => 2,
        _ => 0,
    }
}

/// What a group came to: one answer for each command that ran, and what follows.
struct Done {
    answers: Vec<Answer>,
    effects: Effects,
    commit: Duration,
    started_commit: Instant,
}

impl Writer {
    pub(super) fn new(
        rows: SqliteRows,
        place: Arc<Place>,
        sink: Arc<dyn Sink>,
        queue: Arc<Queue>,
        checkpoints: Arc<Checkpoints>,
        version: Arc<AtomicU64>,
        group_time: Duration,
    ) -> Self {
        Self {
            rows,
            place,
            sink,
            queue,
            checkpoints,
            version,
            sweep_noted: None,
            broken: false,
            group_time,
            latest: Timestamp(i64::MIN),
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let _abandon = AbandonAtEnd(self.queue.clone());
        let mut left: Vec<Job> = Vec::new();
        loop {
            let jobs = if left.is_empty() {
                let Some(mut jobs) = self.queue.take(None) else { return };
                jobs.sort_by_key(|job| phase(&job.command));
                jobs
            } else {
                // In their order, before anything newer: nothing is put off twice for what came later.
                std::mem::take(&mut left)
            };
            left = self.group(jobs);
        }
    }

    /// Runs one group and answers it; returns those for which there was no time.
    fn group(&mut self, mut jobs: Vec<Job>) -> Vec<Job> {
        delayed("queue");
        let started = Instant::now();
        match self.transact(&jobs, started) {
            Ok(done) => {
                let left = jobs.split_off(done.answers.len());
                self.answer(jobs, done, started);
                left
            }
            Err(error) if jobs.len() == 1 => {
                jobs.into_iter().for_each(|job| refuse(job, &error));
                Vec::new()
            }
            Err(error) => {
                tracing::warn!(%error, commands = jobs.len(), "a group failed; its commands are run one by one");
                for job in jobs {
                    let started = Instant::now();
                    match self.transact(std::slice::from_ref(&job), started) {
                        Ok(done) => self.answer(vec![job], done, started),
                        Err(error) => refuse(job, &error),
                    }
                }
                Vec::new()
            }
        }
    }

    /// One transaction; on an error it is rolled back and everything about it forgotten.
    fn transact(&mut self, jobs: &[Job], started: Instant) -> Result<Done, Failure> {
        // A panic is a fault of ours: its command fails, and nothing else.
        let result = catch_unwind(AssertUnwindSafe(|| self.try_transact(jobs, started)))
            .unwrap_or_else(|panic| Err(DbError::Panicked(panic_text(&*panic)).into()));
        if result.is_err()
            && let Err(error) = self.recover()
        {
            tracing::error!(%error, "a transaction could not be undone; that is tried again before the next one");
        }
        result
    }

    /// Undoes a transaction and forgets what was known of its rows.
    fn recover(&mut self) -> Result<(), DbError> {
        self.broken = true;
        self.sweep_noted = None;
        // After FULL, IOERR or NOMEM SQLite may have rolled back already.
        if !self.rows.conn().is_autocommit() {
            self.rows.conn().execute_batch("ROLLBACK")?;
        }
        self.rows.forget()?;
        self.broken = false;
        Ok(())
    }

    /// When a command happens: callers looked at the clock before they came into the queue, and it is not always served in their
    /// order. What runs later is not earlier, unless the clock was set back.
    fn time_of(&mut self, job: &Job) -> Timestamp {
        let late = self.latest.0.saturating_sub(job.now.0);
        if !(0..SET_BACK.0).contains(&late) {
            self.latest = job.now;
        }
        self.latest
    }

    fn try_transact(&mut self, jobs: &[Job], started: Instant) -> Result<Done, Failure> {
        if self.broken {
            self.recover()?;
        }
        self.rows.conn().prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]))?;
        let mut effects = Effects::default();
        let mut answers = Vec::with_capacity(jobs.len());
        let mut latest = Timestamp(i64::MIN);
        for job in jobs {
            if !answers.is_empty() && started.elapsed() > self.group_time {
                break;
            }
            let now = self.time_of(job);
            latest = latest.max(now);
            // A panic is a fault of the ledger: the transaction is given up, and the command is the only one
            // to fail.
            let applied =
                catch_unwind(AssertUnwindSafe(|| ledger::apply(&mut self.rows, &mut effects, now, &job.command())));
            answers.push(applied.map_err(|panic| DbError::Panicked(panic_text(&*panic)))??);
            if matches!(job.command, Command::Sweep(_)) {
                self.note_sweep(now)?;
            }
        }
        if jobs[..answers.len()].iter().any(|job| matches!(job.command, Command::Sweep(_) | Command::Forget(_))) {
            self.rows.sweep_leftovers()?;
        }
        delayed("db");
        effects.seal(&mut self.rows, latest)?;
        self.rows.flush()?;
        self.rows.keep_events(&effects.events)?;
        self.place.look()?;
        let started_commit = Instant::now();
        delayed("commit");
        let committed = self.rows.conn().prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        // Also after an error: it may have been written.
        self.version.fetch_add(1, Ordering::Release);
        committed.map_err(|error| Failure { error: error.into(), at_commit: true })?;
        let commit = started_commit.elapsed();
        self.rows.committed();
        Ok(Done { answers, effects, commit, started_commit })
    }

    /// A listener that panics must not take the writer along.
    fn tell(&self, tell: impl FnOnce(&dyn Sink)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(&*self.sink))) {
            tracing::error!(panic = panic_text(&*panic), "a listener of the store panicked");
        }
    }

    fn note_sweep(&mut self, now: Timestamp) -> Result<(), DbError> {
        if self.sweep_noted.is_none_or(|noted| now - noted >= SWEEP_NOTED_EVERY || now < noted) {
            self.rows.note_sweep(now)?;
            self.sweep_noted = Some(now);
        }
        Ok(())
    }

    /// Tells in the promised order: counters, answers, effects.
    fn answer(&mut self, jobs: Vec<Job>, done: Done, started: Instant) {
        if !done.effects.progress.is_empty() {
            self.tell(|sink| sink.progressed(&done.effects.progress));
        }
        let db = done.started_commit - started;
        // Claims come last in a group, and what they lease goes out together with the answers to the results before them.
        for (job, value) in jobs.into_iter().zip(done.answers).rev() {
            let queue = started.saturating_duration_since(job.queued);
            let timing = Timing { queue, pool: Duration::ZERO, db, commit: done.commit };
            // Nobody may be waiting any more.
            let _ = job.answer.send(Ok(Timed { value, timing }));
        }
        if !done.effects.is_empty() {
            let effects = Arc::new(done.effects);
            self.tell(|sink| sink.committed(effects));
        }
        self.checkpoints.committed(self.rows.conn());
    }
}

fn refuse(job: Job, failure: &Failure) {
    let error = failure.store_error();
    tracing::error!(command = job.command.name(), %error, "a command failed");
    // Nobody may be waiting any more.
    let _ = job.answer.send(Err(error));
}

/// Why a transaction did not come through.
#[derive(Debug)]
struct Failure {
    error: DbError,
    at_commit: bool,
}

impl<E: Into<DbError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), at_commit: false }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl Failure {
    fn store_error(&self) -> StoreError {
        if self.at_commit && self.error.leaves_open() {
            return StoreError::Unknown(format!("{}; check the disk", self.error));
        }
        (&self.error).into()
    }
}
