//! `--json` and `--json-file`: Locust's list of entries, one a request, without the one over all. A worker tells its
//! master the same entries.

use std::collections::BTreeMap;

use regatta_stats::Distribution;
use serde::Serialize;
use serde_json::Value;

use crate::scenario::plan::RequestName;
use crate::totals::{Entry, Totals};

/// The list.
pub fn entries(totals: &Totals) -> Value {
    // Numbers and texts: it cannot fail.
    serde_json::to_value(totals.sorted().into_iter().map(|one| row(totals, one)).collect::<Vec<Row>>())
        .unwrap_or_default()
}

fn row(totals: &Totals, entry: &Entry) -> Row {
    // In a long run a point stands for several seconds: its first one says how many there were in all of them.
    let points =
        entry.series.points().iter().map(|point| (totals.unix(point.second), (point.requests, point.failures)));
    Row::new(&entry.id, &entry.response)
        .counts(entry.failures, entry.bytes)
        .times(totals.started.as_millisecond() as f64 / 1e3, entry.last.map(|millis| millis as f64 / 1e3))
        .seconds(points)
}

/// An entry as Locust writes it. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Of the request.
    pub name: Box<str>,
    /// Of the request.
    pub method: &'static str,
    /// Seconds since 1970 of the last request.
    pub last_request_timestamp: Option<f64>,
    /// Seconds since 1970 at which measuring began.
    pub start_time: f64,
    /// Requests, failed ones included.
    pub num_requests: u64,
    /// Requests without a time: there are none.
    pub num_none_requests: u64,
    /// Requests that failed.
    pub num_failures: u64,
    /// Of all requests together.
    pub total_response_time: f64,
    /// Of the slowest.
    pub max_response_time: f64,
    /// Of the fastest.
    pub min_response_time: Option<f64>,
    /// Bytes of all bodies.
    pub total_content_length: u64,
    /// How many took so long, in Locust's buckets.
    pub response_times: BTreeMap<u64, u64>,
    /// Requests by second since 1970; in a run of more than some minutes by several, under the first of them.
    pub num_reqs_per_sec: BTreeMap<i64, u64>,
    /// The same of failures.
    pub num_fail_per_sec: BTreeMap<i64, u64>,
}

impl Row {
    /// Of requests that took so long.
    pub fn new(id: &RequestName, times: &Distribution) -> Self {
        let mut response_times: BTreeMap<u64, u64> = BTreeMap::new();
        for (micros, count) in times.values() {
            *response_times.entry(bucket(micros as f64 / 1e3)).or_default() += count;
        }
        Self {
            name: id.name.clone(),
            method: id.method,
            last_request_timestamp: None,
            start_time: 0.0,
            num_requests: times.count(),
            num_none_requests: 0,
            num_failures: 0,
            total_response_time: times.sum() / 1e3,
            max_response_time: times.max() as f64 / 1e3,
            min_response_time: (!times.is_empty()).then(|| times.min() as f64 / 1e3),
            total_content_length: 0,
            response_times,
            num_reqs_per_sec: BTreeMap::new(),
            num_fail_per_sec: BTreeMap::new(),
        }
    }

    /// With so many failures and bytes.
    #[must_use]
    pub const fn counts(mut self, failures: u64, bytes: u64) -> Self {
        (self.num_failures, self.total_content_length) = (failures, bytes);
        self
    }

    /// Since when, until when.
    #[must_use]
    pub const fn times(mut self, start: f64, last: Option<f64>) -> Self {
        (self.start_time, self.last_request_timestamp) = (start, last);
        self
    }

    /// With requests and failures by second since 1970.
    #[must_use]
    pub fn seconds(mut self, seconds: impl Iterator<Item = (i64, (u64, u64))>) -> Self {
        for (second, (requests, failures)) in seconds {
            for (map, count) in [(&mut self.num_reqs_per_sec, requests), (&mut self.num_fail_per_sec, failures)] {
                if count > 0 {
                    *map.entry(second).or_default() += count;
                }
            }
        }
        self
    }
}

/// Locust's buckets: below 100 ms whole, then two digits, ties to the even one, as Python rounds.
fn bucket(ms: f64) -> u64 {
    let to = |step: f64| ((ms / step).round_ties_even() * step) as u64;
    match ms {
        ms if ms < 100.0 => to(1.0),
        ms if ms < 1_000.0 => to(10.0),
        ms if ms < 10_000.0 => to(100.0),
        _ => to(1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn locusts_rounding() {
        for (ms, expected) in
            [(0.4, 0), (2.5, 2), (3.5, 4), (147.0, 150), (145.0, 140), (3_432.0, 3_400), (58_760.0, 59_000)]
        {
            assert_eq!(bucket(ms), expected, "{ms}");
        }
    }
}
