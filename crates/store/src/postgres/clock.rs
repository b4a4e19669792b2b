//! The database's clock, as this process follows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use regatta_model::{Span, Timestamp};

/// What time it is in the database: its clock at the last transaction, driven on by this process's monotonic clock. So
/// nodes agree on the time, whatever their own clocks on the wall show. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DatabaseClock {
    origin: Instant,
    /// The database's time at `origin`, in microseconds.
    at_origin: Arc<AtomicI64>,
}

impl DatabaseClock {
    pub(super) fn starting_at(now: Timestamp) -> Self {
        Self { origin: Instant::now(), at_origin: Arc::new(AtomicI64::new(now.0)) }
    }

    fn elapsed(&self) -> Span {
        Span::micros(i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// The database said just now that it is `now`.
    pub(super) fn heard(&self, now: Timestamp) {
        self.at_origin.store((now - Timestamp(self.elapsed().0)).0, Ordering::Relaxed);
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.at_origin.load(Ordering::Relaxed)) + self.elapsed()
    }
}
