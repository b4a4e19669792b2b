//! The engine's clock: wall-clock time that never runs backwards.
//!
//! Leases are promises about lengths of time, so they must not end early because someone set the clock. The
//! clock is anchored to the wall once and then driven by the monotonic clock. When the wall has run ahead
//! (it was set, or the machine slept), [`Clock::catch_up`] follows it and says by how much, so that leases
//! can be extended by what nobody was up to renew.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use regatta_model::{Span, Timestamp};

/// How far the wall may run ahead before the clock follows.
const TOLERANCE: Span = Span::seconds(2);

#[derive(Debug)]
struct Anchor {
    wall: Timestamp,
    monotonic: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct Clock {
    anchor: RwLock<Anchor>,
}

impl Clock {
    /// A clock that starts at the wall's time, or at `not_before` when that is later: a store may hold times
    /// from before the wall was set back.
    pub fn start(not_before: Option<Timestamp>) -> Self {
        let wall = not_before.map_or_else(wall, |least| wall().max(least));
        Self { anchor: RwLock::new(Anchor { wall, monotonic: Instant::now() }) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let anchor = self.anchor.read();
        anchor.wall + Span::micros(i64::try_from(anchor.monotonic.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// Follows a wall that ran ahead by more than the tolerance; the length of the jump.
    pub fn catch_up(&self) -> Option<Span> {
        let ahead = wall() - self.now();
        if ahead <= TOLERANCE {
            return None;
        }
        let mut anchor = self.anchor.write();
        anchor.wall = anchor.wall + ahead;
        Some(ahead)
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_no_earlier_than_what_the_store_has_seen() {
        let future = wall() + Span::seconds(3_600);
        let clock = Clock::start(Some(future));
        assert!(clock.now() >= future);
        assert_eq!(clock.catch_up(), None);
    }

    #[test]
    fn follows_a_wall_that_ran_ahead() {
        let clock = Clock::start(None);
        clock.anchor.write().wall = wall() - Span::seconds(7_200);
        let jump = clock.catch_up().unwrap();
        assert!(jump > Span::seconds(7_190), "{jump:?}");
        assert!(clock.catch_up().is_none());
    }
}
