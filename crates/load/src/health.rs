//! Whether the generator itself was the bottleneck: then its result says more about it than about the server.

use regatta_stats::Distribution;

/// A thread busier than this has no time left to be punctual.
const BUSY: f64 = 0.9;
/// A lag below this disturbs nothing, in microseconds.
const LAG: u64 = 1_000;
/// A lag that makes up this share of the slow answers' time is measured instead of them.
const LAG_SHARE: f64 = 0.2;
/// So many of the arrivals may be dropped.
const DROPPED: f64 = 0.001;

/// What the generator measured about itself.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Each thread's share of a core, averaged over its seconds.
    pub cpu: Vec<f64>,
    /// How late a thread runs what is due, in microseconds, beyond the timer's own millisecond.
    pub lag: Distribution,
    /// How late arrivals were started, in microseconds; of the open model.
    pub lateness: Distribution,
    /// Reasons that are already sentences: a resource ran out.
    pub reasons: Vec<String>,
}

impl Health {
    /// Why the result is not valid; empty when it is. `slow` is the 99th percentile of what was measured, in
    /// microseconds.
    pub fn complaints(&self, slow: u64, iterations: u64, dropped: u64) -> Vec<String> {
        let mut complaints = self.reasons.clone();
        let busy = self.cpu.iter().filter(|share| **share > BUSY).count();
        if busy > 0 {
            let most = self.cpu.iter().copied().fold(0.0, f64::max) * 100.0;
            complaints.push(format!(
                "{busy} of {} threads used more than {:.0} % of a core (the busiest {most:.0} %): use more --threads, fewer \
                 users, or another machine",
                self.cpu.len(),
                BUSY * 100.0
            ));
        }
        let lag = self.lag.quantile(0.99);
        if lag > LAG && lag as f64 > LAG_SHARE * slow as f64 {
            complaints.push(format!(
                "the threads ran {:.1} ms late (99th percentile), which is within what was measured: something else \
                 uses this machine's cores",
                lag as f64 / 1_000.0
            ));
        }
        let arrivals = iterations + dropped;
        if dropped > 0 && dropped as f64 > DROPPED * arrivals as f64 {
            complaints.push(format!(
                "{dropped} of {arrivals} arrivals were dropped, because every user was busy: allow more with --users"
            ));
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told() {
        let mut health = Health { cpu: vec![0.5, 0.3], ..Health::default() };
        assert!(health.complaints(10_000, 100, 0).is_empty());
        health.cpu[1] = 0.97;
        (0..100).for_each(|_| health.lag.record_micros(5_000));
        let complaints = health.complaints(10_000, 100, 50).join("\n");
        for part in ["1 of 2 threads", "97 %", "5.0 ms late", "50 of 150 arrivals"] {
            assert!(complaints.contains(part), "{complaints}");
        }
        // Late by less than what matters beside slow answers.
        assert!(!health.complaints(1_000_000, 100, 0).join("").contains("late"));
    }
}
