//! The engine's clock: wall-clock time that never runs backwards.
//!
//! Leases are promises about lengths of time, so they must not end early because someone set the clock. The
//! clock is anchored to the wall once and then driven by the monotonic clock. When the wall has run ahead
//! (it was set, or the machine slept), [`Clock::catch_up`] follows it and says by how much, so that leases
//! can be extended by what nobody was up to renew.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use regatta_model::{Span, Timestamp};

use crate::Surroundings;

/// How far the wall may run ahead before the clock follows.
const TOLERANCE: Span = Span::seconds(2);

#[derive(Debug)]
struct Anchor {
    wall: Timestamp,
    monotonic: Duration,
}

/// See the module.
pub struct Clock {
    world: Arc<dyn Surroundings>,
    anchor: RwLock<Anchor>,
}

impl Clock {
    /// A clock that starts at the wall's time, or at `not_before` when that is later: a store may hold times
    /// from before the wall was set back.
    pub fn start(world: Arc<dyn Surroundings>, not_before: Option<Timestamp>) -> Self {
        let wall = not_before.map_or_else(|| world.wall(), |least| world.wall().max(least));
        let anchor = RwLock::new(Anchor { wall, monotonic: world.monotonic() });
        Self { world, anchor }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let anchor = self.anchor.read();
        let elapsed = self.world.monotonic().saturating_sub(anchor.monotonic);
        anchor.wall + Span::micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }

    /// Follows a wall that ran ahead by more than the tolerance; the length of the jump.
    pub fn catch_up(&self) -> Option<Span> {
        let ahead = self.world.wall() - self.now();
        if ahead <= TOLERANCE {
            return None;
        }
        let mut anchor = self.anchor.write();
        anchor.wall = anchor.wall + ahead;
        Some(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealWorld;

    fn clock(not_before: Option<Timestamp>) -> Clock {
        Clock::start(Arc::new(RealWorld::default()), not_before)
    }

    #[test]
    fn starts_no_earlier_than_what_the_store_has_seen() {
        let future = RealWorld::default().wall() + Span::seconds(3_600);
        let clock = clock(Some(future));
        assert!(clock.now() >= future);
        assert_eq!(clock.catch_up(), None);
    }

    #[test]
    fn follows_a_wall_that_ran_ahead() {
        let clock = clock(None);
        clock.anchor.write().wall = RealWorld::default().wall() - Span::seconds(7_200);
        let jump = clock.catch_up().unwrap();
        assert!(jump > Span::seconds(7_190), "{jump:?}");
        assert!(clock.catch_up().is_none());
    }
}
