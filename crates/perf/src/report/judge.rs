//! From what a check measured to whether it passed, and where the time went when it did not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use regatta_load::Totals;
use regatta_load::health::Health;
use regatta_stats::Distribution;
use serde::Serialize;

use crate::blame::{Breakdown, Place, Pulse, Sample};
use crate::fixtures::Figures;
use crate::thresholds::{Limits, Miss};
use crate::trial::Fact;

/// So many of the slowest calls are told of.
const SLOWEST: usize = 5;
/// So many lines of the server's log are told for each.
const LINES: usize = 5;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All requirements were kept.
    Passed,
    /// One was not.
    Failed,
    /// One was not, and our own generator was the bottleneck.
    Invalid,
    /// It could not be made.
    Error,
}

/// What is judged.
#[derive(Debug)]
pub struct Judged {
    /// Group and name.
    pub name: String,
    /// What it times.
    pub title: String,
    /// What it does.
    pub about: String,
    /// How many of it.
    pub number: usize,
    /// Whether that is calls one after the other.
    pub repeated: bool,
    /// What it is held to.
    pub limits: Limits,
    /// Why it could not be made.
    pub trouble: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// How many calls there were, failed ones included.
    pub calls: u64,
    /// Their times; of our own checks only of those that succeeded.
    pub times: Distribution,
    /// The times without what our own thread was late by, where that is known of each call.
    pub unhurried: Option<Distribution>,
    /// Calls that did not succeed, by what was wrong.
    pub failures: BTreeMap<String, u64>,
    /// What must be so.
    pub facts: Vec<Fact>,
    /// How our own threads were.
    pub generator: Health,
}

/// A check and what it came to.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// Group and name.
    pub name: String,
    /// What it times.
    pub title: String,
    /// What it does.
    pub about: String,
    /// What it came to.
    pub verdict: Verdict,
    /// How many of it: calls one after the other, or at once.
    pub number: usize,
    /// Calls that were measured, failed ones included.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Why.
    pub failures: BTreeMap<String, u64>,
    /// The figures, in milliseconds; none when no call succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Times>,
    /// Every time in microseconds with its count, ascending; above 10,000 of them the middles of a histogram's buckets.
    pub histogram: Vec<(u64, u64)>,
    /// What it was held to.
    pub limits: Limits,
    /// What was not kept.
    pub misses: Vec<Miss>,
    /// What had to be so, and is no time.
    pub facts: Vec<Fact>,
    /// Where the time of the slow calls went, in milliseconds a call, the most first.
    pub time_went: Vec<(Place, f64)>,
    /// The slowest calls.
    pub slowest: Vec<Slow>,
    /// Why it could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Why its times say more of our own generator than of the platform.
    pub generator: Vec<String>,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// The times themselves.
    #[serde(skip)]
    pub times: Distribution,
    /// Whether they are of calls one after the other.
    #[serde(skip)]
    pub repeated: bool,
}

/// Figures in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// The mean.
    pub average: f64,
    /// The fastest.
    pub min: f64,
    /// The slowest.
    pub max: f64,
    /// Half were faster.
    pub median: f64,
    /// The standard deviation.
    pub std_dev: f64,
    /// 95 % were as fast.
    pub p95: f64,
    /// Whether there were enough calls for it to be more than their maximum.
    pub p95_known: bool,
    /// 99 % were as fast.
    pub p99: f64,
    /// As `p95_known`.
    pub p99_known: bool,
}

/// A slow call.
#[derive(Debug, Clone, Serialize)]
pub struct Slow {
    /// Method and path.
    pub what: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// The id under which the server's log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where its time went, in milliseconds, the most first.
    pub time_went: Vec<(Place, f64)>,
    /// What the server's log says of it, where we can read it.
    pub log: Vec<String>,
}

impl CheckReport {
    /// Judges a check. Where the time went is looked for when it is known which calls were too slow.
    pub fn judge(judged: Judged, blame: impl FnOnce(&[Miss]) -> Blame) -> Self {
        let Judged { name, title, about, number, repeated, limits, trouble, took, calls, times, .. } = judged;
        let Judged { unhurried, failures, facts, generator, .. } = judged;
        let failed: u64 = failures.values().sum();
        let mut misses = limits.misses(&times);
        misses.extend(limits.too_few(calls.saturating_sub(failed), calls));
        let wrong = misses.iter().any(|miss| !miss.is_time()) || facts.iter().any(|fact| !fact.holds());
        let missed = wrong || !misses.is_empty();
        let complaints = saturated(&generator, &times, &limits, unhurried.as_ref());
        let verdict = match (&trouble, missed) {
            (Some(_), _) => Verdict::Error,
            // Saturation can only make a latency look worse: what was kept in spite of it was kept.
            (None, true) if !complaints.is_empty() && !wrong => Verdict::Invalid,
            (None, true) => Verdict::Failed,
            (None, false) => Verdict::Passed,
        };
        let Blame { time_went, slowest } = blame(&misses);
        Self {
            name,
            title,
            about,
            verdict,
            number,
            calls,
            failed,
            failures,
            figures: figures(&times),
            histogram: times.values(),
            limits,
            misses,
            facts,
            time_went,
            slowest,
            trouble,
            generator: if missed { complaints } else { Vec::new() },
            took_s: took.as_secs_f64(),
            times,
            repeated,
        }
    }

    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// Why it did not pass, a sentence each.
    pub fn reasons(&self) -> Vec<String> {
        let facts = self.facts.iter().filter(|fact| !fact.holds());
        self.trouble
            .iter()
            .cloned()
            .chain(self.misses.iter().map(|miss| miss.text.clone()))
            .chain(facts.map(|fact| format!("{} of {} {}", fact.found, fact.wanted, fact.what)))
            .chain(self.failures.iter().map(|(why, count)| format!("{count} x {why}")))
            .collect()
    }

