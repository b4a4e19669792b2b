//! One lease as the worker sees it: when it must have ended its process, by its own clock. Pure.

use std::time::Duration;

/// How long before the end of a lease its process is ended, in milliseconds.
const MARGIN_MS: u64 = 15_000;
/// A lease shorter than this, in milliseconds, has a margin of a quarter of itself.
const SHORT_MS: u64 = 60_000;
/// The most a process has between SIGTERM and SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// A lease and how far it reaches; times are [`crate::clock::boot_ms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseClock {
    length_ms: u64,
    until_ms: u64,
}

impl LeaseClock {
    /// A lease of so many seconds, given at this time or before.
    pub(super) fn new(seconds: u32, given_ms: u64) -> Self {
        let length_ms = u64::from(seconds) * 1000;
        Self { length_ms, until_ms: given_ms + length_ms }
    }

    /// A renewal that was asked for at this time has been acknowledged. What was asked for earlier changes nothing.
    pub(super) fn renewed(&mut self, asked_ms: u64) {
        self.until_ms = self.until_ms.max(asked_ms + self.length_ms);
    }

    /// When the process is told to end.
    pub(super) fn stop_at_ms(&self) -> u64 {
        self.until_ms - self.margin_ms()
    }

    /// When nothing of the process may run any more.
    pub(super) fn kill_at_ms(&self) -> u64 {
        self.until_ms - self.margin_ms() / 2
    }

    /// How long the process has after it is told to end because the lease could not be renewed.
    pub(super) fn grace(&self) -> Duration {
        GRACE.min(Duration::from_millis(self.margin_ms() / 2))
    }

    /// How often to renew it.
    pub(super) fn third(&self) -> Duration {
        Duration::from_millis(self.length_ms / 3)
    }

    fn margin_ms(&self) -> u64 {
        if self.length_ms < SHORT_MS { self.length_ms / 4 } else { MARGIN_MS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_ends_fifteen_seconds_before_the_lease_or_a_quarter_of_a_short_one() {
        let lease = LeaseClock::new(90, 1000);
        assert_eq!((lease.stop_at_ms(), lease.kill_at_ms()), (76_000, 83_500));
        assert_eq!((lease.grace(), lease.third()), (Duration::from_secs(2), Duration::from_secs(30)));
        let short = LeaseClock::new(4, 0);
        assert_eq!((short.stop_at_ms(), short.kill_at_ms()), (3000, 3500));
        assert_eq!(short.grace(), Duration::from_millis(500));
        assert_eq!(LeaseClock::new(60, 0).stop_at_ms(), 45_000);
        assert_eq!(LeaseClock::new(0, 7).stop_at_ms(), 7);
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_asked_for() {
        let mut lease = LeaseClock::new(90, 0);
        lease.renewed(30_000);
        assert_eq!(lease.stop_at_ms(), 105_000);
        lease.renewed(10_000);
        assert_eq!(lease.stop_at_ms(), 105_000, "answers may overtake each other");
    }
}
