//! How many requests are served at once. What is beyond that is refused at once with a 503 instead of queueing up.
//!
//! Three shares: ordinary calls; calls that wait for something to happen (polls, `wait_seconds`), which cost almost
//! nothing while they do; and vital ones (heartbeats, registration, health, lines), which are always let in, since
//! refusing them would make an overload worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::options::Limits;
use crate::problem::Failure;
use crate::request;

/// To which share a call belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    Ordinary,
    Vital,
}

#[derive(Debug)]
struct Count {
    now: AtomicUsize,
    limit: usize,
}

impl Count {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { now: AtomicUsize::new(0), limit })
    }

    fn take(self: &Arc<Self>, amount: usize) -> Option<Permit> {
        if self.now.fetch_add(amount, Ordering::Relaxed) + amount > self.limit {
            self.now.fetch_sub(amount, Ordering::Relaxed);
            return None;
        }
        Some(Permit { count: self.clone(), amount })
    }
}

/// A place among the requests that are served, or room for a body; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    count: Arc<Count>,
    amount: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.count.now.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

/// The places.
#[derive(Debug)]
pub(crate) struct Places {
    ordinary: Arc<Count>,
    waiting: Arc<Count>,
    bodies: Arc<Count>,
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            ordinary: Count::new(limits.concurrent_requests),
            waiting: Count::new(limits.waiting_requests),
            bodies: Count::new(limits.body_bytes),
        }
    }

    /// Lets a request in; `None` is a place that is not counted.
    pub(crate) fn enter(&self, share: Share) -> Result<Option<Permit>, Failure> {
        match share {
            Share::Vital => Ok(None),
            Share::Ordinary => self.ordinary.take(1).map(Some).ok_or_else(Failure::overloaded),
        }
    }

    /// Moves the current request to those that wait for something to happen.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        let waiting = self.waiting.take(1).ok_or_else(Failure::overloaded)?;
        request::with_permit(|permit| *permit = Some(waiting));
        Ok(())
    }

    /// Room for a long body while it is read.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Permit, Failure> {
        self.bodies.take(bytes).ok_or_else(Failure::overloaded)
    }

    /// Ordinary requests served now.
    pub(crate) fn serving(&self) -> usize {
        self.ordinary.now.load(Ordering::Relaxed)
    }

    /// Requests that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.now.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_share_refuses_until_a_place_is_given_back() {
        let limits = Limits { concurrent_requests: 2, ..Limits::default() };
        let places = Places::new(&limits);
        let first = places.enter(Share::Ordinary).unwrap();
        let _second = places.enter(Share::Ordinary).unwrap();
        assert!(places.enter(Share::Ordinary).is_err());
        assert!(places.enter(Share::Vital).unwrap().is_none());
        drop(first);
        assert!(places.enter(Share::Ordinary).is_ok());
    }
}
