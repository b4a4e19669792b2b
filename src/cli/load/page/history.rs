//! The course of a run, in so many points however long it goes on: when there are too many, every two become one.
//!
//! Sums are kept exactly. Of the percentiles of two points the median is weighed by their requests, and of the others the
//! larger one stays, so that no peak is lost from sight.

use std::collections::BTreeMap;

use regatta_load::totals::{Point, Totals};
use serde_json::{Value, json};

/// Points of a course, at most.
const POINTS: i64 = 600;

/// What was measured in one point's seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bucket {
    requests: u64,
    failures: u64,
    median: f64,
    /// Percentiles 95 and 99 and the maximum, in microseconds.
    high: [u64; 3],
}

impl Bucket {
    fn add(&mut self, other: Self) {
        let all = (self.requests + other.requests).max(1) as f64;
        self.median = (self.median * self.requests as f64 + other.median * other.requests as f64) / all;
        self.requests += other.requests;
        self.failures += other.failures;
        for (mine, theirs) in self.high.iter_mut().zip(other.high) {
            *mine = theirs.max(*mine);
        }
    }
}

impl From<Point> for Bucket {
    fn from(point: Point) -> Self {
        let [median, high @ ..] = point.micros;
        Self { requests: point.requests, failures: point.failures, median: median as f64, high }
    }
}

/// See the module.
#[derive(Debug)]
pub struct History {
    /// Seconds of a point.
    resolution: i64,
    /// The first second there is, and the one behind the last.
    range: Option<(i64, i64)>,
    /// By request and point; the total under [`TOTAL`].
    courses: BTreeMap<usize, BTreeMap<i64, Bucket>>,
    /// Most users in each point.
    users: BTreeMap<i64, u64>,
}

/// The course of all requests together.
const TOTAL: usize = usize::MAX;

impl Default for History {
    fn default() -> Self {
        Self { resolution: 1, range: None, courses: BTreeMap::new(), users: BTreeMap::new() }
    }
}

impl History {
    /// Takes the second that was merged last.
    pub fn second(&mut self, totals: &Totals) {
        let Some(&(second, users)) = totals.user_series.last() else { return };
        let at = totals.unix(second);
        self.range = Some(self.range.map_or((at, at + 1), |(first, _)| (first, at + 1)));
        let key = self.key(at);
        let most = self.users.entry(key).or_default();
        *most = users.max(*most);
        let all = std::iter::once((TOTAL, &totals.all)).chain(totals.entries.iter().enumerate());
        for (id, entry) in all {
            if let Some(point) = entry.series.last().filter(|point| point.second == second) {
                self.courses.entry(id).or_default().entry(key).or_default().add((*point).into());
            }
        }
        if let Some((first, end)) = self.range
            && (end - first) / self.resolution > POINTS
        {
            self.coarser();
        }
    }

    fn key(&self, at: i64) -> i64 {
        at.div_euclid(self.resolution)
    }

    /// Every two points become one.
    fn coarser(&mut self) {
        self.resolution *= 2;
        for course in self.courses.values_mut() {
            let mut halved: BTreeMap<i64, Bucket> = BTreeMap::new();
            for (key, bucket) in std::mem::take(course) {
                halved.entry(key.div_euclid(2)).or_default().add(bucket);
            }
            *course = halved;
        }
        let mut halved: BTreeMap<i64, u64> = BTreeMap::new();
        for (key, users) in std::mem::take(&mut self.users) {
            let most = halved.entry(key.div_euclid(2)).or_default();
            *most = users.max(*most);
        }
        self.users = halved;
    }

    /// The courses of these requests (empty: of all together), from `since` on.
    pub fn json(&self, ids: &[String], since: Option<i64>) -> Value {
        let from = since.map_or(i64::MIN, |since| self.key(since));
        let courses: serde_json::Map<String, Value> = ids
            .iter()
            .filter_map(|id| {
                let key = if id.is_empty() { TOTAL } else { id.parse().ok()? };
                Some((id.clone(), self.course(self.courses.get(&key)?, from)))
            })
            .collect();
        let (times, counts): (Vec<i64>, Vec<u64>) =
            self.users.range(from..).map(|(key, users)| (key * self.resolution, *users)).unzip();
        json!({ "resolution": self.resolution, "users": { "times": times, "counts": counts }, "courses": courses })
    }

    fn course(&self, course: &BTreeMap<i64, Bucket>, from: i64) -> Value {
        let (first, end) = self.range.unwrap_or_default();
        let mut columns: [Vec<Value>; 7] = Default::default();
        // A point without requests is one all the same: nothing came.
        for key in self.users.range(from..).map(|(key, _)| *key) {
            let seconds = (end.min((key + 1) * self.resolution) - first.max(key * self.resolution)).max(1) as f64;
            let values = match course.get(&key) {
                Some(bucket) => [
                    json!(bucket.requests as f64 / seconds),
                    json!(bucket.failures as f64 / seconds),
                    json!(bucket.median / 1e3),
                    json!(bucket.high[0] as f64 / 1e3),
                    json!(bucket.high[1] as f64 / 1e3),
                    json!(bucket.high[2] as f64 / 1e3),
                ],
                None => [json!(0), json!(0), Value::Null, Value::Null, Value::Null, Value::Null],
            };
            columns[0].push(json!(key * self.resolution));
            columns[1..].iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        let [times, rps, fails, p50, p95, p99, max] = columns;
        json!({ "times": times, "rps": rps, "fails": fails, "p50": p50, "p95": p95, "p99": p99, "max": max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_load::scenario::plan::RequestName;

    fn totals(second: u64, requests: u64) -> Totals {
        let name = RequestName { name: "/a".into(), method: "GET" };
        let mut totals = Totals::new(&[name], &["A".to_owned()]);
        totals.started = jiff::Timestamp::from_second(1_000_000).unwrap();
        totals.user_series.push((second, 3));
        let point = Point { second, requests, failures: 1, micros: [1_000, 2_000, 3_000, second * 10] };
        totals.entries[0].series.push(point);
        totals.all.series.push(point);
        totals
    }

    #[test]
    fn eight_hours_are_as_many_points_as_ten_minutes_and_nothing_is_lost() {
        let mut history = History::default();
        let seconds = 8 * 3_600;
        for second in 0..seconds {
            history.second(&totals(second, second % 7));
        }
        let all = history.json(&[String::new(), "0".into(), "9".into()], None);
        let resolution = all["resolution"].as_i64().unwrap();
        let course = &all["courses"][""];
        let points = course["times"].as_array().unwrap().len();
        assert!((300..=601).contains(&points), "{points} points of {resolution} s");
        let sum: f64 = history.courses[&TOTAL].values().map(|bucket| bucket.requests as f64).sum();
        assert!((sum - (0..seconds).map(|second| (second % 7) as f64).sum::<f64>()).abs() < 0.5);
        let most = course["max"].as_array().unwrap().iter().filter_map(Value::as_f64).fold(0.0, f64::max);
        assert!((most - (seconds - 1) as f64 / 100.0).abs() < 1e-6, "the highest peak is there: {most}");
        assert!(all["courses"].get("9").is_none());
        let last = course["times"][points - 1].as_i64().unwrap();
        let new = history.json(&[String::new()], Some(last));
        assert_eq!(new["courses"][""]["times"], json!([last]));
    }
}
