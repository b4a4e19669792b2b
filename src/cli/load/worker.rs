//! `regatta load --worker`: the engine under a Locust master. The master says who runs, how many, where and how long.

use std::path::PathBuf;
use std::sync::Arc;

use regatta_load::Plan;
use regatta_load::engine::Outcome as Ran;
use regatta_load::locust::{End, Ended, Error, Hooks, Job, Level, Options, Worker};
use regatta_load::report::tables;
use regatta_load::scenario::compile::{Choices, Source};

use super::args::Load;
use super::show::{self, Log};
use super::{builtin, run_id, words};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::signals::Signals;

/// Works for a master until it says that it is over, or Ctrl-C.
pub fn work(load: &Load, context: &Context, source: Source) -> Outcome {
    let options = Options {
        host: load.master_host.clone(),
        port: load.master_port,
        threads: load.threads()?,
        trust: load.trust.clone(),
        http2: load.http2,
        patience: load.master_timeout,
    };
    let log = Log::new(load);
    let ours = Ours {
        source,
        host: load.host.clone(),
        tags: words(&load.tags),
        exclude_tags: words(&load.exclude_tags),
        json_file: load.json_file.clone(),
        built_in: load.file.is_none(),
        token: context.token().map(str::to_owned),
        quiet: context.globals.quiet,
        log,
    };
    // Read once before the master is bothered: a scenario that cannot be used is told here.
    ours.compile(&Job::default()).map_err(Failure::usage)?;
    log.info(&format!("Starting regatta load {} as a worker", env!("CARGO_PKG_VERSION")));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    let end = runtime.block_on(async {
        let (stopper, stop) = tokio::sync::mpsc::unbounded_channel();
        let mut signals = Signals::take()?;
        tokio::spawn(async move {
            loop {
                signals.next().await;
                if stopper.send(()).is_err() {
                    return;
                }
            }
        });
        Ok::<_, Failure>(Worker::work(options, Arc::new(ours), stop).await)
    })?;
    match end {
        Ok(End::Quit | End::Interrupted) => {
            log.info("Shutting down (exit code 0)");
            Ok(Exit::Done)
        }
        Err(error) => {
            let hint = match error {
                Error::Unreachable { .. } => {
                    "start one with `locust -f FILE.py --master`, or name another with --master-host and --master-port"
                }
                Error::Lost { .. } => "start this worker again when the master is back",
            };
            Err(Failure { exit: Exit::Unreachable, what: error.to_string(), hint: Some(hint.to_owned()) })
        }
    }
}

/// What we do for the worker.
struct Ours {
    source: Source,
    host: Option<String>,
    tags: Vec<String>,
    exclude_tags: Vec<String>,
    json_file: Option<PathBuf>,
    /// The built-in users leave something behind, and show a token.
    built_in: bool,
    token: Option<String>,
    quiet: bool,
    log: Log,
}

impl Ours {
    /// The plan of a job, with its run's id.
    fn compile(&self, job: &Job) -> Result<(Plan, String), String> {
        let run = run_id();
        let options = job.parsed_options.clone().unwrap_or_default();
        let or = |theirs: Option<Vec<String>>, ours: &[String]| {
            theirs.filter(|tags| !tags.is_empty()).unwrap_or_else(|| ours.to_vec())
        };
        let choices = Choices {
            host: job.host.clone().filter(|host| !host.is_empty()).or_else(|| self.host.clone()),
            // The master names those that run.
            classes: Vec::new(),
            tags: or(options.tags, &self.tags),
            exclude_tags: or(options.exclude_tags, &self.exclude_tags),
            equal_weights: false,
            run: run.clone(),
        };
        let plan = regatta_load::scenario::load(&self.source, &choices).map_err(|error| error.to_string())?;
        Ok((plan, run))
    }
}

impl Hooks for Ours {
    fn prepare(&self, job: &Job) -> Result<(Plan, Ended), String> {
        let (plan, run) = self.compile(job)?;
        let (host, built_in, token) = (plan.host.to_string(), self.built_in, self.token.clone());
        let (quiet, json_file) = (self.quiet, self.json_file.clone());
        let ended = move |ran: &Ran| {
            if !quiet && ran.totals.all.requests > 0 {
                show::print(&tables::requests(&ran.totals, show::columns(), false));
                show::print(&tables::percentiles(&ran.totals, show::columns()));
            }
            if let Some(path) = &json_file {
                show::write_json(path, &ran.totals).map_err(|failure| failure.what)?;
            }
            if built_in {
                builtin::sweep(token.as_deref(), &host, &run).map_err(|failure| failure.to_string())?;
            }
            Ok(())
        };
        Ok((plan, Box::new(ended)))
    }

    fn log(&self, level: Level, text: &str) -> String {
        match level {
            Level::Info => self.log.info(text),
            Level::Warning => self.log.warning(text),
            Level::Error => self.log.error(text),
        }
    }
}
