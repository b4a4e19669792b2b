//! Seeded chance, shared by everything in a history.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Draws; cheap to clone, and every clone draws from the same stream.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub fn number(&self) -> u64 {
        self.0.lock().random()
    }

    /// `true` once in `n` times.
    pub fn one_in(&self, n: u32) -> bool {
        self.between(1, n) == 1
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&self, low: u32, high: u32) -> u32 {
        self.0.lock().random_range(low..=high)
    }

    pub fn duration(&self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.0.lock().random_range(low.as_micros() as u64..=high.as_micros() as u64))
    }

    pub fn seconds(&self, low: u32, high: u32) -> Duration {
        self.duration(Duration::from_secs(low.into()), Duration::from_secs(high.into()))
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.0.lock().random_range(0..from.len())]
    }
}
