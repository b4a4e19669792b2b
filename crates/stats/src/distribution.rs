//! Times of many calls: exact up to [`EXACT`] samples, from there a histogram with three significant digits.
//!
//! The histogram is an HDR histogram (Gil Tene, <https://hdrhistogram.org>): buckets whose width grows with the
//! value, so that the relative error stays below 0.1 % from a microsecond to an hour. Distributions merge without
//! loss: of threads, of seconds, of machines. A merged one is exact only while all its samples fit.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Percentile;

/// So many samples are kept as they are: their percentiles are exact.
pub const EXACT: usize = 10_000;

/// Nothing is recorded as longer than this, in microseconds: an hour.
pub const LONGEST: u64 = 3_600_000_000;

/// Times in whole microseconds.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    samples: Samples,
    /// Sum of squares and of values, for mean and deviation without rounding to buckets.
    sum: f64,
    squares: f64,
    least: u64,
    most: u64,
}

#[derive(Debug, Clone)]
enum Samples {
    Few(Vec<u32>),
    Many(Box<Histogram<u64>>),
}

impl Default for Samples {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Distribution {
    /// One with nothing in it.
    pub const fn new() -> Self {
        Self { samples: Samples::Few(Vec::new()), sum: 0.0, squares: 0.0, least: 0, most: 0 }
    }

