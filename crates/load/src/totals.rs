//! What was measured, merged from all threads: per request, over time, and over all.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use regatta_stats::Distribution;

use crate::engine::meter::{Fate, Interval, Stage};
use crate::health::Health;
use crate::scenario::plan::RequestName;
use crate::series::{Level, Point, Series};

/// So many different errors are told apart; more are counted together.
const MOST_ERRORS: usize = 1_000;

/// Everything about a run so far.
#[derive(Debug, Clone)]
pub struct Totals {
    /// When measuring began: the start, the end of the warm-up, or the last reset.
    pub started: Timestamp,
    /// Seconds of the run that went before `started`.
    pub skipped: u64,
    /// How long was measured, in microseconds.
    pub elapsed_micros: u64,
    /// Per request, in the order of their ids; some may have nothing.
    pub entries: Vec<Entry>,
    /// Over all requests.
    pub all: Entry,
    /// What went wrong, by request id and text.
    pub errors: BTreeMap<(usize, String), Occurrences>,
    /// What went wrong in a scenario, by text and place.
    pub exceptions: BTreeMap<(String, String), u64>,
    /// Users now, by class.
    pub users: Vec<(String, u64)>,
    /// Users over time.
    pub user_series: Series<Level>,
    /// Tasks done.
    pub iterations: u64,
    /// Arrivals nobody was free for.
    pub dropped: u64,
    /// The generator itself.
    pub health: Health,
}

/// How often, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrences {
    /// How often.
    pub count: u64,
    /// Seconds since 1970 of the first.
    pub first: i64,
    /// Seconds since 1970 of the last.
    pub last: i64,
}

/// One request's figures.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which.
    pub id: RequestName,
    /// How many, failed ones included.
    pub requests: u64,
    /// How many failed.
    pub failures: u64,
    /// Bytes of bodies, as they came over the wire.
    pub bytes: u64,
    /// From the intended start to the last byte. In the closed model a request is sent when it is intended.
    pub response: Distribution,
    /// From sending to the last byte; `None` in the closed model, where it is the same.
    pub service: Option<Distribution>,
    /// Where the server says its time went (`Server-Timing`).
    pub stages: BTreeMap<Box<str>, Stage>,
    /// Milliseconds since 1970 of the last one.
    pub last: Option<i64>,
    /// Its course, without seconds in which there was nothing.
    pub series: Series<Point>,
}

impl Entry {
    /// One with nothing in it.
    pub fn new(id: RequestName) -> Self {
        Self {
            id,
            requests: 0,
            failures: 0,
            bytes: 0,
            response: Distribution::new(),
            service: None,
            stages: BTreeMap::new(),
            last: None,
            series: Series::default(),
        }
    }

    /// The one over all requests, as Locust calls it.
    pub fn aggregated() -> Self {
        Self::new(RequestName { name: "Aggregated".into(), method: "" })
    }

    /// Time from sending to the last byte.
    pub fn service(&self) -> &Distribution {
        self.service.as_ref().unwrap_or(&self.response)
    }

    /// Adds another's figures; the series stay apart.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.bytes += other.bytes;
        self.merge_times(&other.response, other.service.as_ref());
        for (name, stage) in &other.stages {
            self.stages.entry(name.clone()).or_default().merge(stage);
        }
        self.last = self.last.max(other.last);
    }

    fn merge_times(&mut self, response: &Distribution, service: Option<&Distribution>) {
        if self.service.is_some() || service.is_some() {
            self.service.get_or_insert_with(|| self.response.clone()).merge(service.unwrap_or(response));
        }
        self.response.merge(response);
    }

    fn add(&mut self, second: u64, interval: &Interval) {
        if interval.requests == 0 {
            return;
        }
        self.requests += interval.requests;
        self.failures += interval.failures;
        self.bytes += interval.bytes;
        self.merge_times(&interval.response, interval.service.as_ref());
        for (name, stage) in &interval.stages {
            self.stages.entry(name.clone()).or_default().merge(stage);
        }
        self.last = self.last.max(interval.last);
        let micros = interval.response.quantiles([0.5, 0.95, 0.99, 1.0]);
        self.series.push(Point { second, requests: interval.requests, failures: interval.failures, micros });
    }

    /// Requests and failures a second over the last ten whole seconds before `second`, as far as there were so many.
    pub fn current_rates(&self, second: u64) -> (f64, f64) {
        let from = second.saturating_sub(10);
        let recent = self.series.recent().take_while(|point| point.second >= from);
        let (requests, failures) = recent
            .filter(|point| point.second < second)
            .fold((0, 0), |(requests, failures), point| (requests + point.requests, failures + point.failures));
        let seconds = (second - from).max(1) as f64;
        (requests as f64 / seconds, failures as f64 / seconds)
    }

    /// The share of requests that failed.
    pub fn fail_ratio(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures as f64 / self.requests as f64 }
    }

    /// Bytes of an average body.
    pub fn average_bytes(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.bytes as f64 / self.requests as f64 }
    }
}

