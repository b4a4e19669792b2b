//! One check: run as often as asked, timed and judged.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use regatta_load::Totals;
use regatta_load::health::Health;
use regatta_stats::Distribution;

use super::stage::Stage;
use crate::own::OwnCheck;
use crate::report::{Blame, CheckReport, Judged};
use crate::trial::{Check, Number, Record, Trial};
use crate::world::World;

impl Stage<'_> {
    /// Runs one check as often as asked, and judges it.
    pub async fn check(&self, check: &Check, world: &Rc<World>) -> CheckReport {
        world.pulse.reset();
        let (started, cpu) = (Instant::now(), cpu_time());
        let mut record = Record::default();
        let mut trouble = None;
        for _ in 0..self.options.repeat.max(1) {
            let trial = Trial::new(Rc::clone(world), check.number);
            let outcome = tokio::time::timeout(self.options.timeout, (check.run)(&trial)).await;
            record.merge(trial.take_record());
            trouble = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(trouble)) => Some(trouble.0),
                Err(_) => Some(too_long(self.options.timeout)),
            };
            if trouble.is_some() {
                break;
            }
        }
        world.pulse.settle().await;
        let took = started.elapsed();
        let cpu = (cpu_time() - cpu).as_secs_f64() / took.as_secs_f64().max(1e-9);
        let (number, repeated) = match check.number {
            Number::Runs(runs) => (runs, true),
            Number::Scaled(base) => (world.scaled(base), false),
        };
        let Record { samples, failures, facts } = record;
        let mut times = Distribution::new();
        samples.iter().for_each(|sample| times.record(sample.took()));
        let mut unhurried = Distribution::new();
        for sample in &samples {
            let late = world.pulse.late_between(sample.sent, sample.done);
            unhurried.record(sample.took().saturating_sub(late));
        }
        let judged = Judged {
            name: check.name.to_owned(),
            title: check.title.to_owned(),
            about: check.about.to_owned(),
            number,
            repeated,
            limits: self.options.thresholds.of(check.name).unwrap_or_default(),
            trouble,
            took,
            calls: times.count() + failures.values().sum::<u64>(),
            times,
            unhurried: Some(unhurried),
            failures,
            facts,
            generator: Health { cpu: vec![cpu], lag: world.pulse.lag(), ..Health::default() },
        };
        CheckReport::judge(judged, |misses| Blame::of(samples, misses, &world.pulse))
    }

    /// Runs a check from a file.
    pub async fn own_check(&self, check: &OwnCheck, world: &World, url: &str) -> CheckReport {
        let started = Instant::now();
        let token = self.options.token.as_deref().filter(|_| self.options.target.is_some());
        let (mut all, mut trouble) = (None::<Totals>, None);
        for _ in 0..self.options.repeat.max(1) {
            match tokio::time::timeout(self.options.timeout, check.run(url, &world.run, token)).await {
                Ok(Ok(ran)) => match &mut all {
                    Some(all) => add(all, &ran.totals),
                    None => all = Some(ran.totals),
                },
                Ok(Err(why)) => trouble = Some(why.0),
                Err(_) => trouble = Some(too_long(self.options.timeout)),
            }
            if trouble.is_some() {
                break;
            }
        }
        let mut failures = BTreeMap::new();
        let mut times = Distribution::new();
        let mut generator = Health::default();
        if let Some(totals) = &all {
            // A call that failed took its time too, and the engine does not keep the two apart.
            times = totals.all.response.clone();
            generator = totals.health.clone();
            for ((id, text), occurrences) in &totals.errors {
                let request = totals.entries.get(*id).map(|entry| format!("{} {}: ", entry.id.method, entry.id.name));
                *failures.entry(format!("{}{text}", request.unwrap_or_default())).or_default() += occurrences.count;
            }
            let exceptions = totals.exceptions.keys().map(|(text, place)| format!("{text} ({place})"));
            trouble = trouble.or_else(|| exceptions.reduce(|one, other| one + "; " + &other));
        }
        let judged = Judged {
            name: check.name.clone(),
            title: check.name.clone(),
            about: check.about.clone(),
            number: usize::try_from(check.users).unwrap_or(usize::MAX),
            repeated: false,
            limits: self.options.thresholds.of(&check.name).unwrap_or(check.limits),
            trouble,
            took: started.elapsed(),
            calls: all.as_ref().map_or(0, |totals| totals.all.requests),
            times,
            unhurried: None,
            failures,
            facts: Vec::new(),
            generator,
        };
        CheckReport::judge(judged, |_| all.as_ref().map(Blame::of_totals).unwrap_or_default())
    }
}

fn too_long(timeout: Duration) -> String {
    format!("it was not done after {} s (--timeout)", timeout.as_secs_f64())
}

/// Adds another run of the same check.
fn add(all: &mut Totals, other: &Totals) {
    all.all.merge(&other.all);
    for (key, more) in &other.errors {
        all.errors.entry(key.clone()).and_modify(|known| known.count += more.count).or_insert(*more);
    }
    for (key, count) in &other.exceptions {
        *all.exceptions.entry(key.clone()).or_default() += count;
    }
    all.health = other.health.clone();
}

/// What this thread has used of a core.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
