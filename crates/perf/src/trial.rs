//! What a check is given: calls that are measured, calls that only prepare, and where its figures go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blame::Sample;
use crate::caller::{Call, Reply};
use crate::fixtures::run_concurrent;
use crate::world::World;

/// Repeated checks measure so many calls.
pub const RUNS: usize = 10;

/// A check: what it is called, what it does, and how many of it.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Group and name: `api::worker::registration`.
    pub name: &'static str,
    /// What it times, as the headline of its figures: `Worker Registration`.
    pub title: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// How many of it.
    pub number: Number,
    /// What must be there before it runs.
    pub needs: Needs,
    /// Does it.
    pub run: Run,
}

/// The function of a check.
pub type Run = for<'a> fn(&'a Trial) -> LocalBoxFuture<'a, Outcome>;

/// What a check comes to: what it measured is in its trial, and whether that is enough is decided by limits.
pub type Outcome = Result<(), Trouble>;

/// How many of something a check measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// So many calls one after the other, whatever the scale.
    Runs(usize),
    /// So many at once, or so many rows, times the scale.
    Scaled(usize),
}

/// What must be there before a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The server.
    Server,
    /// Workers that run tasks.
    Workers,
}

/// Why a check could not be made: it is an error then, and neither passed nor failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

impl Trouble {
    /// In these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<regatta_client::Error> for Trouble {
    fn from(error: regatta_client::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Something that must be so, and is no time: workers online, connections that stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What is counted: `workers online`.
    pub what: String,
    /// How many there were.
    pub found: u64,
    /// How many there must be.
    pub wanted: u64,
}

impl Fact {
    /// Whether it is so.
    pub const fn holds(&self) -> bool {
        self.found >= self.wanted
    }
}

/// What a check measured.
#[derive(Debug, Default)]
pub struct Record {
    /// Calls that succeeded.
    pub samples: Vec<Sample>,
    /// Calls that did not, by what was wrong.
    pub failures: BTreeMap<String, u64>,
    /// What must be so.
    pub facts: Vec<Fact>,
}

impl Record {
    /// Adds another run of the same check. What must be so, must be so in each: the fewest count.
    pub fn merge(&mut self, other: Self) {
        self.samples.extend(other.samples);
        for (why, count) in other.failures {
            *self.failures.entry(why).or_default() += count;
        }
        for fact in other.facts {
            match self.facts.iter_mut().find(|known| known.what == fact.what) {
                Some(known) => known.found = known.found.min(fact.found),
                None => self.facts.push(fact),
            }
        }
    }
}

/// A check that runs.
#[derive(Debug)]
pub struct Trial {
    /// What it runs in.
    pub world: Rc<World>,
    number: usize,
    record: RefCell<Record>,
}

impl Trial {
    /// One for a check.
    pub fn new(world: Rc<World>, number: Number) -> Self {
        let number = match number {
            Number::Runs(runs) => runs,
            Number::Scaled(base) => world.scaled(base),
        };
        Self { world, number, record: RefCell::default() }
    }

    /// How many of it there shall be.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Makes a call and measures it. One that fails is counted as such, and answers nothing.
    pub async fn measure(&self, call: Call) -> Option<Reply> {
        self.judged(call, |_| Ok(())).await.map(|(reply, ())| reply)
    }

    /// Makes a call, measures it, and reads its answer.
    pub async fn measured<T: DeserializeOwned>(&self, call: Call) -> Option<T> {
        self.judged(call, Reply::json).await.map(|(_, value)| value)
    }

    /// Makes a call, and measures it when `judge` finds its answer good.
    pub async fn judged<T>(&self, call: Call, judge: impl FnOnce(&Reply) -> Result<T, String>) -> Option<(Reply, T)> {
        let title = call.title();
        let judged = self.world.caller.call(&call).await.and_then(|reply| {
            if (200..300).contains(&reply.status) {
                let value = judge(&reply)?;
                return Ok((reply, value));
            }
            let begin: String = String::from_utf8_lossy(&reply.body).chars().take(200).collect();
            Err(format!("status {}: {begin}", reply.status))
        });
        match judged {
            Ok((reply, value)) => {
                self.record.borrow_mut().samples.push(Sample::of(title, &reply));
                Some((reply, value))
            }
            Err(why) => {
                self.fail(format!("{title}: {why}"));
                None
            }
        }
    }

    /// Takes a time that was measured otherwise.
    pub fn took(&self, what: &str, sent: Instant, done: Instant) {
        let sample = Sample { what: what.to_owned(), sent, done, timing: None, request_id: None };
        self.record.borrow_mut().samples.push(sample);
    }

    /// Something that was measured did not succeed.
    pub fn fail(&self, why: String) {
        *self.record.borrow_mut().failures.entry(why).or_default() += 1;
    }

    /// Something must be so, and is no time.
    pub fn fact(&self, what: &str, found: usize, wanted: usize) {
        let fact = Fact { what: what.to_owned(), found: found as u64, wanted: wanted as u64 };
        self.record.borrow_mut().facts.push(fact);
    }

    /// Does something as often as the check's number, all at once.
    pub async fn at_once<F: Future>(&self, work: impl FnMut(usize) -> F) -> Vec<F::Output> {
        run_concurrent((0..self.number).map(work)).await
    }

    /// What it measured so far.
    pub fn take_record(&self) -> Record {
        self.record.take()
    }
}
