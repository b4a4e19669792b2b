//! Following tasks by the numbers of their events: what is old, what is next, and what is missing between.

use std::collections::HashMap;

use regatta_model::TaskId;

use super::socket::Gone;
use crate::problem::Failure;

/// Why a step of a watcher was not done.
pub(crate) enum Stop {
    /// The client is gone.
    Gone,
    /// The client is told why.
    Refused(Failure),
}

/// What a step of a watcher comes to.
pub(crate) type Step<T = ()> = Result<T, Stop>;

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<regatta_engine::Error> for Stop {
    fn from(error: regatta_engine::Error) -> Self {
        Self::Refused(error.into())
    }
}

/// How far a task's events were sent.
#[derive(Debug, Clone, Copy)]
struct Tail {
    /// Everything up to this number was sent or skipped; `None`: whatever comes next is next.
    seen: Option<u64>,
    /// Nothing live was sent since what was kept: what was missed meanwhile is not the client's fault and is read.
    fresh: bool,
}

/// How an event stands to what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meets {
    /// Its task is not followed.
    Nothing,
    /// It was sent.
    Old,
    /// It comes next.
    Next,
    /// Numbers are contiguous over all events of a task: those above `after` and up to `upto` were lost on the way.
    Missing { after: u64, upto: u64 },
}

/// The tasks that a watcher follows.
#[derive(Debug, Default)]
pub(crate) struct Tails(HashMap<TaskId, Tail>);

impl Tails {
    /// Follows a task after `seen`.
    pub(crate) fn follow(&mut self, task: TaskId, seen: Option<u64>) {
        self.0.insert(task, Tail { seen, fresh: true });
    }

    pub(crate) fn leave(&mut self, task: TaskId) {
        self.0.remove(&task);
    }

    pub(crate) fn follows(&self, task: TaskId) -> bool {
        self.0.contains_key(&task)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Up to which number a task's events were sent.
    pub(crate) fn seen(&self, task: TaskId) -> Option<u64> {
        self.0.get(&task)?.seen
    }

    pub(crate) fn meets(&self, task: TaskId, seq: u64) -> Meets {
        match self.0.get(&task).map(|tail| tail.seen) {
            None => Meets::Nothing,
            Some(Some(seen)) if seq <= seen => Meets::Old,
            Some(Some(seen)) if seq > seen + 1 => Meets::Missing { after: seen, upto: seq - 1 },
            Some(_) => Meets::Next,
        }
    }

    /// A live event was sent.
    pub(crate) fn sent(&mut self, task: TaskId, seq: u64) {
        if let Some(tail) = self.0.get_mut(&task) {
            *tail = Tail { seen: Some(seq), fresh: false };
        }
    }

    /// What was missed was read up to here.
    pub(crate) fn caught_up(&mut self, task: TaskId, seen: u64) {
        if let Some(tail) = self.0.get_mut(&task) {
            tail.seen = Some(seen);
        }
    }

    /// The tasks whose missed events are known by number, with the last that was sent; after a lag only the fresh.
    pub(crate) fn behind(&self, only_fresh: bool) -> Vec<(TaskId, u64)> {
        let wanted = self.0.iter().filter(|(_, tail)| tail.fresh || !only_fresh);
        wanted.filter_map(|(task, tail)| Some((*task, tail.seen?))).collect()
    }

    /// How many tasks lose nothing by a lag.
    pub(crate) fn safe(&self) -> usize {
        self.0.values().filter(|tail| tail.fresh && tail.seen.is_some()).count()
    }

    /// After a lag the others go on from the newest.
    pub(crate) fn skip(&mut self) {
        for tail in self.0.values_mut().filter(|tail| !tail.fresh) {
            tail.seen = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_what_is_old_next_and_missing() {
        let task = TaskId::from_random(uuid::Uuid::from_u128(1 << 90));
        let mut tails = Tails::default();
        assert_eq!(tails.meets(task, 1), Meets::Nothing);
        tails.follow(task, Some(4));
        assert_eq!(tails.meets(task, 4), Meets::Old);
        assert_eq!(tails.meets(task, 5), Meets::Next);
        assert_eq!(tails.meets(task, 8), Meets::Missing { after: 4, upto: 7 });
        assert_eq!((tails.safe(), tails.behind(true)), (1, vec![(task, 4)]));
        tails.sent(task, 5);
        assert_eq!((tails.safe(), tails.behind(true), tails.behind(false)), (0, vec![], vec![(task, 5)]));
        tails.skip();
        assert_eq!(tails.meets(task, 100), Meets::Next);
    }
}
