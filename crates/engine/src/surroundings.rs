//! What the engine takes from the world beside its store and its bus: time and chance.
//!
//! Everything else it does follows from these and from what it is told, which is what makes a simulation of it
//! repeatable. Timers are tokio's, whose clock a simulation can stop and drive by itself.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use regatta_model::Timestamp;
use uuid::Uuid;

/// Time and chance.
pub trait Surroundings: Send + Sync + 'static {
    /// What the clock on the wall shows; it may be set, forwards and back.
    fn wall(&self) -> Timestamp;
    /// Time since some point in the past; it never runs backwards.
    fn monotonic(&self) -> Duration;
    /// Any number.
    fn random(&self) -> u32;
    /// A version 7 UUID that was never given out before.
    fn uuid(&self) -> Uuid;
}

/// The world as it is.
#[derive(Debug)]
pub struct RealWorld {
    origin: Instant,
}

impl Default for RealWorld {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Surroundings for RealWorld {
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn random(&self) -> u32 {
        rand::random()
    }

    fn uuid(&self) -> Uuid {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // By this thread's generator: `Uuid::now_v7` asks the system, a call for each task.
        let random: [u8; 10] = rand::random();
        uuid::Builder::from_unix_timestamp_millis(since.as_millis() as u64, &random).into_uuid()
    }
}
