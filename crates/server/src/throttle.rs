//! Slows those who show tokens that do not count: by address, in bounded memory.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

/// Failures within [`WINDOW`] that are answered as such; further ones are told to wait.
const FAILURES: u32 = 10;
/// How long failures are counted together, from the first.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; the one that failed longest ago is forgotten first.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// See the module.
#[derive(Debug)]
pub struct Throttle {
    failed: Mutex<LruCache<Network, Failures>>,
}

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

/// Who is counted as one: an IPv4 address, or the /64 that an IPv6 host chooses its addresses from.
type Network = [u8; 8];

impl Default for Throttle {
    fn default() -> Self {
        Self { failed: Mutex::new(LruCache::new(ADDRESSES)) }
    }
}

fn network(peer: Option<IpAddr>) -> Network {
    let mut network = [0; 8];
    match peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V4(address)) => network[..4].copy_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => network.copy_from_slice(&address.octets()[..8]),
        None => {}
    }
    network
}

impl Throttle {
    /// For how many more seconds this address must wait; `None` when it need not.
    pub fn blocked(&self, peer: Option<IpAddr>, now: Instant) -> Option<u64> {
        let mut failed = self.failed.lock();
        let failures = failed.peek(&network(peer)).filter(|failures| failures.count >= FAILURES)?;
        let left = WINDOW.saturating_sub(now.saturating_duration_since(failures.since));
        if left.is_zero() {
            failed.pop(&network(peer));
            return None;
        }
        Some(left.as_millis().div_ceil(1_000) as u64)
    }

    /// Counts a failure.
    pub fn failed(&self, peer: Option<IpAddr>, now: Instant) {
        let mut failed = self.failed.lock();
        let failures = failed.get_or_insert_mut(network(peer), || Failures { since: now, count: 0 });
        if now.saturating_duration_since(failures.since) >= WINDOW {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_fails_too_often_waits_and_others_do_not() {
        let throttle = Throttle::default();
        let (one, other) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        let now = Instant::now();
        for _ in 0..FAILURES {
            assert_eq!(throttle.blocked(one, now), None);
            throttle.failed(one, now);
        }
        assert_eq!(throttle.blocked(one, now), Some(60));
        assert_eq!(throttle.blocked(other, now), None);
        assert_eq!(throttle.blocked(one, now + Duration::from_millis(59_001)), Some(1));
        assert_eq!(throttle.blocked(one, now + WINDOW), None);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_and_memory_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let host = |low: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, low]));
        (0..FAILURES).for_each(|n| throttle.failed(host(n as u16), now));
        assert!(throttle.blocked(host(99), now).is_some());
        for n in 0..10_000_u32 {
            throttle.failed(Some(IpAddr::from(n.to_be_bytes())), now);
        }
        assert_eq!(throttle.failed.lock().len(), ADDRESSES.get());
    }
}
