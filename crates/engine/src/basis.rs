//! What an answer was worked out from, so that whoever keeps it knows for how long the same question has the same
//! answer.
//!
//! A basis is taken *before* anything is read: what changes between the two then only ends it early. It never
//! stands longer than what it is made of, so a read after an acknowledged change shows that change.

use std::time::Instant;

use regatta_model::subtask::State;
use regatta_model::{TaskId, Timestamp};

use crate::{Engine, Result, timing};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    rows: Rows,
    taken_at: Timestamp,
    /// When the clock alone changes the answer.
    until: Timestamp,
    fleet: Fleet,
    /// The number of the figures, where they are shown.
    figures: Option<u64>,
}

/// The stored part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Others write too: nothing can be kept.
    Unknown,
    /// Everything, as of this version of the store.
    All(u64),
    /// One task that has ended, as of this version of its counters.
    Ended(TaskId, u64),
}

/// The fleet as of a number of its changes, and until when it stays so by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fleet {
    generation: u64,
    until: Timestamp,
    used: bool,
}

impl Basis {
    /// Whether an answer may be kept at all.
    pub fn is_known(&self) -> bool {
        self.rows != Rows::Unknown
    }

    /// The answer says why a subtask in this state waits.
    pub fn explains(&mut self, state: State, avoid_until: Option<Timestamp>) {
        if state == State::Ready {
            self.fleet.used = true;
            if let Some(until) = avoid_until.filter(|&until| until > self.taken_at) {
                self.ends(until);
            }
        }
    }

    /// The answer changes then by itself.
    pub fn ends(&mut self, at: Timestamp) {
        self.until = self.until.min(at);
    }
}

impl Engine {
    /// The basis of an answer made of anything that is stored.
    pub fn basis(&self) -> Basis {
        let rows = self.inner.store.version().map_or(Rows::Unknown, Rows::All);
        let taken_at = self.now();
        let (generation, until) = self.inner.fleet.lock().settle(taken_at);
        let fleet = Fleet { generation, until, used: false };
        Basis { rows, taken_at, until: Timestamp(i64::MAX), fleet, figures: None }
    }

    /// The basis of an answer made of one task and its subtasks. Of one that has ended it outlives whatever happens
    /// to others. (The counters of one that runs do not tell of everything its subtasks show.)
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub async fn basis_of_task(&self, id: TaskId) -> Result<Basis> {
        let basis = self.basis();
        let progress = self.progress(id).await?;
        Ok(match progress.status.is_ended() {
            true => Basis { rows: Rows::Ended(id, progress.version), ..basis },
            false => basis,
        })
    }

    /// The basis of the overview, which is made of everything.
    pub fn basis_of_stats(&self) -> Basis {
        let figures = self.inner.recorder.generation();
        let mut basis = self.basis();
        basis.fleet.used = true;
        basis.figures = Some(figures);
        basis.ends(self.inner.recorder.steady_until(basis.taken_at));
        basis
    }

    /// Whether what was made on this basis would be made again.
    pub async fn stands(&self, basis: &Basis) -> bool {
        let since = Instant::now();
        let rows = match basis.rows {
            Rows::Unknown => false,
            Rows::All(version) => self.inner.store.version() == Some(version),
            Rows::Ended(id, version) => self.inner.bus.progress(id).await.is_some_and(|now| now.version == version),
        };
        let now = self.now();
        let fleet = &basis.fleet;
        let stands = rows
            && now < basis.until
            && (!fleet.used || now < fleet.until && self.inner.changes.get() == fleet.generation)
            && basis.figures.is_none_or(|number| number == self.inner.recorder.generation());
        timing::book_cache(since);
        stands
    }
}
