//! `regatta perf`: the checks of the platform's requirements. What the flags mean and how a run is told of; the checks are
//! `regatta-perf`.
//!
//! - [`args`]: the flags
//! - [`show`]: progress while it runs, the scorecard at its end, and the report files
//! - [`parts`]: what this program is when a run starts it again: a task that holds, a process of many workers

mod args;
mod parts;
mod show;

use std::time::Duration;

use regatta_perf::checks;
use regatta_perf::explain::{WORDS, find};
use regatta_perf::own;
use regatta_perf::platform::Services;
use regatta_perf::runner::{self, Item, Options, RunError};
use regatta_perf::thresholds::{DEFAULTS, Thresholds};
use tokio::sync::watch;

pub use self::args::Perf;
use self::args::{Command, Run};
use self::show::Show;
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::node::with_hint;
use crate::signals::Signals;

impl Perf {
    /// Runs the command.
    pub fn run(self, context: &Context) -> Outcome {
        match self.command {
            None => run(self.run, context),
            Some(Command::Run(run_)) => run(*run_, context),
            Some(Command::Thresholds) => {
                show::print(DEFAULTS)?;
                Ok(Exit::Done)
            }
            Some(Command::Explain { word }) => explain(&word.join(" ")),
            Some(Command::Hold(hold)) => hold.run(),
            Some(Command::Agents(agents)) => agents.run(context),
        }
    }
}

fn run(run: Run, context: &Context) -> Outcome {
    let own = match &run.checks {
        Some(file) => own::read(file).map_err(Failure::usage)?,
        None => Vec::new(),
    };
    let selected = checks::select(&run.names, own).map_err(|unknown| {
        Failure::usage(format!("no check is called {unknown:?}")).hint("`regatta perf --list` lists them")
    })?;
    if run.list {
        show::list(&selected)?;
        return Ok(Exit::Done);
    }
    let thresholds = thresholds(&run, &selected)?;
    let binary = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("this program cannot find itself to start the platform: {error}")))?;
    let options = Options {
        checks: selected,
        run_real_agents: run.run_real_agents,
        target: run.target.clone(),
        services: run.database.clone().map(|database| Services { database, redis: run.redis.clone() }),
        token: context.token().map(str::to_owned),
        tls_ca: context.tls_ca().map(ToOwned::to_owned),
        binary,
        scale: run.scale,
        repeat: usize::from(run.repeat),
        timeout: Duration::from_secs_f64(run.timeout),
        fail_fast: run.fail_fast,
        keep: run.keep,
        thresholds,
    };
    let mut show = Show::new(&run, context);
    let report = runner::run(&options, &mut show, interrupts()?).map_err(of_run)?;
    show.finish(&report)?;
    // The scorecard is out; what cannot be written is told beside it.
    show.write(&report)?;
    Ok(exit(&report))
}

/// Says what a word of the reports means, or which there are.
fn explain(word: &str) -> Outcome {
    if word.is_empty() {
        for word in WORDS {
            show::print(&format!("{}: {}\n", word.names[0], word.means))?;
        }
        return Ok(Exit::Done);
    }
    let known = || WORDS.iter().map(|word| word.names[0]).collect::<Vec<_>>().join(", ");
    let found = find(word).ok_or_else(|| {
        Failure::usage(format!("no figure is called {word:?}")).hint(format!("known are {}", known()))
    })?;
    show::print(found.means)?;
    Ok(Exit::Done)
}

/// The exit code of a run.
fn exit(report: &regatta_perf::report::Report) -> Exit {
    if report.interrupted {
        Exit::Interrupted
    } else if report.is_invalid() {
        Exit::Invalid
    } else if report.passed() && report.left_behind.is_none() {
        Exit::Done
    } else {
        Exit::Failed
    }
}

fn thresholds(run: &Run, selected: &[Item]) -> Result<Thresholds, Failure> {
    let mut defaults = Thresholds::default();
    for item in selected {
        if let Item::Own(check) = item {
            defaults = defaults.with(&check.name, check.limits);
        }
    }
    let Some(file) = &run.thresholds else { return Ok(defaults) };
    let wrong = |why: String| {
        Failure::usage(format!("{} cannot be used: {why}", file.display()))
            .hint("`regatta perf thresholds` prints a whole one")
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let known = checks::ALL.iter().map(|check| check.name).chain(selected.iter().map(Item::name));
    defaults.overlaid(&text, known).map_err(wrong)
}

/// Counts Ctrl-C and SIGTERM from here on.
fn interrupts() -> Result<watch::Receiver<u32>, Failure> {
    let (count, counted) = watch::channel(0);
    // Signals need a runtime, and the run has its own on this thread: one more for them.
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let Ok(mut signals) = Signals::take() else { return };
                loop {
                    signals.next().await;
                    count.send_modify(|count| *count += 1);
                }
            });
        })
        .map_err(|error| Failure::failed(format!("the signals' thread cannot be started: {error}")))?;
    Ok(counted)
}

fn of_run(error: RunError) -> Failure {
    let what = error.to_string();
    match error {
        RunError::Options(_) => Failure::usage(what),
        RunError::Unreachable { .. } => {
            Failure { exit: Exit::Unreachable, what, hint: None }.hint("start it, or leave --target away")
        }
        RunError::Platform(_) => with_hint(Exit::Failed, &what),
    }
}
