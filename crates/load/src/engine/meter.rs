//! What one thread measured since it last reported. Nothing here is shared: threads hand it over once a second.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use regatta_stats::Distribution;

/// One request's figures within a second.
#[derive(Debug, Clone, Default)]
pub struct Interval {
    /// How many, failed ones included.
    pub requests: u64,
    /// How many failed.
    pub failures: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// From the intended start to the last byte.
    pub response: Distribution,
    /// From sending to the last byte, where that is something else.
    pub service: Option<Distribution>,
    /// Where the server says its time went.
    pub stages: Vec<(Box<str>, Stage)>,
    /// What went wrong.
    pub errors: HashMap<String, Fate>,
    /// Milliseconds since 1970 of the last one, as far as known when it was handed over.
    pub last: Option<i64>,
}

/// How often something went wrong, and when, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// How often.
    pub count: u64,
    /// First.
    pub first: i64,
    /// Last.
    pub last: i64,
}

/// A stage of `Server-Timing` over many answers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stage {
    /// In how many answers it was named.
    pub count: u64,
    /// Milliseconds in all of them.
    pub sum: f64,
    /// Milliseconds in the slowest.
    pub most: f64,
}

impl Stage {
    /// Adds another.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.most = self.most.max(other.most);
    }
}

/// One request as it went.
#[derive(Debug)]
pub struct Sample<'a> {
    /// When it should have been sent.
    pub intended: Option<Instant>,
    /// When it was.
    pub sent: Instant,
    /// When its answer had come.
    pub done: Instant,
    /// Bytes of the body.
    pub bytes: u64,
    /// `Server-Timing`.
    pub timing: Option<&'a str>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Interval {
    /// Adds one request.
    pub fn record(&mut self, sample: Sample<'_>) {
        self.requests += 1;
        self.bytes += sample.bytes;
        let service = sample.done.saturating_duration_since(sample.sent);
        match sample.intended {
            None => {
                self.response.record(service);
                // A task's later requests have no intended start of their own.
                if let Some(services) = &mut self.service {
                    services.record(service);
                }
            }
            Some(intended) => {
                if self.service.is_none() {
                    self.service = Some(self.response.clone());
                }
                self.response.record(sample.done.saturating_duration_since(intended));
                if let Some(services) = &mut self.service {
                    services.record(service);
                }
            }
        }
        if let Some(timing) = sample.timing {
            self.stages(timing);
        }
        if let Some(error) = sample.error {
            self.failures += 1;
            let now = Timestamp::now().as_second();
            let fate = self.errors.entry(error).or_insert(Fate { count: 0, first: now, last: now });
            fate.count += 1;
            fate.last = now;
        }
    }

    /// `db;dur=1.2, app;dur=3, total;dur=4.3` (W3C Server Timing).
    fn stages(&mut self, timing: &str) {
        for entry in timing.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let Some(name) = parts.next().filter(|name| !name.is_empty()) else { continue };
            let Some(ms) = parts.find_map(|part| part.strip_prefix("dur=")?.trim_matches('"').parse::<f64>().ok())
            else {
                continue;
            };
            let one = Stage { count: 1, sum: ms, most: ms };
            let known = self.stages.len();
            match self.stages.iter_mut().find(|(known, _)| **known == *name) {
                Some((_, stage)) => stage.merge(&one),
                // A server names a handful; one that makes up names must not fill the memory.
                None if known < 32 => self.stages.push((name.into(), one)),
                None => {}
            }
        }
    }

    /// Adds another's figures.
    pub fn merge(&mut self, other: &Self) {
        if other.requests == 0 {
            return;
        }
        match (&mut self.service, &other.service) {
            (None, None) => {}
            (ours, theirs) => {
                ours.get_or_insert_with(|| self.response.clone()).merge(theirs.as_ref().unwrap_or(&other.response));
            }
        }
        self.requests += other.requests;
        self.failures += other.failures;
        self.bytes += other.bytes;
        self.response.merge(&other.response);
        for (name, stage) in &other.stages {
            match self.stages.iter_mut().find(|(known, _)| known == name) {
                Some((_, ours)) => ours.merge(stage),
                None => self.stages.push((name.clone(), *stage)),
            }
        }
        for (text, fate) in &other.errors {
            let ours = self.errors.entry(text.clone()).or_insert(Fate { count: 0, ..*fate });
            ours.count += fate.count;
            ours.first = ours.first.min(fate.first);
            ours.last = ours.last.max(fate.last);
        }
        self.last = self.last.max(other.last);
    }
}

/// What a thread measured since it last reported.
#[derive(Debug, Default)]
pub struct Meter {
    /// By request id.
    pub intervals: Vec<Interval>,
    /// Tasks done.
    pub iterations: u64,
    /// Arrivals nobody was free for.
    pub dropped: u64,
    /// What went wrong in a scenario, by text and place.
    pub exceptions: HashMap<(String, String), u64>,
    /// How late the thread ran what was due, in microseconds.
    pub lag: Distribution,
    /// How late arrivals were started, in microseconds.
    pub lateness: Distribution,
}

impl Meter {
    /// Adds one request.
    pub fn record(&mut self, id: usize, sample: Sample<'_>) {
        if self.intervals.len() <= id {
            self.intervals.resize_with(id + 1, Interval::default);
        }
        self.intervals[id].record(sample);
    }

    /// Something in a scenario went wrong.
    pub fn exception(&mut self, message: String, place: String) {
        *self.exceptions.entry((message, place)).or_default() += 1;
    }

    /// What was measured; from here on it is empty.
    pub fn take(&mut self) -> Self {
        let mut taken = std::mem::take(self);
        let now = Timestamp::now().as_millisecond();
        taken.intervals.iter_mut().filter(|interval| interval.requests > 0).for_each(|i| i.last = Some(now));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(sent: Instant, intended: Option<Instant>, error: Option<&str>) -> Sample<'static> {
        let done = sent + Duration::from_millis(2);
        Sample { intended, sent, done, bytes: 5, timing: None, error: error.map(ToOwned::to_owned) }
    }

    #[test]
    fn the_intended_start_counts_beside_the_service_time() {
        let sent = Instant::now() + Duration::from_secs(1);
        let mut interval = Interval::default();
        interval.record(sample(sent, None, None));
        interval.record(sample(sent, Some(sent - Duration::from_millis(10)), Some("no")));
        assert_eq!((interval.requests, interval.failures, interval.bytes), (2, 1, 10));
        assert_eq!((interval.response.min(), interval.response.max()), (2_000, 12_000));
        let service = interval.service.unwrap();
        assert_eq!((service.count(), service.max()), (2, 2_000));
    }

    #[test]
    fn server_timing_is_added_up() {
        let mut interval = Interval::default();
        interval.stages("db;dur=1.5, app;desc=\"x\";dur=2, total;dur=4");
        interval.stages("db;dur=0.5,nothing");
        let db = interval.stages.iter().find(|(name, _)| &**name == "db").unwrap().1;
        assert_eq!(db, Stage { count: 2, sum: 2.0, most: 1.5 });
        assert_eq!(interval.stages.len(), 3);
    }

    #[test]
    fn merging_keeps_every_sample_of_both_times() {
        let sent = Instant::now() + Duration::from_secs(1);
        let (mut closed, mut open) = (Interval::default(), Interval::default());
        closed.record(sample(sent, None, None));
        open.record(sample(sent, Some(sent - Duration::from_millis(3)), Some("no")));
        closed.merge(&open);
        assert_eq!((closed.response.count(), closed.service.unwrap().count()), (2, 2));
        assert_eq!(closed.errors["no"].count, 1);
    }
}
