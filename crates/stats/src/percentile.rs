//! A percentile with what it rests on.

use std::fmt;

/// A percentile of some samples.
///
/// The p-th percentile of fewer than `1 / (1 - p)` samples is their maximum and says no more than it, so it is
/// printed as what it is: `max of 10`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    /// Which: 0 to 100.
    pub p: f64,
    /// Its value, in microseconds.
    pub micros: u64,
    /// The largest sample, in microseconds.
    pub max: u64,
    /// How many samples there are.
    pub samples: u64,
}

impl Percentile {
    /// Whether there are enough samples for it to be more than their maximum.
    pub fn is_known(&self) -> bool {
        let share = 1.0 - self.p / 100.0;
        // Of ten samples the 90th percentile is known: 1 / (1 - 0.9) is 10, give or take the last digit of a float.
        share <= 0.0 || self.samples as f64 * share >= 1.0 - 1e-9
    }

    /// Its value in milliseconds.
    pub fn ms(&self) -> f64 {
        self.micros as f64 / 1_000.0
    }
}

/// In milliseconds, `12.3ms`, or `45.6ms (max of 10)`.
impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() {
            write!(f, "{:.2}ms", self.ms())
        } else {
            write!(f, "{:.2}ms (max of {})", self.max as f64 / 1_000.0, self.samples)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Distribution;

    #[test]
    fn too_few_samples_are_said_to_be_few() {
        let mut ten = Distribution::new();
        (1..=10).for_each(|n| ten.record_micros(n * 1_000));
        assert_eq!(ten.percentile(95.0).to_string(), "10.00ms (max of 10)");
        assert_eq!(ten.percentile(90.0).to_string(), "9.00ms");
        assert_eq!(ten.percentile(100.0).to_string(), "10.00ms");
        (11..=20).for_each(|n| ten.record_micros(n * 1_000));
        assert_eq!(ten.percentile(95.0).to_string(), "19.00ms");
    }
}
