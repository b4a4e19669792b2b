//! Where the time of a call went: what the server says of it (`Server-Timing`), what our own thread was late by, and the
//! network for the rest.
//!
//! How late the thread is, a [`Pulse`] knows: a timer that is due every millisecond, and notes when it was kept waiting.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use regatta_stats::Distribution;
use serde::Serialize;

use crate::caller::Reply;

/// Where time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Between us and the server, both ways; making the connection, too.
    Network,
    /// Waiting for the store's writer.
    Queue,
    /// Waiting for a connection to the database.
    Pool,
    /// Statements.
    Database,
    /// The commit.
    Commit,
    /// The progress cache.
    Cache,
    /// Writing the answer.
    Serialisation,
    /// The rest of the server's work.
    Server,
    /// Our own process was late.
    Generator,
}

impl Place {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Network,
        Self::Queue,
        Self::Pool,
        Self::Database,
        Self::Commit,
        Self::Cache,
        Self::Serialisation,
        Self::Server,
        Self::Generator,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Queue => "queue",
            Self::Pool => "pool",
            Self::Database => "database",
            Self::Commit => "commit",
            Self::Cache => "cache",
            Self::Serialisation => "serialisation",
            Self::Server => "server",
            Self::Generator => "generator",
        }
    }

    /// The place that a stage of `Server-Timing` is.
    pub fn of_stage(stage: &str) -> Option<Self> {
        Some(match stage {
            "queue" => Self::Queue,
            "pool" => Self::Pool,
            "db" => Self::Database,
            "commit" => Self::Commit,
            "cache" => Self::Cache,
            "ser" => Self::Serialisation,
            "app" => Self::Server,
            _ => return None,
        })
    }
}

/// Milliseconds by place.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Breakdown([f64; Place::ALL.len()]);

impl Breakdown {
    /// Of one call.
    pub fn of(sent: Instant, done: Instant, timing: Option<&str>, pulse: &Pulse) -> Self {
        let mut ms = Self::default();
        let total = done.saturating_duration_since(sent).as_secs_f64() * 1e3;
        let mut server = 0.0;
        for (stage, took) in stages(timing.unwrap_or_default()) {
            match (stage, Place::of_stage(stage)) {
                ("total", _) => server = took,
                (_, Some(place)) => ms.0[place as usize] += took,
                _ => {}
            }
        }
        // A server that names no total: what it names is all we know.
        server = server.max(ms.0.iter().sum());
        let rest = (total - server).max(0.0);
        let late = (pulse.late_between(sent, done).as_secs_f64() * 1e3).min(rest);
        ms.0[Place::Generator as usize] = late;
        ms.0[Place::Network as usize] = rest - late;
        ms
    }

    /// In a place.
    pub const fn get(&self, place: Place) -> f64 {
        self.0[place as usize]
    }

    /// Adds to a place.
    pub fn add(&mut self, place: Place, ms: f64) {
        self.0[place as usize] += ms;
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// Divided by so many calls.
    pub fn mean(&self, calls: usize) -> Self {
        Self(self.0.map(|ms| ms / calls.max(1) as f64))
    }

    /// Places in which time went, the most first.
    pub fn ranking(&self) -> Vec<(Place, f64)> {
        let mut ranking: Vec<(Place, f64)> =
            Place::ALL.into_iter().map(|place| (place, self.get(place))).filter(|(_, ms)| *ms > 0.0).collect();
        ranking.sort_by(|one, other| other.1.total_cmp(&one.1));
        ranking
    }
}

/// `db;dur=1.2, app;dur=3, total;dur=4.3` (W3C Server Timing): names and milliseconds.
pub fn stages(timing: &str) -> impl Iterator<Item = (&str, f64)> {
    timing.split(',').filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let ms = parts.find_map(|part| part.strip_prefix("dur=")?.trim_matches('"').parse::<f64>().ok())?;
        Some((name, ms))
    })
}

/// A call, as long as its check runs.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Method and path, its ids left out.
    pub what: String,
    /// When it was begun.
    pub sent: Instant,
    /// When its answer was there.
    pub done: Instant,
    /// `Server-Timing`.
    pub timing: Option<String>,
    /// The id under which the server's log has it.
    pub request_id: Option<String>,
}

