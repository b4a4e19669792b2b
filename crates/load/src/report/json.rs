//! `--json` and `--json-file`: Locust's list of entries, one a request, without the one over all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::totals::{Entry, Totals};

/// The list.
pub fn entries(totals: &Totals) -> Value {
    totals.sorted().into_iter().map(|one| entry(totals, one)).collect()
}

fn entry(totals: &Totals, entry: &Entry) -> Value {
    let mut response_times: BTreeMap<u64, u64> = BTreeMap::new();
    for (micros, count) in entry.response.values() {
        *response_times.entry(bucket(micros as f64 / 1e3)).or_default() += count;
    }
    let per_second = |figure: fn(&crate::totals::Point) -> u64| -> BTreeMap<i64, u64> {
        entry
            .series
            .iter()
            .map(|point| (totals.unix(point.second), figure(point)))
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    json!({
        "name": entry.id.name,
        "method": entry.id.method,
        "last_request_timestamp": entry.last.map(|millis| millis as f64 / 1e3),
        "start_time": totals.started.as_millisecond() as f64 / 1e3,
        "num_requests": entry.requests,
        "num_none_requests": 0,
        "num_failures": entry.failures,
        "total_response_time": entry.response.sum() / 1e3,
        "max_response_time": entry.response.max() as f64 / 1e3,
        "min_response_time": entry.response.min() as f64 / 1e3,
        "total_content_length": entry.bytes,
        "response_times": keyed(response_times),
        "num_reqs_per_sec": keyed(per_second(|point| point.requests)),
        "num_fail_per_sec": keyed(per_second(|point| point.failures)),
    })
}

/// JSON's keys are texts.
fn keyed<K: ToString>(map: BTreeMap<K, u64>) -> Value {
    Value::Object(map.into_iter().map(|(key, count)| (key.to_string(), count.into())).collect())
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
