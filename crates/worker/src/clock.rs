//! The clock leases are kept by: monotonic, and it goes on while the machine sleeps.
//!
//! `std::time::Instant` stands still during suspend on Linux; a laptop that wakes up after an hour would believe in leases long over.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine started, time asleep included; the same in every process of the machine.
pub fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // Neither is negative on this clock.
    (now.tv_sec as u64) * 1000 + (now.tv_nsec as u64) / 1_000_000
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_does_not_go_back() {
        let first = super::boot_ms();
        assert!(first > 0);
        assert!(super::boot_ms() >= first);
    }
}
