//! The runs of a page, one after the other: started, changed, stopped, and what is known of the newest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use regatta_load::engine::{Event, Handle, Observer, Outcome as Ran};
use regatta_load::report::{csv, html, json as report_json};
use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::threshold::Threshold;
use regatta_load::{Engine, Plan, Totals};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use super::super::args::Load;
use super::super::show::{self, Log};
use super::super::{builtin, run_id};
use super::figures::{Figures, locust};
use super::history::History;
use super::print_tables;
use super::settings::Settings;
use super::watched::Watched;
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};

/// Lines of the log that are kept.
const LINES: usize = 1_000;

/// Where a run stands, in Locust's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Ready,
    Spawning,
    Running,
    Stopping,
    Stopped,
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Spawning => "spawning",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    const fn is_under_way(self) -> bool {
        matches!(self, Self::Spawning | Self::Running | Self::Stopping)
    }
}

/// A class there is.
#[derive(Debug, Clone)]
pub struct Known {
    pub name: String,
    pub weight: f64,
}

impl State {
    /// Everything that was measured, as it is now.
    fn set(&mut self, totals: &Totals, judged: &[Threshold]) {
        self.figures.set(Figures::of(totals, judged));
        self.locust.set(locust(totals));
    }
}

struct State {
    /// Another one for every run and every reset.
    run: u64,
    phase: Phase,
    settings: Settings,
    handle: Option<Handle>,
    plan: Option<Arc<Plan>>,
    figures: Watched<Figures>,
    locust: Watched<Value>,
    history: History,
    /// The newest run, when it is over.
    ran: Option<Arc<Ran>>,
    lines: VecDeque<(u64, &'static str, String, jiff::Timestamp)>,
    numbered: u64,
    /// Who wants everything that was measured so far.
    wanted: Vec<oneshot::Sender<Totals>>,
    ratio: Value,
    trouble: Option<String>,
}

/// See the module.
pub struct Lead {
    load: Load,
    token: Option<String>,
    quiet: bool,
    source: Source,
    log: Log,
    /// All classes and tags of the scenario.
    pub classes: Vec<Known>,
    pub tags: Vec<String>,
    thresholds: Vec<Threshold>,
    state: Mutex<State>,
    /// A second of a run has passed, or the run.
    passed: Notify,
    ended: Notify,
}

fn nothing(plan: &Plan) -> Totals {
    let classes: Vec<String> = plan.classes.iter().map(|class| class.name.clone()).collect();
    Totals::new(&[], &classes)
}

fn ratio_of(plan: &Plan) -> Value {
    let classes = regatta_load::report::tables::ratios(plan).into_iter().map(|((class, tasks), share)| {
        let tasks: Vec<Value> = tasks
            .into_iter()
            .map(|(task, of)| json!({ "name": task, "ratio": of / 100.0, "total": of * share / 10_000.0, "tasks": [] }))
            .collect();
        json!({ "name": class, "ratio": share / 100.0, "total": share / 100.0, "tasks": tasks })
    });
    classes.collect::<Vec<Value>>().into()
}

impl Lead {
    pub fn new(load: &Load, context: &Context, source: Source, settings: Settings, plan: &Plan) -> Arc<Self> {
        let thresholds = load.options().map(|options| options.thresholds).unwrap_or_default();
        let everything = Choices { host: load.host.clone(), run: run_id(), ..Choices::default() };
        let whole = regatta_load::scenario::load(&source, &everything).ok();
        let of_all = whole.as_ref().unwrap_or(plan);
        let classes =
            of_all.classes.iter().map(|class| Known { name: class.name.clone(), weight: class.weight }).collect();
        let judged: Vec<Threshold> = plan.thresholds.iter().chain(&thresholds).cloned().collect();
        let state = State {
            run: 1,
            phase: Phase::Ready,
            settings,
            handle: None,
            plan: None,
            figures: Watched::new(Figures::of(&nothing(plan), &judged)),
            locust: Watched::new(locust(&nothing(plan))),
            history: History::default(),
            ran: None,
            lines: VecDeque::new(),
            numbered: 0,
            wanted: Vec::new(),
            ratio: ratio_of(plan),
            trouble: None,
        };
        Arc::new(Self {
            load: load.clone(),
            token: context.token().map(str::to_owned),
            quiet: context.globals.quiet,
            tags: regatta_load::scenario::tags(&source),
            source,
            log: Log::new(load),
            classes,
            thresholds,
            state: Mutex::new(state),
            passed: Notify::new(),
            ended: Notify::new(),
        })
    }

    pub fn settings(&self) -> Settings {
        self.state.lock().settings.clone()
    }

    pub fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    pub fn ratio(&self) -> Value {
        self.state.lock().ratio.clone()
    }