impl Sample {
    /// From its answer.
    pub fn of(what: String, reply: &Reply) -> Self {
        Self {
            what,
            sent: reply.sent,
            done: reply.done,
            timing: reply.timing.clone(),
            request_id: reply.request_id.clone(),
        }
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.done.saturating_duration_since(self.sent)
    }
}

/// How often the thread is looked at.
const EVERY: Duration = Duration::from_millis(1);
/// The runtime's timer has steps of a millisecond: so late is punctual.
const PUNCTUAL: Duration = Duration::from_millis(2);

/// Notes when this thread was late.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Rc<RefCell<Beats>>);

#[derive(Debug, Default)]
struct Beats {
    /// From when to when the thread did not do what was due.
    late: Vec<(Instant, Instant)>,
    lag: Distribution,
}

impl Pulse {
    /// Begins to beat, on a `LocalSet`.
    pub fn start() -> Self {
        let pulse = Self::default();
        let beats = Rc::downgrade(&pulse.0);
        tokio::task::spawn_local(async move {
            loop {
                let due = Instant::now() + EVERY;
                tokio::time::sleep_until(due.into()).await;
                let now = Instant::now();
                let Some(beats) = beats.upgrade() else { return };
                let mut beats = beats.borrow_mut();
                let late = now.saturating_duration_since(due);
                beats.lag.record(late.saturating_sub(PUNCTUAL));
                if late > PUNCTUAL {
                    beats.late.push((due, now));
                }
            }
        });
        pulse
    }

    /// Forgets what was.
    pub fn reset(&self) {
        *self.0.borrow_mut() = Beats::default();
    }

    /// How much of that time the thread was late.
    pub fn late_between(&self, from: Instant, to: Instant) -> Duration {
        let beats = self.0.borrow();
        // In their order, so most need no look.
        let first = beats.late.partition_point(|(_, end)| *end <= from);
        beats.late[first..]
            .iter()
            .take_while(|(begin, _)| *begin < to)
            .map(|(begin, end)| (*end).min(to).saturating_duration_since((*begin).max(from)))
            .sum()
    }

    /// How late what was due ran, beyond the timer's own steps.
    pub fn lag(&self) -> Distribution {
        self.0.borrow().lag.clone()
    }

    /// Waits until the thread has caught up, so that all that was late is noted.
    pub async fn settle(&self) {
        tokio::time::sleep(EVERY * 3).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn what_the_server_does_not_say_is_the_network_or_us() {
        let start = Instant::now();
        let pulse = Pulse::default();
        pulse.0.borrow_mut().late = vec![(at(start, 90), at(start, 140)), (at(start, 300), at(start, 400))];
        let timing = "queue;dur=10, db;dur=5, ser;dur=1, app;dur=4, total;dur=20";
        let ms = Breakdown::of(at(start, 100), at(start, 200), Some(timing), &pulse);
        let ranking: Vec<(&str, f64)> = ms.ranking().into_iter().map(|(place, ms)| (place.name(), ms)).collect();
        let wanted = [
            ("network", 40.0),
            ("generator", 40.0),
            ("queue", 10.0),
            ("database", 5.0),
            ("server", 4.0),
            ("serialisation", 1.0),
        ];
        assert_eq!(ranking, wanted);
    }

    #[test]
    fn without_server_timing_all_is_between() {
        let start = Instant::now();
        let ms = Breakdown::of(start, at(start, 50), None, &Pulse::default());
        assert_eq!(ms.ranking(), [(Place::Network, 50.0)]);
    }

    #[test]
    fn a_thread_that_is_blocked_is_found_late() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let pulse = Pulse::start();
            // It must have begun to wait.
            pulse.settle().await;
            let from = Instant::now();
            std::thread::sleep(Duration::from_millis(50));
            let to = Instant::now();
            pulse.settle().await;
            assert!(pulse.late_between(from, to) > Duration::from_millis(30));
            assert_eq!(pulse.late_between(to + Duration::from_secs(9), to + Duration::from_secs(10)), Duration::ZERO);
        });
    }
}
