//! The writer: the one thread of this node that changes the database, a group of commands at a time.
//!
//! It takes what waits, runs it in transactions, each committed once, and answers. Claims and sweeps have transactions of
//! their own, after the rest of their group: what they touch is not known before, so they take what nobody else holds. A
//! transaction that meets others is run again; one that fails is run again command by command, so that a bad one fails
//! alone. A connection that is lost before the commit is made anew and the transaction run again; at the commit nobody
//! knows, and that is what the callers are told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use regatta_model::command::{Answer, Command, IDEMPOTENCY_KEPT};
use regatta_model::ledger::{self, Effects};
use regatta_model::{Span, Timestamp};

use super::Time;
use super::clock::DatabaseClock;
use super::error::DbError;
use super::link::Broken;
use super::rows::PostgresRows;
use super::wanted::Wanted;
use super::{LAST_SWEEP, sql};
use crate::panicked::panic_text;
use crate::queue::{Job, Queue};
use crate::{Sink, StoreError, Timed, Timing, delayed};

/// How often the time of the last sweep is written down, at most.
const SWEEP_NOTED_EVERY: Span = Span::seconds(5);
/// Old idempotency keys that one sweep forgets, at most.
const KEYS_FORGOTTEN: i64 = 1_000;
/// How often a transaction is begun that others are in the way of.
const TRIES: u32 = 8;
/// The wait before the second time; it doubles.
const PAUSE: Duration = Duration::from_millis(2);

/// The writer's state.
pub(super) struct Writer {
    pub(super) rows: PostgresRows,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) queue: Arc<Queue>,
    pub(super) time: Time,
    pub(super) clock: DatabaseClock,
    /// Whether the last transaction reached the database.
    pub(super) reached: Arc<AtomicBool>,
    /// When this node swept last, in microseconds.
    pub(super) last_sweep: Arc<AtomicI64>,
    pub(super) sweep_noted: Option<Timestamp>,
}

/// However the writer ends, nobody waits for it in vain.
struct AbandonAtEnd(Arc<Queue>);

impl Drop for AbandonAtEnd {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// What can be told before from what cannot; in this order, because claims see what became ready.
const fn phase(command: &Command) -> u8 {
    match command {
        Command::Claim(_) => 1,
        Command::Sweep(_) | Command::Forget(_) | Command::ExtendLeases(_) => 2,
        _ => 0,
    }
}

/// What a transaction came to.
struct Done {
    answers: Vec<Answer>,
    effects: Effects,
    swept: Option<Timestamp>,
    commit: Duration,
    started_commit: Instant,
}

/// Why a transaction did not come through.
struct Failure {
    error: DbError,
    /// The connection ended when the commit was on its way: nobody knows whether it happened.
    at_commit: bool,
}

impl<E: Into<DbError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), at_commit: false }
    }
}

