//! Runs what was selected, against a platform of its own or one that is there, and cleans up whatever happens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use regatta_client::Client;
use regatta_client::api::WorkerStatus;
use regatta_client::api::worker::WorkersQuery;
use regatta_load::Totals;
use regatta_load::health::Health;
use regatta_stats::Distribution;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::blame::Pulse;
use crate::caller::{Caller, CallerError};
use crate::own::OwnCheck;
use crate::platform::fleet::{FleetOptions, SLOTS};
use crate::platform::{Fleet, Server};
use crate::report::{Blame, CheckReport, Judged, Report};
use crate::thresholds::Thresholds;
use crate::trial::{Check, Needs, Number, Record, Trial, Trouble};
use crate::world::{World, all_workers, scaled};

/// Two tasks run at once on each worker: ten workers run the twenty of the requirement.
const WORKERS: usize = 10;

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The checks.
    pub checks: Vec<Item>,
    /// Checks of one's own may submit tasks where agents of others are online.
    pub run_real_agents: bool,
    /// The server; without it a platform of our own.
    pub target: Option<String>,
    /// The token to show it.
    pub token: Option<String>,
    /// Certificates to believe.
    pub tls_ca: Option<PathBuf>,
    /// This program: it becomes server and workers.
    pub binary: PathBuf,
    /// How many times the numbers of the concurrent checks.
    pub scale: f64,
    /// How often each check runs; its figures are of all of them.
    pub repeat: usize,
    /// So long a check may take.
    pub timeout: Duration,
    /// Stop after the first that does not pass.
    pub fail_fast: bool,
    /// Keep the folder of our own platform, also when all passed.
    pub keep: bool,
    /// What they are held to.
    pub thresholds: Thresholds,
}

/// A check that was selected.
#[derive(Debug, Clone)]
pub enum Item {
    /// One of ours.
    BuiltIn(&'static Check),
    /// One of a file.
    Own(Box<OwnCheck>),
}

impl Item {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(check) => check.name,
            Self::Own(check) => &check.name,
        }
    }

    /// What it does.
    pub fn about(&self) -> &str {
        match self {
            Self::BuiltIn(check) => check.about,
            Self::Own(check) => &check.about,
        }
    }
}

/// Is told how a run goes.
pub trait Observer {
    /// The platform is being started, or workers are.
    fn preparing(&mut self, what: &str);
    /// A check begins: the `index`th, from 0, of `all`.
    fn begins(&mut self, name: &str, index: usize, all: usize);
    /// It has ended.
    fn ended(&mut self, check: &CheckReport);
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
    /// Nobody answers there.
    #[error("no server answers at {url} ({reason})")]
    Unreachable {
        /// The address.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The platform of our own does not start, or the one that is there refuses.
    #[error("{0}")]
    Platform(String),
}

impl From<CallerError> for RunError {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Options(what) => Self::Options(what),
            CallerError::Unreachable { url, reason } => Self::Unreachable { url, reason },
        }
    }
}

impl From<regatta_client::Error> for RunError {
    fn from(error: regatta_client::Error) -> Self {
        match error {
            regatta_client::Error::Options(what) => Self::Options(what),
            regatta_client::Error::Unreachable { url, reason } => Self::Unreachable { url, reason },
            error if error.status() == Some(401) => {
                Self::Platform(format!("{error}; give a user's token with REGATTA_TOKEN"))
            }
            error => Self::Platform(error.to_string()),
        }
    }
}

impl From<Trouble> for RunError {
    fn from(trouble: Trouble) -> Self {
        Self::Platform(trouble.0)
    }
}

/// Runs the checks until they are done, or until `interrupts` counts one: what was measured by then is in the report. After
/// a second one even cleaning up is given up.
///
/// # Errors
/// When there is nothing to measure.
pub fn run(
    options: &Options,
    observer: &mut dyn Observer,
    interrupts: watch::Receiver<u32>,
) -> Result<Report, RunError> {
    allow_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Platform(format!("the runtime cannot be started: {error}")))?;
    LocalSet::new().block_on(&runtime, within(options, observer, interrupts))
}

async fn within(
    options: &Options,
    observer: &mut dyn Observer,
    mut interrupts: watch::Receiver<u32>,
) -> Result<Report, RunError> {
    let started = Instant::now();
    let run = uuid::Uuid::now_v7().simple().to_string();
    let run = run[run.len() - 12..].to_owned();
    let mut report = Report::new(options, &run);
    let folder = tempfile::Builder::new()
        .prefix("regatta-perf-")
        .tempdir()
        .map_err(|error| RunError::Platform(format!("no temporary folder can be made: {error}")))?;
    let mut stage = Stage { options, run, folder: folder.path().to_owned(), server: None, world: None };
    let outcome = tokio::select! {
        outcome = stage.work(observer, &mut report) => outcome,
        () = counted(&mut interrupts, 1) => {
            report.interrupted = true;
            Ok(())
        }
    };
    // A server of our own goes with all that is in it.
    let own = stage.server.is_some();
    let left = tokio::select! {
        left = stage.close() => left,
        () = counted(&mut interrupts, 2) => Err(Trouble::new("cleaning up was interrupted")),
    };
    if let Err(Trouble(left)) = left {
        report.left_behind = Some(left);
    }
    report.took_s = started.elapsed().as_secs_f64();
    outcome?;
    // A run that was cut off has not failed by that.
    if own && (options.keep || !report.checks.iter().all(CheckReport::passed)) {
        report.folder = Some(folder.keep());
    }
    Ok(report)
}

