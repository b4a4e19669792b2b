//! What was measured since the last report to the master, in the entries that a master adds up.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::message::{Exception, Failure, Stats, Users};
use crate::engine::meter::Interval;
use crate::report::json::Row;
use crate::scenario::plan::RequestName;

/// So often one exception is told in a report: a master counts messages, and thousands would keep it from its work.
const MOST_EXCEPTIONS: u64 = 100;

/// What is not reported yet.
#[derive(Debug)]
pub struct Delta {
    since: Timestamp,
    requests: BTreeMap<RequestName, Counted>,
    exceptions: HashMap<(String, String), u64>,
}

#[derive(Debug, Default)]
struct Counted {
    interval: Interval,
    /// Requests and failures by second since 1970.
    seconds: BTreeMap<i64, (u64, u64)>,
}

impl Default for Delta {
    fn default() -> Self {
        Self { since: Timestamp::now(), requests: BTreeMap::new(), exceptions: HashMap::new() }
    }
}

impl Delta {
    /// Adds a second, by its time since 1970.
    pub fn add(&mut self, unix: i64, name: &RequestName, interval: &Interval) {
        let counted = match self.requests.get_mut(name) {
            Some(counted) => counted,
            None => self.requests.entry(name.clone()).or_default(),
        };
        counted.interval.merge(interval);
        let second = counted.seconds.entry(unix).or_default();
        second.0 += interval.requests;
        second.1 += interval.failures;
    }

    /// Something in a scenario went wrong so often.
    pub fn exception(&mut self, message: &str, place: &str, count: u64) {
        *self.exceptions.entry((message.to_owned(), place.to_owned())).or_default() += count;
    }

    /// The report and what went wrong; from here on it is empty. `ahead` is what the master's clock is ahead of ours,
    /// in seconds: times are told by its clock.
    pub fn take(&mut self, users: Users, ahead: f64) -> (Stats, Vec<Exception>) {
        let Self { since, requests, exceptions } = std::mem::take(self);
        let clock = Clock { since: since.as_millisecond() as f64 / 1e3 + ahead, ahead };
        let mut total = Counted::default();
        let mut errors = BTreeMap::new();
        let mut stats = Vec::with_capacity(requests.len());
        for (name, counted) in requests {
            total.interval.merge(&counted.interval);
            for (second, (requests, failures)) in &counted.seconds {
                let all = total.seconds.entry(*second).or_default();
                all.0 += requests;
                all.1 += failures;
            }
            for (error, fate) in &counted.interval.errors {
                let failure = Failure {
                    name: name.name.to_string(),
                    method: name.method,
                    error: error.clone(),
                    occurrences: fate.count,
                    first_seen: fate.first as f64 + ahead,
                    last_seen: fate.last as f64 + ahead,
                };
                errors.insert(format!("{}.{}.{error}", name.method, name.name), failure);
            }
            stats.push(clock.row(&name, &counted));
        }
        let aggregated = RequestName { name: "Aggregated".into(), method: "" };
        let stats = Stats { stats, stats_total: clock.row(&aggregated, &total), errors, users };
        let exceptions = exceptions
            .into_iter()
            .flat_map(|((msg, traceback), count)| {
                (0..count.min(MOST_EXCEPTIONS))
                    .map(move |_| Exception { msg: msg.clone(), traceback: traceback.clone() })
            })
            .collect();
        (stats, exceptions)
    }
}

/// The master's clock.
struct Clock {
    /// When what is reported began.
    since: f64,
    ahead: f64,
}

impl Clock {
    fn row(&self, name: &RequestName, counted: &Counted) -> Row {
        let Counted { interval, seconds } = counted;
        let whole = self.ahead.round() as i64;
        Row::new(name, &interval.response)
            .counts(interval.failures, interval.bytes)
            .times(self.since, interval.last.map(|millis| millis as f64 / 1e3 + self.ahead))
            .seconds(seconds.iter().map(|(second, counts)| (second + whole, *counts)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::meter::Sample;

    #[test]
    fn deltas_are_told_once() {
        let sent = Instant::now();
        let mut interval = Interval::default();
        for (ms, error) in [(3, None), (147, Some("no".to_owned()))] {
            let done = sent + Duration::from_millis(ms);
            interval.record(Sample { intended: None, sent, done, bytes: 4, timing: None, error });
        }
        let name = RequestName { name: "/x".into(), method: "GET" };
        let mut delta = Delta::default();
        delta.add(100, &name, &interval);
        delta.add(101, &name, &interval);
        delta.exception("unset", "A: task", 3);
        let (stats, exceptions) = delta.take(Users::default(), 10.0);
        let row = &stats.stats[0];
        assert_eq!((row.num_requests, row.num_failures, row.total_content_length), (4, 2, 16));
        assert_eq!(row.response_times, BTreeMap::from([(3, 2), (150, 2)]));
        assert_eq!(row.num_reqs_per_sec, BTreeMap::from([(110, 2), (111, 2)]));
        assert_eq!(row.num_fail_per_sec, BTreeMap::from([(110, 1), (111, 1)]));
        assert_eq!((stats.stats_total.num_requests, &*stats.stats_total.name), (4, "Aggregated"));
        assert_eq!(stats.errors["GET./x.no"].occurrences, 2);
        assert_eq!(exceptions.len(), 3);
        let (stats, exceptions) = delta.take(Users::default(), 0.0);
        assert!(stats.stats.is_empty() && stats.errors.is_empty() && exceptions.is_empty());
        assert_eq!((stats.stats_total.num_requests, stats.stats_total.min_response_time), (0, None));
    }
}
