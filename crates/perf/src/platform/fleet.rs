//! The workers that run a run's tasks: processes of this machine, reserved for the run. Up to [`PROCESSES`] of them are
//! `regatta worker`, a process each; more are connections of a few processes ([`agents`](super::agents)).
//!
//! They offer one tool, [`hold`](super::hold), with arguments of our own: nobody who submits a task elsewhere can make them
//! run anything else.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regatta_client::Client;
use regatta_client::api::WorkerStatus;
use regatta_client::api::worker::WorkersQuery;

use super::hold;
use super::process::Process;
use crate::fixtures::run_concurrent;
use crate::trial::Trouble;
use crate::world::{PART, all_workers};

/// Up to so many workers are a process each.
pub const PROCESSES: usize = 20;
/// More are connections of so many processes.
const SHARED: usize = 4;
/// Each runs so many tasks at once: ten workers run twenty.
pub const SLOTS: u32 = 2;
/// So long they may take to be there, and a little more for each.
const READY: Duration = Duration::from_secs(60);
const READY_EACH: Duration = Duration::from_millis(50);

/// How a fleet is started.
#[derive(Debug)]
pub struct FleetOptions<'a> {
    /// This program.
    pub binary: &'a Path,
    /// A folder for the run.
    pub folder: &'a Path,
    /// The server.
    pub url: &'a str,
    /// The token to show it.
    pub token: Option<&'a str>,
    /// Certificates to believe.
    pub tls_ca: Option<&'a Path>,
    /// The run.
    pub run: &'a str,
    /// How many workers.
    pub count: usize,
}

/// Workers that are online.
#[derive(Debug)]
pub struct Fleet {
    processes: RefCell<Vec<Process>>,
    /// How many workers there are.
    pub count: usize,
    /// The part of the run that they are for: what a task requires to come to them.
    pub part: String,
    /// The folder of the rounds in which they hold.
    pub rounds: PathBuf,
}

impl Fleet {
    /// Starts them, and waits until the server knows all of them.
    ///
    /// # Errors
    /// When one ends, or they do not come.
    pub async fn start(options: &FleetOptions<'_>, client: &Client) -> Result<Self, Trouble> {
        let part = format!("hold-{}", options.run);
        let rounds = options.folder.join("rounds");
        let made = |error: std::io::Error| Trouble(format!("the workers' folder cannot be made: {error}"));
        std::fs::create_dir_all(&rounds).map_err(made)?;
        let fleet = Self { processes: RefCell::default(), count: options.count, part, rounds };
        let shares = if options.count <= PROCESSES {
            fleet.configure(options).map_err(made)?;
            (1..=options.count).map(|number| fleet.worker(options, number)).collect::<Vec<_>>()
        } else {
            let share = options.count.div_ceil(SHARED);
            let first = (0..SHARED).map(|index| index * share).take_while(|first| *first < options.count);
            first.map(|first| fleet.agents(options, first, share.min(options.count - first))).collect()
        };
        for (index, arguments) in shares.into_iter().enumerate() {
            let output = options.folder.join(format!("worker-{}.log", index + 1));
            let token: Vec<(&str, &str)> = options.token.map(|token| ("REGATTA_TOKEN", token)).into_iter().collect();
            let process = Process::start(options.binary, &arguments, &token, output)?;
            fleet.processes.borrow_mut().push(process);
        }
        fleet.ready(client).await?;
        Ok(fleet)
    }

    /// The workers' configuration: which tool they offer, and nothing of the user's own.
    fn configure(&self, options: &FleetOptions<'_>) -> std::io::Result<()> {
        let argv = serde_json::json!([options.binary, "perf", "__hold", self.rounds, "{{input.round}}"]);
        // A JSON list of strings is one of TOML too.
        let text = format!("[worker.tools.{}]\nargv = {argv}\nstdin = \"\"\n", hold::TOOL);
        std::fs::write(options.folder.join("worker.toml"), text)
    }

    fn worker(&self, options: &FleetOptions<'_>, number: usize) -> Vec<OsString> {
        let labels = format!("{}={},{PART}={}", crate::fixtures::LABEL, options.run, self.part);
        let mut arguments: Vec<OsString> = vec!["worker".into()];
        for (flag, value) in [
            ("--config", options.folder.join("worker.toml").into_os_string()),
            ("--server", options.url.into()),
            ("--name", format!("perf-{}-{number}", options.run).into()),
            ("--labels", labels.into()),
            ("--slots", SLOTS.to_string().into()),
            ("--data-dir", options.folder.join("workers").into()),
            ("--log-level", "warn".into()),
        ] {
            arguments.extend([flag.into(), value]);
        }
        if let Some(ca) = options.tls_ca {
            arguments.extend(["--tls-ca".into(), ca.into()]);
        }
        arguments.extend(["--reserved".into(), "--exit-with-parent".into()]);
        arguments
    }

    fn agents(&self, options: &FleetOptions<'_>, first: usize, count: usize) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["perf".into(), "__agents".into()];
        for (flag, value) in [
            ("--server", OsString::from(options.url)),
            ("--run", options.run.into()),
            ("--part", self.part.clone().into()),
            ("--first", first.to_string().into()),
            ("--count", count.to_string().into()),
            ("--slots", SLOTS.to_string().into()),
            ("--rounds", self.rounds.clone().into()),
        ] {
            arguments.extend([flag.into(), value]);
        }
        if let Some(ca) = options.tls_ca {
            arguments.extend(["--tls-ca".into(), ca.into()]);
        }
        arguments
    }

    async fn ready(&self, client: &Client) -> Result<(), Trouble> {
        let started = Instant::now();
        let patience = READY + READY_EACH * u32::try_from(self.count).unwrap_or(u32::MAX);
        loop {
            if self.online(client).await? >= self.count {
                return Ok(());
            }
            if let Some(how) = self.processes.borrow_mut().iter_mut().find_map(Process::ended) {
                return Err(Trouble(format!("a worker {how}")));
            }
            if started.elapsed() > patience {
                let there = self.online(client).await?;
                return Err(Trouble(format!(
                    "of {} workers {there} are online after {} s",
                    self.count,
                    patience.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many tasks they can run at once.
    pub const fn capacity(&self) -> usize {
        self.count * SLOTS as usize
    }

    /// How many of them the server shows as anything but offline.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn online(&self, client: &Client) -> Result<usize, Trouble> {
        let query = WorkersQuery { label: Some(format!("{PART}={}", self.part)), ..WorkersQuery::default() };
        let rows = all_workers(client, query).await?;
        Ok(rows.iter().filter(|row| row.status != WorkerStatus::Offline).count())
    }

    /// Ends them in order.
    pub async fn stop(&self) {
        let processes = self.processes.take();
        processes.iter().for_each(Process::terminate);
        run_concurrent(processes.into_iter().map(Process::gone)).await;
    }
}