    /// Everything that the page shows once a second.
    pub async fn now(&self) -> Value {
        self.looked(|state| {
            let Figures { users, classes, elapsed, health, thresholds, total, requests, failures, exceptions } =
                state.figures.look(Instant::now())?;
            Some(json!({
                "run": state.run, "state": state.phase.name(), "settings": state.settings, "users": users, "classes": classes,
                "elapsed": elapsed, "health": health, "thresholds": thresholds, "total": total, "requests": requests,
                "failures": failures, "exceptions": exceptions,
            }))
        })
        .await
    }

    /// The same as Locust has it.
    pub async fn locust(&self) -> Value {
        self.looked(|state| {
            let mut value = state.locust.look(Instant::now())?.clone();
            value["state"] = json!(state.phase.name());
            Some(value)
        })
        .await
    }

    pub async fn exceptions(&self) -> Value {
        self.looked(|state| Some(state.figures.look(Instant::now())?.exceptions.clone())).await
    }

    /// Looks until there is something: with the next second where nobody had looked for a while.
    async fn looked<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let passed = self.passed.notified();
            if let Some(found) = look(&mut self.state.lock()) {
                return found;
            }
            passed.await;
        }
    }

    pub fn history(&self, ids: &[String], since: Option<i64>) -> Value {
        self.state.lock().history.json(ids, since)
    }

    /// Lines of the log after this number.
    pub fn lines(&self, after: u64) -> Vec<Value> {
        let state = self.state.lock();
        let new = state.lines.iter().filter(|(number, ..)| *number > after);
        new.map(|(number, level, message, at)| {
            json!({ "n": number, "level": level, "message": message, "timestamp": at.to_string() })
        })
        .collect()
    }

    fn say(&self, level: &'static str, text: &str) {
        match level {
            "error" => self.log.error(text),
            "warning" => self.log.warning(text),
            _ => self.log.info(text),
        };
        let mut state = self.state.lock();
        state.numbered += 1;
        let number = state.numbered;
        state.lines.push_back((number, level, text.to_owned(), jiff::Timestamp::now()));
        if state.lines.len() > LINES {
            state.lines.pop_front();
        }
    }

    /// Begins a run.
    ///
    /// # Errors
    /// A sentence that says why it cannot begin.
    pub async fn start(self: Arc<Self>, settings: Settings) -> Result<(), String> {
        {
            let mut state = self.state.lock();
            if state.phase.is_under_way() {
                return Err("a run is under way; stop it first, or edit it".into());
            }
            // Nobody else starts one meanwhile.
            state.phase = Phase::Spawning;
        }
        let lead = Arc::clone(&self);
        // It looks whether the server answers, which takes a while where it does not.
        let started = tokio::task::spawn_blocking(move || lead.begin(settings)).await;
        let started = started.unwrap_or_else(|error| Err(format!("the run could not be started: {error}")));
        if let Err(why) = &started {
            self.state.lock().phase = Phase::Stopped;
            self.say("error", why);
            self.ended.notify_waiters();
        }
        started
    }

    fn begin(self: &Arc<Self>, settings: Settings) -> Result<(), String> {
        let run = run_id();
        let choices = Choices {
            host: Some(settings.host.clone()).filter(|host| !host.is_empty()),
            classes: settings
                .classes
                .iter()
                .filter(|(_, weight)| **weight > 0.0)
                .map(|(name, _)| name.clone())
                .collect(),
            tags: settings.tags.clone(),
            exclude_tags: settings.exclude_tags.clone(),
            equal_weights: self.load.equal_weights,
            run: run.clone(),
        };
        let mut plan = regatta_load::scenario::load(&self.source, &choices).map_err(|error| error.to_string())?;
        for class in &mut plan.classes {
            if let Some(weight) = settings.classes.get(&class.name) {
                class.weight = *weight;
            }
        }
        let options = settings.options(&self.load)?;
        let judged: Vec<Threshold> = plan.thresholds.iter().chain(&options.thresholds).cloned().collect();
        let csv = match &self.load.csv {
            Some(prefix) => Some(
                csv::Files::create(prefix, self.load.csv_full_history)
                    .map_err(|error| format!("{} cannot be written: {error}", prefix.display()))?,
            ),
            None => None,
        };
        let host = plan.host.to_string();
        let engine = Engine::new(plan, options).map_err(|error| error.to_string())?;
        {
            let mut state = self.state.lock();
            state.run += 1;
            state.set(&nothing(engine.plan()), &judged);
            state.history = History::default();
            state.ratio = ratio_of(engine.plan());
            state.handle = Some(engine.handle());
            state.plan = Some(engine.shared_plan());
            state.settings = settings;
            state.ran = None;
        }
        let mut look = Look { lead: Arc::clone(self), judged, csv };
        let lead = Arc::clone(self);
        let lead_run = move || {
            let ran = engine.run(&mut look);
            lead.over(ran.map_err(|error| error.to_string()), look.csv.as_mut(), &host, &run);
        };
        let thread = std::thread::Builder::new().name("load-run".to_owned()).spawn(lead_run);
        thread.map(drop).map_err(|error| format!("a thread cannot be started: {error}"))
    }

    /// A run has ended.
    fn over(&self, ran: Result<Ran, String>, csv: Option<&mut csv::Files>, host: &str, run: &str) {
        let mut trouble = None;
        match ran {
            Ok(ran) => {
                if let Some(Err(error)) = csv.map(|files| files.finish(&ran.totals)) {
                    trouble = Some(format!("the CSV files cannot be written: {error}"));
                }
                let judged = self.judged();
                let mut state = self.state.lock();
                state.set(&ran.totals, &judged);
                state.history.second(&ran.totals);
                state.wanted.drain(..).for_each(|wanted| drop(wanted.send(ran.totals.clone())));
                state.ran = Some(Arc::new(ran));
            }
            Err(why) => {
                let judged = self.judged();
                self.state.lock().set(&self.nothing(), &judged);
                trouble = Some(why);
            }
        }
        if self.load.file.is_none()
            && let Err(failure) = builtin::sweep(self.token.as_deref(), host, run)
        {
            trouble = Some(failure.what);
        }
        if let Some(why) = &trouble {
            self.say("error", why);
        }
        {
            let mut state = self.state.lock();
            state.trouble = trouble;
            state.handle = None;
            state.phase = Phase::Stopped;
            // Of a run that failed nobody gets any more.
            state.wanted.clear();
        }
        self.passed.notify_waiters();
        self.say("info", "The run is over");
        self.ended.notify_waiters();
    }

    /// What is known before anything was measured.
    fn nothing(&self) -> Totals {
        let classes: Vec<String> = self.classes.iter().map(|class| class.name.clone()).collect();
        Totals::new(&[], &classes)
    }

    fn judged(&self) -> Vec<Threshold> {
        let plan = self.state.lock().plan.clone();
        plan.iter().flat_map(|plan| plan.thresholds.clone()).chain(self.thresholds.iter().cloned()).collect()
    }

    /// Changes the run that goes on.
    ///
    /// # Errors
    /// A sentence that says what cannot be changed.
    pub fn edit(&self, settings: &Settings) -> Result<(), String> {
        let mut state = self.state.lock();
        let (Some(handle), Phase::Spawning | Phase::Running) = (state.handle.clone(), state.phase) else {
            return Err("no run is under way; start one".into());
        };
        let now = &state.settings;
        if settings.arrival_rate != now.arrival_rate || settings.stages != now.stages {
            return Err("arrivals cannot be changed while they go on; stop the run and start another".into());
        }
        if settings.host != now.host || settings.classes != now.classes || settings.tags != now.tags {
            return Err(
                "host, classes and tags cannot be changed while a run goes on; stop it and start another".into()
            );
        }
        if !now.is_open() && (settings.users != now.users || settings.spawn_rate != now.spawn_rate) {
            handle.aim(settings.users, settings.spawn_rate);
        }
        if settings.run_time != now.run_time {
            handle.set_run_time(settings.run_time.and_then(|time| std::time::Duration::try_from_secs_f64(time).ok()));
        }
        state.settings.users = settings.users;
        state.settings.spawn_rate = settings.spawn_rate;
        state.settings.run_time = settings.run_time;
        Ok(())
    }

    /// Stops the run that goes on; one that stops already is given less time. The log says why.
    pub fn stop(&self, why: &'static str) {
        let mut state = self.state.lock();
        if let Some(handle) = &state.handle {
            handle.stop_as(why);
            state.phase = Phase::Stopping;
        }
    }

    /// Forgets what was measured.
    pub fn reset(&self) {
        let judged = self.judged();
        let mut state = self.state.lock();
        match &state.handle {
            Some(handle) => handle.reset_stats(),
            None => {
                state.run += 1;
                state.set(&self.nothing(), &judged);
                state.history = History::default();
                state.ran = None;
            }
        }
    }

    /// Until no run is under way.
    pub async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if !self.phase().is_under_way() {
                return;
            }
            ended.await;
        }
    }

    /// Everything that was measured, of the run that goes on as of its next second.
    pub async fn totals(&self) -> Option<Totals> {
        let wait = {
            let mut state = self.state.lock();
            if let Some(ran) = &state.ran {
                return Some(ran.totals.clone());
            }
            state.handle.as_ref()?;
            let (send, wait) = oneshot::channel();
            state.wanted.push(send);
            wait
        };
        wait.await.ok()
    }

    /// The report of a run, as one page.
    pub async fn report(&self) -> Option<String> {
        let totals = self.totals().await?;
        let (plan, ran) = {
            let state = self.state.lock();
            (state.plan.clone()?, state.ran.clone())
        };
        let judged = plan.thresholds.iter().chain(&self.thresholds);
        let verdicts = judged.map(|threshold| threshold.judge(&totals)).collect();
        let (interrupted, aborted) = ran.as_ref().map_or((false, false), |ran| (ran.interrupted, ran.aborted));
        let slow = totals.all.response.quantile(0.99);
        let invalid = totals.health.complaints(slow, totals.iterations, totals.dropped);
        let so_far = Ran { verdicts, invalid, totals, interrupted, aborted };
        let about = self.load.about(&plan.host.to_string());
        Some(html::page(&plan, &self.thresholds, &so_far, &about))
    }

    /// The history of every request as a file, where the command line asked for one.
    pub fn full_history(&self) -> Option<String> {
        let prefix = self.load.csv.as_ref().filter(|_| self.load.csv_full_history)?;
        std::fs::read_to_string(csv::history_file(prefix)).ok()
    }

    /// The last words, and the exit code: that of the newest run.
    pub fn finish(&self) -> Outcome {
        let (ran, trouble) = {
            let state = self.state.lock();
            (state.ran.clone(), state.trouble.clone())
        };
        let Some(ran) = ran else { return trouble.map_or(Ok(Exit::Done), |why| Err(Failure::failed(why))) };
        let with_thresholds = !self.judged().is_empty();
        // A run that is stopped on the page has ended as it should.
        let exit = match self.load.exit(&ran, with_thresholds) {
            Exit::Interrupted => Exit::Done,
            exit => exit,
        };
        self.log.info(&format!("Shutting down (exit code {})", exit.code()));
        if !self.quiet {
            print_tables(&ran.totals);
        }
        if let Some(path) = &self.load.json_file {
            show::write_json(path, &ran.totals)?;
        }
        if let Some(name) = &self.load.html
            && let Some(plan) = self.state.lock().plan.clone()
        {
            let path = self.load.expanded(name);
            let page = html::page(&plan, &self.thresholds, &ran, &self.load.about(&plan.host.to_string()));
            std::fs::write(&path, page)
                .map_err(|error| Failure::failed(format!("{path} cannot be written: {error}")))?;
        }
        trouble.map_or(Ok(exit), |why| Err(Failure::failed(why)))
    }

    /// All figures as Locust's `--json` prints them.
    pub async fn entries(&self) -> Option<Value> {
        Some(json!(report_json::entries(&self.totals().await?)))
    }
}