impl Totals {
    /// With nothing measured yet.
    pub fn new(names: &[RequestName], classes: &[String]) -> Self {
        Self {
            started: Timestamp::now(),
            skipped: 0,
            elapsed_micros: 0,
            entries: names.iter().cloned().map(Entry::new).collect(),
            all: Entry::aggregated(),
            errors: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            users: classes.iter().map(|class| (class.clone(), 0)).collect(),
            user_series: Series::default(),
            iterations: 0,
            dropped: 0,
            health: Health::default(),
        }
    }

    /// Forgets what was measured; who runs stays.
    pub fn reset(&mut self, second: u64) {
        let names: Vec<RequestName> = self.entries.iter().map(|entry| entry.id.clone()).collect();
        let users = std::mem::take(&mut self.users);
        *self = Self { users, skipped: second, ..Self::new(&names, &[]) };
    }

    /// How long was measured, in seconds.
    pub fn seconds(&self) -> f64 {
        self.elapsed_micros as f64 / 1e6
    }

    /// The second of the run that goes on now.
    pub const fn now(&self) -> u64 {
        self.skipped + self.elapsed_micros / 1_000_000
    }

    /// How many users there are.
    pub fn user_count(&self) -> u64 {
        self.users.iter().map(|(_, count)| count).sum()
    }

    /// Requests with something measured, sorted as Locust sorts them: by name, then method.
    pub fn sorted(&self) -> Vec<&Entry> {
        let mut sorted: Vec<&Entry> = self.entries.iter().filter(|entry| entry.requests > 0).collect();
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        sorted
    }

    /// Unix seconds of a second of the run.
    pub fn unix(&self, second: u64) -> i64 {
        self.started.as_second() + i64::try_from(second).unwrap_or_default()
            - i64::try_from(self.skipped).unwrap_or_default()
    }

    /// Adds what all threads measured in one second.
    pub(crate) fn add_second(&mut self, second: u64, intervals: Vec<(usize, RequestName, Interval)>) {
        let mut all = Interval::default();
        for (id, name, interval) in intervals {
            while self.entries.len() <= id {
                self.entries.push(Entry::new(name.clone()));
            }
            if self.entries[id].requests == 0 {
                self.entries[id].id = name;
            }
            for (text, fate) in &interval.errors {
                self.error(id, text, fate);
            }
            all.merge(&interval);
            self.entries[id].add(second, &interval);
        }
        self.all.add(second, &all);
        self.user_series.push(Level { second, users: self.user_count() });
    }

    fn error(&mut self, id: usize, text: &str, fate: &Fate) {
        static OTHERS: LazyLock<String> = LazyLock::new(|| format!("other errors (more than {MOST_ERRORS} kinds)"));
        let known = self.errors.contains_key(&(id, text.to_owned()));
        let text = if known || self.errors.len() < MOST_ERRORS { text } else { OTHERS.as_str() };
        let entry = self.errors.entry((id, text.to_owned())).or_insert(Occurrences {
            count: 0,
            first: fate.first,
            last: fate.last,
        });
        entry.count += fate.count;
        entry.first = entry.first.min(fate.first);
        entry.last = entry.last.max(fate.last);
    }

    /// What went wrong, with the request it belongs to, most often first.
    pub fn errors_by_count(&self) -> Vec<(&RequestName, &str, Occurrences)> {
        let mut errors: Vec<_> = self
            .errors
            .iter()
            .filter_map(|((id, text), occurrences)| Some((&self.entries.get(*id)?.id, text.as_str(), *occurrences)))
            .collect();
        errors.sort_by(|a, b| b.2.count.cmp(&a.2.count).then_with(|| a.0.cmp(b.0)));
        errors
    }
}
