//! The course of a run, in so many points however long it goes on: when there are too many, every two become one.
//!
//! They are those of the run's own series, but all on one grid of the clock's seconds, so that charts can be laid side by side.

use std::collections::BTreeMap;

use regatta_load::Totals;
use regatta_load::series::{Level, Point, Sample};
use serde_json::{Value, json};

/// Points of a course, at most.
const POINTS: i64 = 600;

/// See the module.
#[derive(Debug)]
pub struct History {
    /// Seconds of a point.
    resolution: i64,
    /// The first second there is, and the one behind the last.
    range: Option<(i64, i64)>,
    /// The last second of the run that was taken.
    newest: Option<u64>,
    /// By request and point; the total under [`TOTAL`].
    courses: BTreeMap<usize, Vec<(i64, Point)>>,
    /// Most users in each point.
    users: Vec<(i64, Level)>,
}

/// Adds what comes last.
fn add<T: Sample>(course: &mut Vec<(i64, T)>, key: i64, sample: T) {
    match course.last_mut().filter(|(last, _)| *last == key) {
        Some((_, last)) => last.absorb(&sample),
        None => course.push((key, sample)),
    }
}

/// Every two points become one.
fn halve<T: Sample>(course: &mut Vec<(i64, T)>) {
    for (key, sample) in std::mem::take(course) {
        add(course, key.div_euclid(2), sample);
    }
}

/// The course of all requests together.
const TOTAL: usize = usize::MAX;

impl Default for History {
    fn default() -> Self {
        Self { resolution: 1, range: None, newest: None, courses: BTreeMap::new(), users: Vec::new() }
    }
}

impl History {
    /// Takes the second that was merged last.
    pub fn second(&mut self, totals: &Totals) {
        // The end of a run brings its last second once more.
        let Some(&level) =
            totals.user_series.last().filter(|level| self.newest.is_none_or(|newest| newest < level.second))
        else {
            return;
        };
        self.newest = Some(level.second);
        let at = totals.unix(level.second);
        self.range = Some(self.range.map_or((at, at + 1), |(first, _)| (first, at + 1)));
        let key = self.key(at);
        add(&mut self.users, key, level);
        let all = std::iter::once((TOTAL, &totals.all)).chain(totals.entries.iter().enumerate());
        for (id, entry) in all {
            if let Some(point) = entry.series.last().filter(|point| point.second == level.second) {
                add(self.courses.entry(id).or_default(), key, *point);
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

    fn coarser(&mut self) {
        self.resolution *= 2;
        self.courses.values_mut().for_each(halve);
        halve(&mut self.users);
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
            self.users_from(from).iter().map(|(key, level)| (key * self.resolution, level.users)).unzip();
        json!({ "resolution": self.resolution, "users": { "times": times, "counts": counts }, "courses": courses })
    }

    fn users_from(&self, from: i64) -> &[(i64, Level)] {
        &self.users[self.users.partition_point(|(key, _)| *key < from)..]
    }

    fn course(&self, course: &[(i64, Point)], from: i64) -> Value {
        let (first, end) = self.range.unwrap_or_default();
        let mut columns: [Vec<Value>; 7] = Default::default();
        // A point without requests is one all the same: nothing came.
        for &(key, _) in self.users_from(from) {
            let seconds = (end.min((key + 1) * self.resolution) - first.max(key * self.resolution)).max(1) as f64;
            let values = match course.binary_search_by_key(&key, |(at, _)| *at) {
                Ok(at) => {
                    let Point { requests, failures, micros, .. } = course[at].1;
                    let [median, p95, p99, max] = micros.map(|micros| json!(micros as f64 / 1e3));
                    [json!(requests as f64 / seconds), json!(failures as f64 / seconds), median, p95, p99, max]
                }
                Err(_) => [json!(0), json!(0), Value::Null, Value::Null, Value::Null, Value::Null],
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
        totals.user_series.push(Level { second, users: 3 });
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
            if second % 100 == 0 {
                history.second(&totals(second, second % 7));
            }
        }
        let all = history.json(&[String::new(), "0".into(), "9".into()], None);
        let resolution = all["resolution"].as_i64().unwrap();
        let course = &all["courses"][""];
        let points = course["times"].as_array().unwrap().len();
        assert!((300..=601).contains(&points), "{points} points of {resolution} s");
        let sum: f64 = history.courses[&TOTAL].iter().map(|(_, point)| point.requests as f64).sum();
        assert!((sum - (0..seconds).map(|second| (second % 7) as f64).sum::<f64>()).abs() < 0.5);
        let most = course["max"].as_array().unwrap().iter().filter_map(Value::as_f64).fold(0.0, f64::max);
        assert!((most - (seconds - 1) as f64 / 100.0).abs() < 1e-6, "the highest peak is there: {most}");
        assert!(all["courses"].get("9").is_none());
        let last = course["times"][points - 1].as_i64().unwrap();
        let new = history.json(&[String::new()], Some(last));
        assert_eq!(new["courses"][""]["times"], json!([last]));
    }
}