    /// Records a time; longer than [`LONGEST`] counts as that long.
    pub fn record(&mut self, time: Duration) {
        self.record_micros(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
    }

    /// Records a time in microseconds.
    pub fn record_micros(&mut self, micros: u64) {
        let micros = micros.min(LONGEST);
        self.least = if self.is_empty() { micros } else { self.least.min(micros) };
        self.most = self.most.max(micros);
        self.sum += micros as f64;
        self.squares += (micros as f64) * (micros as f64);
        match &mut self.samples {
            // LONGEST fits 32 bits.
            Samples::Few(list) if list.len() < EXACT => list.push(micros as u32),
            Samples::Few(list) => {
                let mut histogram = to_histogram(list);
                histogram.saturating_record(micros);
                self.samples = Samples::Many(histogram);
            }
            Samples::Many(histogram) => histogram.saturating_record(micros),
        }
    }

    /// Adds all samples of another.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.least = if self.is_empty() { other.least } else { self.least.min(other.least) };
        self.most = self.most.max(other.most);
        self.sum += other.sum;
        self.squares += other.squares;
        if let Samples::Few(ours) = &mut self.samples {
            match &other.samples {
                Samples::Few(theirs) if ours.len() + theirs.len() <= EXACT => {
                    ours.extend_from_slice(theirs);
                    return;
                }
                _ => self.samples = Samples::Many(to_histogram(ours)),
            }
        }
        let Samples::Many(ours) = &mut self.samples else { return };
        match &other.samples {
            Samples::Few(theirs) => theirs.iter().for_each(|&micros| ours.saturating_record(u64::from(micros))),
            // Both have the same range and precision: nothing is lost, and it cannot fail.
            Samples::Many(theirs) => {
                let _ = ours.add(theirs.as_ref());
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        match &self.samples {
            Samples::Few(list) => list.len() as u64,
            Samples::Many(histogram) => histogram.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether every sample is still known as it was.
    pub const fn is_exact(&self) -> bool {
        matches!(self.samples, Samples::Few(_))
    }

    /// The shortest, in microseconds; 0 without samples. Always exact.
    pub const fn min(&self) -> u64 {
        self.least
    }

    /// The longest, in microseconds; 0 without samples. Always exact.
    pub const fn max(&self) -> u64 {
        self.most
    }

    /// The sum in microseconds.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// The mean in microseconds; 0 without samples.
    pub fn mean(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.sum / self.count() as f64 }
    }

    /// The standard deviation of the sample (n - 1) in microseconds; 0 with fewer than two.
    pub fn deviation(&self) -> f64 {
        let n = self.count() as f64;
        if n < 2.0 { 0.0 } else { ((self.squares - self.sum * self.sum / n) / (n - 1.0)).max(0.0).sqrt() }
    }

    /// The value in microseconds that a share `p` (0 to 1) of the samples does not exceed: the sample of rank
    /// `ceil(p * n)`, the nearest-rank definition. Never above the maximum; 0 without samples.
    pub fn quantile(&self, p: f64) -> u64 {
        let p = p.clamp(0.0, 1.0);
        match &self.samples {
            Samples::Few(list) if list.is_empty() => 0,
            Samples::Few(list) => {
                let mut list = list.clone();
                let rank = rank(p, list.len());
                u64::from(*list.select_nth_unstable(rank).1)
            }
            // The histogram answers with the upper edge of a bucket.
            Samples::Many(histogram) => histogram.value_at_quantile(p).clamp(self.least, self.most),
        }
    }

    /// Several quantiles in one go, in microseconds.
    pub fn quantiles<const N: usize>(&self, ps: [f64; N]) -> [u64; N] {
        match &self.samples {
            Samples::Few(list) if !list.is_empty() => {
                let mut list = list.clone();
                list.sort_unstable();
                ps.map(|p| u64::from(list[rank(p.clamp(0.0, 1.0), list.len())]))
            }
            _ => ps.map(|p| self.quantile(p)),
        }
    }

    /// A percentile that knows how many samples it rests on; `p` from 0 to 100.
    pub fn percentile(&self, p: f64) -> Percentile {
        Percentile { p, micros: self.quantile(p / 100.0), max: self.most, samples: self.count() }
    }

    /// How many samples took at most so many microseconds (of a histogram: within its precision).
    pub fn count_up_to(&self, micros: u64) -> u64 {
        match &self.samples {
            Samples::Few(list) => list.iter().filter(|&&sample| u64::from(sample) <= micros).count() as u64,
            Samples::Many(histogram) => histogram.count_between(0, micros),
        }
    }

    /// Every value with its count, ascending; of a histogram the middle of each bucket.
    pub fn values(&self) -> Vec<(u64, u64)> {
        match &self.samples {
            Samples::Few(list) => {
                let mut list = list.clone();
                list.sort_unstable();
                let mut values: Vec<(u64, u64)> = Vec::new();
                for micros in list.into_iter().map(u64::from) {
                    match values.last_mut() {
                        Some((value, count)) if *value == micros => *count += 1,
                        _ => values.push((micros, 1)),
                    }
                }
                values
            }
            Samples::Many(histogram) => histogram
                .iter_recorded()
                .map(|step| {
                    let middle = histogram.median_equivalent(step.value_iterated_to());
                    (middle.clamp(self.least, self.most), step.count_at_value())
                })
                .collect(),
        }
    }
}

/// Index of the nearest rank in a sorted list that is not empty.
fn rank(p: f64, len: usize) -> usize {
    ((p * len as f64).ceil() as usize).clamp(1, len) - 1
}

fn to_histogram(samples: &[u32]) -> Box<Histogram<u64>> {
    // The bounds are constants that the constructor accepts; were they not, every test would fail here.
    #[allow(clippy::expect_used)]
    let mut histogram =
        Box::new(Histogram::new_with_bounds(1, LONGEST, 3).expect("a microsecond to an hour in three digits"));
    samples.iter().for_each(|&micros| histogram.saturating_record(u64::from(micros)));
    histogram
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::new();
        values.into_iter().for_each(|value| distribution.record_micros(value));
        distribution
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = Distribution::new();
        assert_eq!((none.count(), none.min(), none.max(), none.quantile(0.5)), (0, 0, 0, 0));
        assert_eq!((none.mean(), none.deviation()), (0.0, 0.0));
    }

    #[test]
    fn few_samples_are_exact() {
        let ten = of(1..=10);
        assert_eq!(ten.quantiles([0.0, 0.1, 0.5, 0.95, 1.0]), [1, 1, 5, 10, 10]);
        assert_eq!((ten.min(), ten.max(), ten.mean()), (1, 10, 5.5));
        assert!((ten.deviation() - 3.0277).abs() < 1e-3);
    }

    #[test]
    fn up_to_ten_thousand_exact_then_three_digits() {
        let exact = of((1..=10_000).map(|n| n * 1_001));
        assert!(exact.is_exact());
        assert_eq!(exact.quantile(0.999), 9_990 * 1_001);
        let many = of((1..=20_000).map(|n| n * 1_001));
        assert!(!many.is_exact());
        let error = many.quantile(0.5) as f64 / (10_000.0 * 1_001.0) - 1.0;
        assert!(error.abs() < 1e-3, "{error}");
        assert_eq!(many.quantile(1.0), 20_000 * 1_001);
    }

    #[test]
    fn longer_than_the_longest_is_the_longest() {
        let mut distribution = Distribution::new();
        distribution.record(Duration::from_secs(100_000));
        assert_eq!(distribution.max(), LONGEST);
    }

    proptest! {
        /// Merging parts says what recording all in one says, whatever their sizes.
        #[test]
        fn parts_merge_to_the_whole(sizes in proptest::collection::vec(0usize..7_000, 1..5), seed in 1u64..1_000) {
            let mut whole = Distribution::new();
            let mut merged = Distribution::new();
            let mut value = seed;
            for size in sizes {
                let mut part = Distribution::new();
                for _ in 0..size {
                    // A generator of Lehmer's kind: spread over four magnitudes.
                    value = value * 48_271 % 2_147_483_647;
                    whole.record_micros(value % 10_000_000);
                    part.record_micros(value % 10_000_000);
                }
                merged.merge(&part);
            }
            prop_assert_eq!(merged.count(), whole.count());
            prop_assert_eq!((merged.min(), merged.max()), (whole.min(), whole.max()));
            prop_assert_eq!(merged.values(), whole.values());
            for p in [0.0, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(merged.quantile(p), whole.quantile(p));
                prop_assert!(whole.quantile(p) <= whole.max());
            }
        }
    }
}
