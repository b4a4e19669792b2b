//! The course of a run in a bounded number of points, however long it goes on: when there are too many, every two become
//! one. The last seconds are kept as they were, beside that, for rates of now.

use std::collections::VecDeque;

/// Points of a series, at most: half of them are there after the others became one each.
pub const MOST: usize = 512;
/// Seconds that are kept as they were: the ten of the current rates, and the one that goes on.
const RECENT: usize = 12;

/// What a series is made of.
pub trait Sample: Copy {
    /// Its second; of several that became one, the first in which there was something.
    fn second(&self) -> u64;

    /// Takes in the one that came after it.
    fn absorb(&mut self, later: &Self);
}

/// One second's requests, or those of several seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Seconds since the run began.
    pub second: u64,
    /// Requests that ended in it.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Percentiles 50, 95 and 99 and the maximum, in microseconds. Of several seconds the median is weighed by their
    /// requests, and of the others the largest stays, so that no peak is lost from sight.
    pub micros: [u64; 4],
}

impl Sample for Point {
    fn second(&self) -> u64 {
        self.second
    }

    fn absorb(&mut self, later: &Self) {
        let all = self.requests + later.requests;
        if all > 0 {
            let weighed = |point: &Self| u128::from(point.micros[0]) * u128::from(point.requests);
            let median = (weighed(self) + weighed(later) + u128::from(all / 2)) / u128::from(all);
            self.micros[0] = u64::try_from(median).unwrap_or(u64::MAX);
        }
        for (mine, theirs) in self.micros[1..].iter_mut().zip(&later.micros[1..]) {
            *mine = (*mine).max(*theirs);
        }
        self.requests = all;
        self.failures += later.failures;
    }
}

/// Users at the end of a second; of several seconds the most there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Seconds since the run began.
    pub second: u64,
    /// How many.
    pub users: u64,
}

impl Sample for Level {
    fn second(&self) -> u64 {
        self.second
    }

    fn absorb(&mut self, later: &Self) {
        self.users = self.users.max(later.users);
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Series<T> {
    /// Seconds of a point, counted from the run's first: a power of two.
    step: u64,
    points: Vec<T>,
    recent: VecDeque<T>,
}

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self { step: 1, points: Vec::new(), recent: VecDeque::new() }
    }
}

impl<T: Sample> Series<T> {
    /// Adds a second that comes after all others.
    pub fn push(&mut self, sample: T) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(sample);
        self.append(sample);
        while self.points.len() > MOST {
            self.coarsen(self.step * 2);
        }
    }

    fn append(&mut self, sample: T) {
        let step = self.step;
        match self.points.last_mut().filter(|last| last.second() / step == sample.second() / step) {
            Some(last) => last.absorb(&sample),
            None => self.points.push(sample),
        }
    }

    fn coarsen(&mut self, step: u64) {
        self.step = step;
        for sample in std::mem::take(&mut self.points) {
            self.append(sample);
        }
    }

    /// How many seconds a point stands for: those from a multiple of it to the next.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// All of it, oldest first, without seconds in which there was nothing.
    pub fn points(&self) -> &[T] {
        &self.points
    }

    /// The last seconds as they were, newest first.
    pub fn recent(&self) -> impl Iterator<Item = &T> {
        self.recent.iter().rev()
    }

    /// The last second.
    pub fn last(&self) -> Option<&T> {
        self.recent.back()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        (self.points.capacity() + self.recent.capacity()) * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chance enough, and the same each time.
    fn scattered(at: u64, most: u64) -> u64 {
        at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) % most
    }

    fn point(second: u64) -> Point {
        let median = 1_000 + scattered(second, 500);
        let requests = 1 + scattered(second + 1, 50);
        let micros = [median, median * 2, median * 3, median * 3 + scattered(second + 2, 100_000)];
        Point { second, requests, failures: scattered(second, requests + 1), micros }
    }

    #[test]
    fn whatever_becomes_one_nothing_is_lost() {
        for (case, seconds) in [1, 2, 511, 512, 513, 1_024, 1_025, 5_000, 28_800, 100_000].into_iter().enumerate() {
            let (mut series, mut all) = (Series::default(), Vec::new());
            for second in (7..7 + seconds).filter(|second| scattered(*second, 4) > 0 || case % 2 == 0) {
                let point = point(second);
                series.push(point);
                all.push(point);
            }
            let (points, step) = (series.points(), series.step());
            assert!(points.len() <= MOST && step.is_power_of_two(), "{} of {step} s", points.len());
            assert!(all.len() <= MOST || points.len() >= MOST / 4, "{} of {seconds} s", points.len());
            assert!(all.len() > MOST || points == all, "a short run is kept as it was");
            assert!(points.is_sorted_by(|a, b| a.second / step < b.second / step));
            let mut left = all.as_slice();
            for point in points {
                let count = left.partition_point(|one| one.second / step <= point.second / step);
                let (these, others) = left.split_at(count);
                let sum = |of: fn(&Point) -> u64| these.iter().map(of).sum::<u64>();
                assert_eq!((point.second, point.requests), (these[0].second, sum(|one| one.requests)));
                assert_eq!(point.failures, sum(|one| one.failures));
                for which in 1..4 {
                    assert_eq!(Some(point.micros[which]), these.iter().map(|one| one.micros[which]).max());
                }
                let weighed: u64 = these.iter().map(|one| one.micros[0] * one.requests).sum();
                let apart = point.micros[0].abs_diff(weighed / point.requests);
                assert!(apart <= 20, "the median is {apart} off by rounding");
                left = others;
            }
            assert!(left.is_empty());
            let recent: Vec<Point> = series.recent().copied().collect();
            assert_eq!(recent, all.iter().rev().take(RECENT).copied().collect::<Vec<Point>>());
            assert_eq!(series.last(), all.last());
        }
    }

    #[test]
    fn a_thousand_requests_over_eight_hours_take_a_few_tens_of_megabytes() {
        let mut series = Series::default();
        let mut most = 0;
        for second in 0..8 * 3_600 {
            series.push(point(second));
            most = most.max(series.bytes());
        }
        // Each second in which there is something would be 56 bytes: 1.6 GB.
        let all = 1_000 * most;
        assert!(all < 60_000_000, "{all} bytes of 1,000 names, {} points each", series.points().len());
        // And no more after a week.
        (8 * 3_600..7 * 24 * 3_600).for_each(|second| series.push(point(second)));
        assert!(series.bytes() <= most);
    }

    #[test]
    fn the_most_users_of_some_seconds_stay() {
        let mut series = Series::default();
        (0..10_000).for_each(|second| series.push(Level { second, users: if second == 4_321 { 9 } else { 5 } }));
        let most: Vec<u64> =
            series.points().iter().filter(|level| level.users == 9).map(|level| level.second).collect();
        assert_eq!(most, [4_321 / series.step() * series.step()]);
    }
}
