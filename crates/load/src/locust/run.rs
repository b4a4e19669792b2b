//! A run of the engine under a master: from the first job after a stop to the next stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::delta::Delta;
use super::hooks::{Hooks, Options};
use super::message::{Job, Users};
use crate::engine::meter::Interval;
use crate::engine::{self, Engine, Event, Handle, Observer};
use crate::scenario::plan::RequestName;
use crate::totals::Totals;

/// What a worker learns of its run.
#[derive(Debug)]
pub(super) enum News {
    /// So many users are there.
    Spawned(Users),
    /// It is over, with reasons why its result is not valid; or it broke, and why.
    Ended(Result<Vec<String>, String>),
    /// Something to log that came after its end.
    Trouble(String),
}

/// A run under way.
#[derive(Debug)]
pub(super) struct Run {
    handle: Handle,
    /// Classes that it knows, in the order of its plan.
    classes: Vec<String>,
    thread: JoinHandle<()>,
}

impl Run {
    /// Starts one without users.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn start(
        job: &Job,
        options: &Options,
        hooks: &Arc<dyn Hooks>,
        delta: &Arc<Mutex<Delta>>,
        news: &UnboundedSender<News>,
    ) -> Result<Self, String> {
        let (mut plan, ended) = hooks.prepare(job)?;
        // Whoever looks at all workers together decides what must hold.
        plan.thresholds.clear();
        let classes = plan.classes.iter().map(|class| class.name.clone()).collect();
        let options = engine::Options {
            threads: options.threads,
            stop_timeout: Duration::try_from_secs_f64(job.stop_timeout.unwrap_or_default()).unwrap_or_default(),
            trust: options.trust.clone(),
            http2: options.http2,
            led: true,
            ..engine::Options::default()
        };
        let engine = Engine::new(plan, options).map_err(|error| error.to_string())?;
        let handle = engine.handle();
        let mut look = Look { delta: Arc::clone(delta), news: news.clone(), told: BTreeMap::new() };
        let thread = std::thread::Builder::new().name("load-run".to_owned()).spawn(move || {
            let ran = engine.run(&mut look);
            let invalid = ran.as_ref().map(|ran| ran.invalid.clone()).map_err(ToString::to_string);
            // The master waits for this; what comes after it takes its time.
            let _ = look.news.send(News::Ended(invalid));
            if let Err(trouble) = ran.map_or(Ok(()), |ran| ended(&ran)) {
                let _ = look.news.send(News::Trouble(trouble));
            }
        });
        let thread = thread.map_err(|error| format!("a thread cannot be started: {error}"))?;
        Ok(Self { handle, classes, thread })
    }

    /// Which classes it knows.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// So many users of each class that it knows.
    pub fn set_users(&self, counts: &BTreeMap<String, u64>) {
        let count = |class: &String| counts.get(class).copied().unwrap_or_default();
        self.handle.set_users(self.classes.iter().map(count).collect());
    }

    /// Ends it: users may finish what they do; the second time they may only clean up.
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// What is left of it once it has ended.
    pub fn into_thread(self) -> JoinHandle<()> {
        self.thread
    }
}

/// Looks on for the worker.
struct Look {
    delta: Arc<Mutex<Delta>>,
    news: UnboundedSender<News>,
    /// How often each exception was told.
    told: BTreeMap<(String, String), u64>,
}

impl Observer for Look {
    fn event(&mut self, event: &Event, _totals: &Totals) {
        if let Event::Spawned(counts) = event {
            let _ = self.news.send(News::Spawned(Users::new(counts.iter().cloned())));
        }
    }

    fn measured(&mut self, second: u64, requests: &[(usize, RequestName, Interval)], totals: &Totals) {
        let mut delta = self.delta.lock();
        let unix = totals.unix(second);
        requests.iter().for_each(|(_, name, interval)| delta.add(unix, name, interval));
    }

    fn second(&mut self, totals: &Totals) {
        for ((message, place), &count) in &totals.exceptions {
            let told = self.told.entry((message.clone(), place.clone())).or_default();
            if count > *told {
                self.delta.lock().exception(message, place, count - *told);
                *told = count;
            }
        }
    }
}
