//! How long and how often to try again: exponential backoff with jitter.
//!
//! Which calls may be repeated is not here, see `transport`.

use std::time::{Duration, Instant};

/// How long to repeat what failed for a reason that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// No attempt starts later than this after the first; zero: no repetition.
    pub max_elapsed: Duration,
    /// The pause before the first repetition; it doubles from there.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Default for RetryPolicy {
    /// A few seconds: long enough for a server's restart to begin to answer, short enough for a person at a terminal.
    fn default() -> Self {
        Self::within(Duration::from_secs(5))
    }
}

impl RetryPolicy {
    /// Repeat for this long.
    pub const fn within(max_elapsed: Duration) -> Self {
        Self { max_elapsed, initial: Duration::from_millis(100), max: Duration::from_secs(5) }
    }

    /// Never repeat.
    pub const fn none() -> Self {
        Self::within(Duration::ZERO)
    }

    /// Starts counting.
    pub(crate) fn start(self) -> Retries {
        Retries { policy: self, started: Instant::now(), backoff: Backoff::new(self.initial, self.max) }
    }
}

/// One call's repetitions.
pub(crate) struct Retries {
    policy: RetryPolicy,
    started: Instant,
    backoff: Backoff,
}

impl Retries {
    /// Whether nothing is ever repeated.
    pub(crate) fn is_none(&self) -> bool {
        self.policy.max_elapsed.is_zero()
    }

    /// The pause before the next attempt, at least what the server asked for; `None` when the policy is used up.
    pub(crate) fn pause(&mut self, at_least: Option<Duration>) -> Option<Duration> {
        let pause = self.backoff.pause().max(at_least.unwrap_or_default());
        let over = self.started.elapsed().saturating_add(pause) > self.policy.max_elapsed;
        (!over).then_some(pause)
    }
}

/// Pauses that double, each shortened by chance so that many clients do not come back at once.
///
/// "Equal jitter" of Marc Brooker, "Exponential Backoff And Jitter"
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>): half of the pause is certain, half is chance.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `initial` to `max`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, next: initial }
    }

    /// The next pause: between half of it and all of it.
    pub fn pause(&mut self) -> Duration {
        let whole = self.next.min(self.max);
        self.next = whole.saturating_mul(2);
        whole.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    /// Back to the first pause: it worked.
    pub fn reset(&mut self) {
        self.next = self.initial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for whole in [100, 200, 300, 300] {
            let pause = backoff.pause().as_millis();
            assert!((whole / 2..=whole).contains(&pause), "{pause} of {whole}");
        }
        backoff.reset();
        assert!(backoff.pause().as_millis() <= 100);
    }

    #[test]
    fn the_policy_ends_and_the_servers_wish_counts() {
        assert_eq!(RetryPolicy::none().start().pause(None), None);
        let mut retries = RetryPolicy::within(Duration::from_secs(3600)).start();
        assert_eq!(retries.pause(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(retries.pause(Some(Duration::from_secs(3601))), None);
    }
}
