//! The order to stop an attempt: given once, seen by all who wait for it.

use std::time::Duration;

use tokio::sync::watch;

/// Why an attempt is to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// The server said so; in words.
    Cancelled(String),
    /// It ran longer than it may.
    TimedOut,
    /// Its lease could not be renewed: another worker may be given it.
    LeaseOver,
    /// The server says that the lease is over.
    Dropped,
    /// The worker is shutting down and gives it back.
    Draining,
    /// The worker is no longer this worker: unregistered, or another process took over.
    Expelled,
}

/// The order to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    /// Why.
    pub reason: StopReason,
    /// How long a process has between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// Gives the order.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<Option<StopOrder>>);

/// Receives the order.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<StopOrder>>);

impl Stopper {
    /// A pair of giver and receiver.
    pub fn new() -> (Self, Stop) {
        let (giver, receiver) = watch::channel(None);
        (Self(giver), Stop(receiver))
    }

    /// Gives the order, unless one was given before: the first reason counts.
    pub fn stop(&self, reason: StopReason, grace: Duration) {
        self.0.send_if_modified(|order| {
            let first = order.is_none();
            if first {
                *order = Some(StopOrder { reason, grace });
            }
            first
        });
    }

    /// The order, if one was given.
    pub fn order(&self) -> Option<StopOrder> {
        self.0.borrow().clone()
    }
}

impl Stop {
    /// Waits for the order; for ever if none can come any more.
    pub async fn stopped(&self) -> StopOrder {
        let mut receiver = self.0.clone();
        let order = receiver.wait_for(Option::is_some).await;
        match order.ok().and_then(|order| order.clone()) {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts_and_is_seen_late_and_by_all() {
        let (stopper, stop) = Stopper::new();
        assert_eq!(stopper.order(), None);
        stopper.stop(StopReason::TimedOut, Duration::from_secs(2));
        stopper.stop(StopReason::Draining, Duration::ZERO);
        let other = stop.clone();
        assert_eq!(stop.stopped().await.reason, StopReason::TimedOut);
        drop(stopper);
        assert_eq!(other.stopped().await.grace, Duration::from_secs(2));
    }
}
