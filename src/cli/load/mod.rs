//! `regatta load`: load tests with user classes. What the flags mean and how a run is told of; the engine is
//! `regatta-load`.
//!
//! - [`args`]: the flags, as Locust has them
//! - [`page`]: the web page, and Locust's web API
//! - [`builtin`]: the user classes that know the platform
//! - [`show`]: log lines, tables and files while it runs and at its end
//! - [`terminal`]: the terminal view and its keys
//! - [`worker`]: the engine under a Locust master

mod args;
mod builtin;
mod page;
mod show;
mod terminal;
mod worker;

use std::path::Path;

use regatta_load::engine::{Error, Handle};
use regatta_load::report::{html, json, tables};
use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::{Engine, Outcome as Ran, Plan, ScenarioError};

pub use self::args::Load;
use self::show::Show;
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::signals::Signals;

impl Load {
    /// Runs the command.
    pub fn run(self, context: &Context) -> Outcome {
        if self.schema {
            crate::ui::json::print(&regatta_load::scenario::file::schema())?;
            return Ok(Exit::Done);
        }
        let source = self.source(context)?;
        if self.worker {
            return worker::work(&self, context, source);
        }
        let run = run_id();
        let paged = !(self.headless || self.no_web || self.only_summary || self.json);
        let choices = Choices {
            host: self.host.clone(),
            // A list of the classes names all there are.
            classes: match () {
                () if self.list => Vec::new(),
                () if self.file.is_none() && self.classes.is_empty() => builtin::DEFAULT.map(str::to_owned).to_vec(),
                () => self.classes.clone(),
            },
            tags: words(&self.tags),
            exclude_tags: words(&self.exclude_tags),
            equal_weights: self.equal_weights,
            run: run.clone(),
        };
        let plan = regatta_load::scenario::load(&source, &choices).map_err(|error| of_scenario(&error))?;
        if self.list {
            println_ignoring("Available Users:");
            plan.classes.iter().for_each(|class| println_ignoring(&format!("    {}", class.name)));
            return Ok(Exit::Done);
        }
        if self.show_task_ratio {
            println_ignoring(tables::task_ratio(&plan).trim_end());
            return Ok(Exit::Done);
        }
        if paged {
            return page::serve(&self, context, source, &plan);
        }
        self.measure(context, plan, &run)
    }

    fn measure(&self, context: &Context, plan: Plan, run: &str) -> Outcome {
        let options = self.options()?;
        let decided_by_thresholds = !options.thresholds.is_empty() || !plan.thresholds.is_empty();
        let host = plan.host.to_string();
        let thresholds = options.thresholds.clone();
        let engine = Engine::new(plan, options).map_err(of_engine)?;
        let handle = engine.handle();
        // From here on Ctrl-C ends in whole reports.
        stop_on_signals(handle.clone())?;
        let mut show = Show::new(self, context, engine.plan(), engine.options())?;
        show.listen(&handle);
        let plan = engine.shared_plan();
        let ran = engine.run(&mut show);
        show.restore();
        let swept = if self.file.is_none() { builtin::sweep(context.token(), &host, run) } else { Ok(()) };
        let ran = ran.map_err(of_engine)?;
        let exit = self.exit(&ran, decided_by_thresholds);
        show.finish(&ran, exit)?;
        if let Some(name) = &self.html {
            let path = self.expanded(name);
            let page = html::page(&plan, &thresholds, &ran, &self.about(&host));
            std::fs::write(&path, page)
                .map_err(|error| Failure::failed(format!("{path} cannot be written: {error}")))?;
        }
        if self.json {
            crate::ui::json::print(&json::entries(&ran.totals))?;
        }
        swept?;
        Ok(exit)
    }

    /// `{u}`, `{r}` and `{t}` in a report's name.
    fn expanded(&self, name: &str) -> String {
        let users = self.users.unwrap_or(1).to_string();
        let time = self.run_time.map_or("none".to_owned(), |time| format!("{}s", time.as_secs_f64()));
        name.replace("{u}", &users).replace("{r}", &self.spawn_rate.to_string()).replace("{t}", &time)
    }