    /// The block of its figures.
    pub fn block(&self) -> Figures {
        Figures::of(&self.title, if self.repeated { "runs" } else { "calls" }, &self.times)
    }

    /// Adds what the server's log says of the slowest calls.
    pub fn add_log_lines(&mut self, log: &Path) {
        // Without a log there is nothing to add.
        let Ok(file) = std::fs::File::open(log) else { return };
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            for slow in &mut self.slowest {
                let about = slow.request_id.as_ref().is_some_and(|id| line.contains(id.as_str()));
                if about && slow.log.len() < LINES {
                    slow.log.push(line.clone());
                }
            }
        }
    }
}

/// Why what was missed may be the generator's fault; empty when it is not. Where it is known of each call what our own thread was
/// late by, that decides, and not how late it mostly was: a thread that is blocked looks at its clock but once.
fn saturated(
    generator: &Health,
    times: &Distribution,
    limits: &Limits,
    unhurried: Option<&Distribution>,
) -> Vec<String> {
    let slow = times.quantile(0.99);
    let Some(unhurried) = unhurried else { return generator.complaints(slow, 0, 0) };
    if !limits.misses(times).is_empty() && limits.misses(unhurried).is_empty() {
        let ms = |micros: u64| micros as f64 / 1e3;
        return vec![format!(
            "our own thread ran late; without that the slowest call would have taken {:.1} ms in place of {:.1} ms, and every limit \
             would have been kept: use a smaller --scale, or a machine on which less runs",
            ms(unhurried.max()),
            ms(times.max())
        )];
    }
    let busy = Health { lag: Distribution::new(), ..generator.clone() };
    busy.complaints(slow, 0, 0)
}

/// Where the time of slow calls went.
#[derive(Debug, Default)]
pub struct Blame {
    /// Of all of them, in milliseconds a call, the most first.
    pub time_went: Vec<(Place, f64)>,
    /// The slowest.
    pub slowest: Vec<Slow>,
}

impl Blame {
    /// From the calls of a check.
    pub fn of(mut samples: Vec<Sample>, misses: &[Miss], pulse: &Pulse) -> Self {
        samples.sort_by_key(|sample| std::cmp::Reverse(sample.took()));
        let slow = slow_of(&samples, misses);
        let mut sum = Breakdown::default();
        slow.iter().for_each(|sample| sum.merge(&breakdown(sample, pulse)));
        let slowest = slow.iter().take(SLOWEST).map(|sample| Slow {
            what: sample.what.clone(),
            ms: sample.took().as_secs_f64() * 1e3,
            request_id: sample.request_id.clone(),
            time_went: breakdown(sample, pulse).ranking(),
            log: Vec::new(),
        });
        Self { time_went: sum.mean(slow.len()).ranking(), slowest: slowest.collect() }
    }

    /// From the figures of a load run: of all its calls, for single ones are not kept.
    pub fn of_totals(totals: &Totals) -> Self {
        let calls = totals.all.requests.max(1) as f64;
        let mut ms = Breakdown::default();
        let mut server = 0.0;
        for (stage, figures) in &totals.all.stages {
            match Place::of_stage(stage) {
                Some(place) => ms.add(place, figures.sum / calls),
                None if **stage == *"total" => server = figures.sum / calls,
                None => {}
            }
        }
        ms.add(Place::Network, (totals.all.response.mean() / 1e3 - server).max(0.0));
        Self { time_went: ms.ranking(), slowest: Vec::new() }
    }
}

fn breakdown(sample: &Sample, pulse: &Pulse) -> Breakdown {
    Breakdown::of(sample.sent, sample.done, sample.timing.as_deref(), pulse)
}

/// The calls that made a check miss its limits, or else the slowest tenth; the slowest first.
fn slow_of<'a>(sorted: &'a [Sample], misses: &[Miss]) -> &'a [Sample] {
    let least = misses.iter().filter(|miss| miss.is_time() && miss.figure != "average");
    let count = match least.map(|miss| miss.limit).min_by(f64::total_cmp) {
        Some(limit) => sorted.partition_point(|sample| sample.took().as_secs_f64() * 1e3 >= limit),
        // A mean is missed by all together.
        None if misses.iter().any(|miss| miss.figure == "average") => sorted.len(),
        None => sorted.len().div_ceil(10),
    };
    &sorted[..count]
}

fn figures(times: &Distribution) -> Option<Times> {
    if times.is_empty() {
        return None;
    }
    let Figures { average, min, max, median, std_dev, p95, p99, .. } = Figures::of("", "", times);
    Some(Times {
        average,
        min,
        max,
        median,
        std_dev,
        p95: p95.ms(),
        p95_known: p95.is_known(),
        p99: p99.ms(),
        p99_known: p99.is_known(),
    })
}