impl Failure {
    fn store_error(&self) -> StoreError {
        if self.at_commit {
            return StoreError::Unknown(format!("{}; ask before trying again, or use an idempotency key", self.error));
        }
        (&self.error).into()
    }
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let _abandon = AbandonAtEnd(self.queue.clone());
        while let Some(mut jobs) = self.queue.take(None) {
            jobs.sort_by_key(|job| phase(&job.command));
            while !jobs.is_empty() {
                let first = phase(&jobs[0].command);
                let rest = jobs.split_off(jobs.iter().take_while(|job| phase(&job.command) == first).count());
                self.group(jobs);
                jobs = rest;
            }
        }
    }

    /// Runs the commands of one phase and answers them.
    fn group(&mut self, jobs: Vec<Job>) {
        delayed("queue");
        let started = Instant::now();
        match self.transact(&jobs) {
            Ok(done) => self.answer(jobs, done, started),
            Err(failure) if failure.at_commit || failure.error.ends_connection() || jobs.len() == 1 => {
                jobs.into_iter().for_each(|job| refuse(job, &failure));
            }
            Err(failure) => {
                let error = &failure.error;
                tracing::warn!(%error, commands = jobs.len(), "a group failed; its commands are run one by one");
                for job in jobs {
                    let started = Instant::now();
                    match self.transact(std::slice::from_ref(&job)) {
                        Ok(done) => self.answer(vec![job], done, started),
                        Err(failure) => refuse(job, &failure),
                    }
                }
            }
        }
    }

    /// One transaction, begun as often as others are in its way.
    fn transact(&mut self, jobs: &[Job]) -> Result<Done, Failure> {
        let mut more = Wanted::default();
        let mut pause = PAUSE;
        for attempt in 1.. {
            // A panic is a fault of ours: its command fails, and nothing else.
            let result = catch_unwind(AssertUnwindSafe(|| self.try_transact(jobs, &more, attempt < TRIES)))
                .unwrap_or_else(|panic| Err(DbError::Panicked(panic_text(&*panic)).into()));
            let failure = match result {
                Ok(done) => {
                    self.rows.forget(false);
                    self.reached.store(true, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(failure) => failure,
            };
            self.rows.forget(true);
            self.sweep_noted = None;
            let lost = failure.error.ends_connection();
            if lost || self.rows.link.simple("ROLLBACK").is_err() {
                self.rows.link.disconnect();
            }
            self.reached.store(!lost, Ordering::Relaxed);
            let again = !failure.at_commit && (failure.error.is_contention() || (lost && attempt == 1));
            if !again || attempt >= TRIES {
                return Err(failure);
            }
            if let DbError::Locked(held) = &failure.error {
                more.and(held);
            } else if !lost {
                std::thread::sleep(pause);
                pause *= 2;
            }
        }
        unreachable!("the loop returns")
    }

    fn try_transact(&mut self, jobs: &[Job], more: &Wanted, may_wait: bool) -> Result<Done, Failure> {
        self.rows.link.connect()?;
        let mut wanted = Wanted::of(jobs.iter().map(|job| (job.now, &job.command)));
        wanted.and(more);
        let theirs = self.rows.begin(&wanted)?;
        self.clock.heard(theirs);
        let mut effects = Effects::default();
        let mut answers = Vec::with_capacity(jobs.len());
        let mut latest = Timestamp(i64::MIN);
        let mut swept = None;
        for job in jobs {
            let now = match self.time {
                Time::Database => theirs,
                Time::Given => job.now,
            };
            // A panic is a fault of the ledger: the transaction is given up, and the command is the only one to fail.
            let applied =
                catch_unwind(AssertUnwindSafe(|| ledger::apply(&mut self.rows, &mut effects, now, &job.command())));
            answers.push(applied.map_err(|panic| DbError::Panicked(panic_text(&*panic)))??);
            latest = latest.max(now);
            if matches!(job.command, Command::Sweep(_)) {
                self.note_sweep(now)?;
                swept = Some(now);
            }
        }
        if may_wait && self.was_kept_from(jobs, &answers) {
            return Err(DbError::Locked(Box::new(self.rows.skipped())).into());
        }
        if jobs.iter().any(|job| matches!(job.command, Command::Sweep(_) | Command::Forget(_))) {
            self.rows.sweep_leftovers()?;
        }
        delayed("db");
        effects.seal(&mut self.rows, latest)?;
        let rest = self.rows.finish(&effects.events)?;
        let started_commit = Instant::now();
        delayed("commit");
        self.rows.link.commit(&rest).map_err(|Broken { error, sent }| {
            // What PostgreSQL has words for did not happen.
            let at_commit = sent && error.ends_connection();
            Failure { error, at_commit }
        })?;
        Ok(Done { answers, effects, swept, commit: started_commit.elapsed(), started_commit })
    }

    /// Whether a claim got nothing because others held what was ready: then it waits for them, in order.
    fn was_kept_from(&self, jobs: &[Job], answers: &[Answer]) -> bool {
        !self.rows.skipped().task_keys.is_empty()
            && jobs.iter().zip(answers).any(|(job, answer)| match (&job.command, answer) {
                (Command::Claim(_), Answer::Claim(given)) => given.is_empty(),
                _ => false,
            })
    }

    /// Notes when a sweep was, and forgets keys that are over.
    fn note_sweep(&mut self, now: Timestamp) -> Result<(), DbError> {
        if self.sweep_noted.is_none_or(|noted| now - noted >= SWEEP_NOTED_EVERY || now < noted) {
            self.rows.link.execute(sql::SET_META, &[&LAST_SWEEP, &now.0.to_string()])?;
            self.rows.link.execute(sql::FORGET_OLD_KEYS, &[&(now - IDEMPOTENCY_KEPT).0, &KEYS_FORGOTTEN])?;
            self.sweep_noted = Some(now);
        }
        Ok(())
    }

    /// A listener that panics must not take the writer along.
    fn tell(&self, tell: impl FnOnce(&dyn Sink)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(&*self.sink))) {
            tracing::error!(panic = panic_text(&*panic), "a listener of the store panicked");
        }
    }

    /// Tells in the promised order: counters, answers, effects.
    fn answer(&mut self, jobs: Vec<Job>, done: Done, started: Instant) {
        if !done.effects.progress.is_empty() {
            self.tell(|sink| sink.progressed(&done.effects.progress));
        }
        if let Some(swept) = done.swept {
            self.last_sweep.store(swept.0, Ordering::Release);
        }
        let db = done.started_commit - started;
        for (job, value) in jobs.into_iter().zip(done.answers) {
            let queue = started.saturating_duration_since(job.queued);
            let timing = Timing { queue, pool: Duration::ZERO, db, commit: done.commit };
            // Nobody may be waiting any more.
            let _ = job.answer.send(Ok(Timed { value, timing }));
        }
        if !done.effects.is_empty() {
            let effects = Arc::new(done.effects);
            self.tell(|sink| sink.committed(effects));
        }
    }
}

fn refuse(job: Job, failure: &Failure) {
    let error = failure.store_error();
    tracing::error!(command = job.command.name(), %error, "a command failed");
    // Nobody may be waiting any more.
    let _ = job.answer.send(Err(error));
}