    /// What the report says of how it came about. Arguments, not the environment: that holds secrets.
    fn about(&self, host: &str) -> html::About {
        let scenario =
            self.file.as_ref().map_or("the built-in user classes".to_owned(), |file| file.display().to_string());
        let mut words: Vec<String> = std::env::args().skip(1).collect();
        for at in 0..words.len() {
            if words[at].starts_with("--token=") {
                words[at] = "--token=…".to_owned();
            } else if at > 0 && words[at - 1] == "--token" {
                words[at] = "…".to_owned();
            }
        }
        html::About { scenario, host: host.to_owned(), command: format!("regatta {}", words.join(" ")) }
    }

    /// The exit code: by thresholds alone where there are some, else by failures.
    fn exit(&self, ran: &Ran, decided_by_thresholds: bool) -> Exit {
        if decided_by_thresholds {
            if ran.verdicts.iter().any(|verdict| !verdict.holds) {
                return if ran.invalid.is_empty() { Exit::Failed } else { Exit::Invalid };
            }
        } else if ran.totals.all.failures > 0 || !ran.totals.exceptions.is_empty() {
            return Exit::Other(self.exit_code_on_error);
        }
        // Without a time to run, Ctrl-C is how a run ends.
        if ran.interrupted && self.run_time.is_some() { Exit::Interrupted } else { Exit::Done }
    }

    fn source(&self, context: &Context) -> Result<Source, Failure> {
        let Some(file) = &self.file else { return Ok(builtin::source(context.token())) };
        if file.extension().is_some_and(|suffix| suffix == "py") {
            return Err(of_python(file));
        }
        Source::read(file).map_err(|error| of_scenario(&error))
    }
}

/// Lets every signal shorten the run. When this returns, none of them ends the process any more.
fn stop_on_signals(handle: Handle) -> Result<(), Failure> {
    let broken = |why: String| Failure::failed(format!("signals cannot be handled: {why}"));
    let (sender, taken) = std::sync::mpsc::channel();
    // Signals need a runtime, and the run leads its own threads: one of its own for them.
    let listen = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(broken(error.to_string())))),
        };
        runtime.block_on(async {
            let mut signals = match Signals::take() {
                Ok(signals) => signals,
                Err(failure) => return drop(sender.send(Err(failure))),
            };
            let _ = sender.send(Ok(()));
            loop {
                signals.next().await;
                handle.stop();
            }
        });
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
    thread.map_err(|error| broken(error.to_string()))?;
    taken.recv().unwrap_or_else(|error| Err(broken(error.to_string())))
}

/// Whoever closed the pipe has seen enough.
fn println_ignoring(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// What `{{ run }}` says: what the run creates is known by it.
fn run_id() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    id[id.len() - 12..].to_owned()
}

/// Tags may come as words or separated by commas, as environments write them.
fn words(list: &[String]) -> Vec<String> {
    list.iter().flat_map(|text| text.split([',', ' '])).filter(|word| !word.is_empty()).map(Into::into).collect()
}

fn of_scenario(error: &ScenarioError) -> Failure {
    Failure::usage(error.to_string())
}

fn of_engine(error: Error) -> Failure {
    let what = error.to_string();
    match error {
        Error::Options(_) => Failure::usage(what),
        Error::Unreachable { .. } => {
            Failure { exit: Exit::Unreachable, what, hint: None }.hint("start it, or name another with --host")
        }
        Error::Descriptors { needed, .. } => {
            Failure::usage(what).hint(format!("raise the limit with `ulimit -n {needed}`, or use fewer --users"))
        }
        Error::System(_) => Failure::failed(what),
    }
}

fn of_python(file: &Path) -> Failure {
    Failure::usage(format!(
        "{} is Python, and `regatta load` runs scenarios in TOML; the same user class looks like this:\n\n\
         \x20   [[users]]\n\
         \x20   name = \"WebUser\"                      # class WebUser(HttpUser):\n\
         \x20   wait = {{ between = [\"1s\", \"3s\"] }}    #     wait_time = between(1, 3)\n\n\
         \x20   [[users.tasks]]                       #     @task(3)\n\
         \x20   weight = 3                            #     def items(self):\n\
         \x20   get = \"/items\"                        #         self.client.get(\"/items\")\n",
        file.display()
    ))
    .hint(format!(
        "examples/scenarios has whole ones, `regatta load --schema` every key. Or let a Locust master run that very \
         file and say who runs, how many and how long, and this engine send the requests: `locust -f {} --master`, and \
         beside it `regatta load --worker -f SCENARIO.toml` with a class of the same name",
        file.display()
    ))
}