/// Ready when so many were counted.
async fn counted(interrupts: &mut watch::Receiver<u32>, count: u32) {
    if interrupts.wait_for(|so_far| *so_far >= count).await.is_err() {
        // Nobody will interrupt any more.
        std::future::pending().await
    }
}

/// What a run stands on.
struct Stage<'a> {
    options: &'a Options,
    run: String,
    folder: PathBuf,
    server: Option<Server>,
    world: Option<Rc<World>>,
}

impl Stage<'_> {
    async fn work(&mut self, observer: &mut dyn Observer, report: &mut Report) -> Result<(), RunError> {
        let world = self.set(observer, report).await?;
        let checks = &self.options.checks;
        for (index, check) in checks.iter().enumerate() {
            observer.begins(check.name(), index, checks.len());
            let mut ended = match check {
                Item::BuiltIn(check) => self.check(check, &world).await,
                Item::Own(check) => self.own_check(check, &world, &report.target).await,
            };
            if !ended.passed()
                && let Some(server) = &self.server
            {
                ended.add_log_lines(server.log());
            }
            observer.ended(&ended);
            let passed = ended.passed();
            report.checks.push(ended);
            if self.options.fail_fast && !passed {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Starts or finds the server, and the workers if a check needs some.
    async fn set(&mut self, observer: &mut dyn Observer, report: &mut Report) -> Result<Rc<World>, RunError> {
        let Options { target, token, tls_ca, binary, scale, checks, .. } = self.options;
        let url = match target {
            Some(url) => url.clone(),
            None => {
                observer.preparing("a server with an empty store");
                let server = Server::start(binary, &self.folder).await?;
                self.server.insert(server).url.clone()
            }
        };
        report.target = url.clone();
        let token = token.as_deref().filter(|_| target.is_some());
        let caller = Caller::new(&url, token, tls_ca.as_deref()).await?;
        let client = World::client(&url, token, tls_ca.as_deref())?;
        let world = Rc::new(World::new(caller, client.clone(), self.run.clone(), *scale, Pulse::start()));
        self.world = Some(Rc::clone(&world));
        report.health = Some(world.client.health().await?);
        // The health is told to anybody; whether we may do more shows here, before it costs a check.
        world.client.workers(&WorkersQuery { limit: Some(1), ..WorkersQuery::default() }).await?;
        let needs = |item: &Item| matches!(item, Item::BuiltIn(check) if check.needs == Needs::Workers);
        let submits = |item: &Item| matches!(item, Item::Own(check) if check.submits);
        if target.is_some() && checks.iter().any(submits) && !self.options.run_real_agents {
            others_are_away(&client).await?;
        }
        if checks.iter().any(needs) {
            let count = scaled(WORKERS, *scale);
            observer.preparing(&format!("{count} workers with {SLOTS} slots each"));
            let options = FleetOptions {
                binary,
                folder: &self.folder,
                url: &url,
                token,
                tls_ca: tls_ca.as_deref(),
                run: &self.run,
                count,
            };
            let fleet = Fleet::start(&options, &client).await?;
            // It was empty until here.
            let _ = world.fleet.set(fleet);
        }
        Ok(world)
    }

    /// Runs one check as often as asked, and judges it.
    async fn check(&self, check: &Check, world: &Rc<World>) -> CheckReport {
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
    async fn own_check(&self, check: &OwnCheck, world: &World, url: &str) -> CheckReport {
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

    /// Ends the workers, removes what the run made on a server that is not our own, and ends our own.
    async fn close(&mut self) -> Result<(), Trouble> {
        let mut left = Ok(());
        if let Some(world) = self.world.take() {
            if let Some(fleet) = world.fleet.get() {
                fleet.stop().await;
            }
            if self.server.is_none() {
                left = world.sweep().await;
            }
        }
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        left
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

/// Whether nobody's agents would take a task that a check of one's own submits.
async fn others_are_away(client: &Client) -> Result<(), RunError> {
    let rows = match all_workers(client, WorkersQuery::default()).await {
        Ok(rows) => rows,
        // It is none of our platforms, and has no agents.
        Err(error) if error.status() == Some(404) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match rows.iter().find(|row| row.status != WorkerStatus::Offline && !row.reserved) {
        None => Ok(()),
        Some(row) => Err(RunError::Options(format!(
            "a check of yours submits tasks, and the worker {} is online and would run them; give --run-real-agents if it shall",
            row.machine_name
        ))),
    }
}

/// Raises the limit of file descriptors as far as the system lets us: at a scale there are thousands of connections, and the
/// server that we start inherits it.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the limit stays, and the check that needs more says what failed.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// What this thread has used of a core.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