/// Looks on for the page.
struct Look {
    lead: Arc<Lead>,
    judged: Vec<Threshold>,
    csv: Option<csv::Files>,
}

impl Observer for Look {
    fn event(&mut self, event: &Event, totals: &Totals) {
        let (line, phase) = match event {
            Event::Spawning { users, rate } => {
                (format!("Ramping to {users} users at a rate of {rate:.2} per second"), Some(Phase::Spawning))
            }
            Event::Spawned(classes) => {
                let all: u64 = classes.iter().map(|(_, count)| count).sum();
                (format!("All users spawned: {all}"), Some(Phase::Running))
            }
            Event::Reset => ("Resetting stats".to_owned(), None),
            Event::Stopping(why) => (format!("The run ends: {why}"), Some(Phase::Stopping)),
        };
        {
            let mut state = self.lead.state.lock();
            if let Some(phase) = phase.filter(|_| state.phase != Phase::Stopping) {
                state.phase = phase;
            }
            if *event == Event::Reset {
                state.run += 1;
                state.history = History::default();
                state.set(totals, &self.judged);
            }
        }
        self.lead.say("info", &line);
    }

    fn second(&mut self, totals: &Totals) {
        if let Some(files) = &mut self.csv
            && let Err(error) = files.second(totals)
        {
            self.csv = None;
            self.lead.say("error", &format!("the CSV files cannot be written: {error}"));
        }
        let now = Instant::now();
        let mut state = self.lead.state.lock();
        state.figures.second(now, || Figures::of(totals, &self.judged));
        state.locust.second(now, || locust(totals));
        state.history.second(totals);
        // Arrivals come without a ramp.
        if state.phase == Phase::Spawning && state.settings.is_open() {
            state.phase = Phase::Running;
        }
        state.wanted.drain(..).for_each(|wanted| drop(wanted.send(totals.clone())));
        drop(state);
        self.lead.passed.notify_waiters();
    }
}
