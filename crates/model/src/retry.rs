//! When a failed attempt is tried again.

use crate::time::Span;

/// Lost leases that one subtask may have; with the next one it fails as `lost_too_often`.
pub const MAX_LOSSES: u32 = 10;

/// How long a worker that rejected a subtask is not offered it again.
pub const REJECT_PAUSE: Span = Span::seconds(5);

/// The pause before the next attempt after `failures` (>= 1) failed ones: 1 s, doubled each time, at most
/// 30 s, spread by up to a fifth either way with `jitter` (any number, uniformly random) so that what failed
/// together does not come back together.
pub fn backoff(failures: u32, jitter: u16) -> Span {
    let base = 1_000_000_i64 << failures.saturating_sub(1).min(5);
    let capped = base.min(30_000_000);
    let spread = capped * (i64::from(jitter) - 32_768) / 32_768 / 5;
    Span((capped + spread).min(30_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_thirty_seconds() {
        let seconds: Vec<i64> = (1..=8).map(|n| backoff(n, 32_768).as_seconds()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        for jitter in [0, 1, 32_768, u16::MAX] {
            let span = backoff(1, jitter).0;
            assert!((800_000..=1_200_000).contains(&span), "{span}");
        }
    }
}
