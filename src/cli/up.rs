//! `regatta up`: everything on this machine.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::worker::WorkersQuery;
use regatta_client::api::{Time, WorkerStatus};
use regatta_model::token::Secret;
use regatta_model::words::TokenRole;
use regatta_server::Access;
use tokio::time::timeout;

use super::database::Database;
use super::serve::{listen, tell_who_may_call};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::fleet::{Fleet, News, Plan};
use crate::logging::{self, LogArgs};
use crate::node::{NodeOptions, Retain};
use crate::ready::{Child, Ready};
use crate::signals::Signals;
use crate::ui::style::{BOLD, DIM, LIVE, WARN, one_line, paint};
use crate::ui::time;

/// How many workers there are when nobody says.
const WORKERS: u32 = 2;
/// How many subtasks each runs at once when nobody says.
const SLOTS: u32 = 2;
/// The tools that the demo's worker stands in for.
const DEMO_TOOLS: &str = "simulate:claude_code,simulate:gemini_cli,simulate:ollama";
/// The name of the demo's worker.
const DEMO_NAME: &str = "demo-agents";
/// The name of the tokens that it makes for its workers and itself, anew with every start.
const OWN_TOKENS: &str = "regatta up";
/// After so long without all workers, what is there is shown.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long an answer is waited for that only makes a sentence better.
const ANSWER: Duration = Duration::from_secs(1);

/// Everything on this machine: server, store and workers
///
/// Starts everything on this machine: a server with an embedded store, and workers that run programs (the tool `command`)
/// as processes of their own. The first thing to try.
#[derive(Debug, Args)]
#[command(after_help = "\
Ctrl-C drains and stops everything, at once when nothing runs; the second does not wait. What was submitted \
is kept in the data folder and goes on with the next `regatta up`.

Examples:
  regatta up
  regatta up --demo                       with simulated AI agents: the built-in plans run
  regatta up --workers 4 --slots 8
  regatta up --port 8080 --data-dir ./farm")]
pub struct Up {
    /// The port to listen on, at localhost; 0 is any free one [default: 8000]
    #[arg(long, value_name = "PORT", conflicts_with = "listen")]
    port: Option<u16>,

    /// Host and port to listen on [default: localhost:8000]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    listen: Vec<String>,

    /// Where everything is kept [default: ~/.local/share/regatta]
    #[arg(long, value_name = "DIR", env = "REGATTA_DATA", hide_env_values = true)]
    data_dir: Option<PathBuf>,

    /// How many workers to start [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    workers: Option<u32>,

    /// How many subtasks each worker runs at once [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: Option<u32>,

    /// Add simulated agents under the names of AI tools; their results are made up and say so
    #[arg(long)]
    demo: bool,

    /// How long a worker may be silent before its work goes to another [default: 90]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    lease_seconds: Option<u32>,

    /// Let everyone who reaches it do everything, without tokens: for agents that know none, in a trusted network only
    #[arg(long)]
    insecure_no_auth: bool,

    #[command(flatten)]
    retain: Retain,

    /// Write url, pid and the workers' pids to FILE as JSON once everything runs
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

impl Up {
    pub async fn run(self, context: &Context) -> Outcome {
        let file = &context.file;
        // What matters is printed; the log is for what goes wrong.
        logging::start(&self.log, file.serve.log_format, file.serve.log_level.as_deref(), &context.globals, "warn")?;
        let mut signals = Signals::take()?;
        let binary = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("the path of this program is not known: {error}")))?;
        let data = context.data_dir(self.data_dir.as_deref())?;
        let data = std::path::absolute(&data)
            .map_err(|error| Failure::failed(format!("{} cannot be used: {error}", data.display())))?;
        let listen = match self.port {
            Some(port) => vec![format!("localhost:{port}")],
            None => listen(self.listen.clone(), file.serve.listen.as_deref()),
        };
        let lease_seconds = self.lease_seconds.or(file.serve.lease_seconds);
        let first = listen.first().cloned().unwrap_or_default();
        let options = NodeOptions {
            redis: None,
            pool_size: None,
            database: Database::Sqlite(data.join("regatta.db")),
            listen,
            lease_seconds,
            retain: self.retain.or(&file.serve),
            // Its workers would have to be told whom to believe: with TLS a server and its workers are started apart.
            tls: None,
            insecure_no_auth: self.insecure_no_auth || file.serve.insecure_no_auth.unwrap_or(false),
        };
        let mut node = match options.build().await {
            Ok(node) => node,
            Err(failure) => return Err(already_up(failure, &first).await),
        };
        let url = node.url();
        // By the clock that the server's times come from.
        let up_since = time::now();
        tell_who_may_call(&mut node)?;
        let (workers_token, own_token) = match node.access() {
            Access::Tokens => (
                Some(node.own_token(TokenRole::Worker, OWN_TOKENS).await?),
                Some(node.own_token(TokenRole::Viewer, OWN_TOKENS).await?),
            ),
            Access::Loopback | Access::Open => (None, None),
        };

        let (drain_node, node_drains) = tokio::sync::oneshot::channel::<()>();
        let running = node.run(async {
            // Dropped or sent: both mean drain.
            let _ = node_drains.await;
        });
        let mut running = std::pin::pin!(running);
        let plans = self.plans(context, &url, &data, workers_token.as_ref());
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        let (mut fleet, mut news) = Fleet::start(binary.clone(), plans);
        let client = Client::new(regatta_client::Options {
            server: url.clone(),
            token: own_token.map(|token| token.expose().to_owned()),
            ..Default::default()
        })?;

        // Until the workers are there: theirs and the server's own end are looked after meanwhile.
        let mut started = std::pin::pin!(tokio::time::timeout(PATIENCE, registered(&client, &names, up_since)));
        let stopped_early = loop {
            tokio::select! {
                ended = running.as_mut() => return ended.map(|()| Exit::Done),
                Some(news) = news.recv() => say(&news),
                () = signals.next() => break true,
                _ = started.as_mut() => break false,
            }
        };
        if !stopped_early {
            if !context.globals.quiet {
                let before = timeout(ANSWER, client.stats()).await.ok().and_then(Result::ok);
                let before = before.map_or(0, |stats| stats.tasks.in_progress + stats.tasks.pending);
                self.welcome(&url, &data, &binary, &fleet, before)?;
            }
            // Last: who waits for it finds everything said.
            if let Some(file) = &self.ready_file {
                let workers = fleet.processes().into_iter().map(|(name, pid)| Child { name, pid }).collect();
                Ready { url: url.clone(), pid: std::process::id(), workers }.write(file)?;
            }
            loop {
                tokio::select! {
                    ended = running.as_mut() => return ended.map(|()| Exit::Done),
                    Some(news) = news.recv() => say(&news),
                    () = signals.next() => break,
                }
            }
        }

        if !context.globals.quiet {
            let page =
                timeout(ANSWER, client.workers(&WorkersQuery { limit: Some(100), ..WorkersQuery::default() })).await;
            let running =
                page.map_or(0, |page| page.map_or(0, |page| page.workers.iter().map(|one| one.busy_slots).sum()));
            let text = match running {
                0 => "stopping".to_owned(),
                1 => "stopping: one subtask runs and may finish; Ctrl-C again does not wait".to_owned(),
                running => format!("stopping: {running} subtasks run and may finish; Ctrl-C again does not wait"),
            };
            // The terminal may be gone, and stopping goes on all the same.
            let _ = writeln!(anstream::stderr().lock(), "\n{text}");
        }
        fleet.drain();
        let ended = {
            let stopped = async {
                // The server last: until then it takes the workers' last results.
                tokio::select! {
                    () = fleet.left() => {}
                    ended = running.as_mut() => return ended,
                }
                drop(drain_node);
                running.as_mut().await
            };
            let mut stopped = std::pin::pin!(stopped);
            loop {
                tokio::select! {
                    ended = stopped.as_mut() => break Some(ended),
                    Some(news) = news.recv() => say(&news),
                    () = signals.next() => break None,
                }
            }
        };
        match ended {
            Some(ended) => ended.map(|()| Exit::Done),
            None => {
                fleet.kill();
                // They are dead in a moment; without waiting they would be left to whoever adopts them.
                let _ = tokio::time::timeout(Duration::from_secs(2), fleet.left()).await;
                Err(Failure::quiet(Exit::Interrupted))
            }
        }
    }

    /// How each worker is started.
    fn plans(&self, context: &Context, url: &str, data: &Path, token: Option<&Secret>) -> Vec<Plan> {
        let file = &context.file.up;
        let slots = self.slots.or(file.slots).unwrap_or(SLOTS);
        let plan = |name: String, tools: &str, slots: u32| {
            let mut arguments: Vec<OsString> = vec!["worker".into(), "--server".into(), url.into()];
            for (flag, value) in [("--name", name.as_str()), ("--tools", tools), ("--slots", &slots.to_string())] {
                arguments.extend([flag.into(), value.into()]);
            }
            arguments.extend(["--data-dir".into(), data.into(), "--exit-with-parent".into()]);
            // A level of its own only when one was asked for: the workers say what went wrong.
            let level =
                self.log.log_level.as_deref().unwrap_or(if context.globals.verbose > 0 { "info" } else { "warn" });
            arguments.extend(["--log-level".into(), level.into()]);
            if let Some(config) = &context.globals.config {
                arguments.extend(["--config".into(), config.into()]);
            }
            Plan { name, arguments, token: token.cloned() }
        };
        let mut plans: Vec<Plan> = (1..=self.workers.or(file.workers).unwrap_or(WORKERS))
            .map(|number| plan(format!("worker-{number}"), "command", slots))
            .collect();
        if self.demo || file.demo.unwrap_or(false) {
            plans.push(plan(DEMO_NAME.to_owned(), DEMO_TOOLS, slots.max(3)));
        }
        plans
    }

    /// What runs where, and what to try next.
    fn welcome(&self, url: &str, data: &Path, binary: &Path, fleet: &Fleet, before: u64) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        let line = |name: &str| paint(DIM, format!("{name:<8}"));
        writeln!(out, "{} {}", paint(BOLD, "Regatta is up at"), paint(LIVE.bold(), url))?;
        writeln!(out, "  {} {url}", line("console"))?;
        writeln!(out, "  {} {url}/docs", line("API"))?;
        writeln!(out, "  {} {}", line("data"), data.display())?;
        let mut demo = false;
        let workers = fleet.processes();
        for (name, pid) in workers.iter().map(|(name, pid)| (name.as_str(), pid)) {
            let (what, simulated) = if name == DEMO_NAME {
                demo = true;
                ("simulated claude_code, gemini_cli and ollama", paint(WARN, " (simulated)"))
            } else {
                ("runs programs (command)", String::new())
            };
            writeln!(out, "  {} {name}{simulated}, process {pid}: {what}", line("worker"))?;
        }
        if before > 0 {
            let tasks = if before == 1 { "one task that was".to_owned() } else { format!("{before} tasks that were") };
            writeln!(out, "  {} {tasks} not done goes on", line("before"))?;
        }
        if demo {
            let text =
                "The demo's agents are simulated: they run no AI, their results are made up and say `simulated`.";
            writeln!(out, "\n{}", paint(WARN, text))?;
        }
        // With the path, unless the shell finds this very binary by its name; with the address, unless it is the default.
        let command =
            if on_the_path(binary) { "regatta".to_owned() } else { shell_word(&binary.display().to_string()) };
        let server = if url == "http://localhost:8000" { String::new() } else { format!(" --server {url}") };
        let program = if Path::new("examples/word-count.toml").exists() {
            "task submit --plan examples/word-count.toml --watch"
        } else {
            "task submit --watch \"Show the date\" -- date"
        };
        writeln!(out, "\nTry next, in another terminal:")?;
        if workers.is_empty() {
            writeln!(out, "  {command} worker --server {url} --tools command")?;
        }
        writeln!(out, "  {command}{server} {program}")?;
        if demo {
            writeln!(out, "  {command}{server} task submit --watch \"Add a login page to the shop\"")?;
        }
        writeln!(out, "  {command}{server} status")?;
        writeln!(out, "\nCtrl-C stops everything.")?;
        Ok(out.flush()?)
    }
}

/// Says that there is one already where one answers: typing `up` twice is the likeliest reason.
async fn already_up(failure: Failure, listen: &str) -> Failure {
    let options = regatta_client::Options { server: format!("http://{listen}"), timeout: ANSWER, ..Default::default() };
    let Ok(client) = Client::new(options) else { return failure };
    match timeout(ANSWER, client.health()).await {
        Ok(Ok(_)) => failure.hint(format!(
            "a Regatta server answers at http://{listen} already, `regatta status` shows it; for a second one give another \
             port and another data folder: --port 8001 --data-dir ./second"
        )),
        _ => failure,
    }
}

/// Waits until workers of these names have given a sign of life since then: rows of workers that were killed with an `up`
/// before this one still say that they are online.
async fn registered(client: &Client, names: &[String], since: Time) {
    loop {
        let query = WorkersQuery { limit: Some(100), ..WorkersQuery::default() };
        if let Ok(page) = client.workers(&query).await {
            let free = |name: &&String| {
                page.workers.iter().any(|worker| {
                    worker.machine_name == **name
                        && worker.status != WorkerStatus::Offline
                        && worker.last_heartbeat.is_some_and(|at| at >= since)
                })
            };
            if names.iter().all(|name| free(&name)) {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Passes on what the workers tell.
fn say(news: &News) {
    // The terminal may be gone; the workers go on all the same.
    let _ = match news {
        News::Line { worker, text } => {
            writeln!(anstream::stderr().lock(), "{} {}", paint(DIM, format!("{worker} |")), one_line(text))
        }
        News::Again { worker, pid } => {
            writeln!(anstream::stderr().lock(), "{}", paint(WARN, format!("{worker} runs again, process {pid}")))
        }
        News::Ended { worker, how, pause } => {
            let text = format!("{worker} {how}; it starts again in {:.1} s", pause.as_secs_f64());
            writeln!(anstream::stderr().lock(), "{}", paint(WARN, text))
        }
    };
}

/// Whether typing `regatta` starts this binary.
fn on_the_path(binary: &Path) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    let found = std::env::split_paths(&path).map(|folder| folder.join("regatta")).find(|file| file.is_file());
    let same = |file: PathBuf| Some(file.canonicalize().ok()? == binary.canonicalize().ok()?);
    found.and_then(same).unwrap_or(false)
}

/// A path as a shell takes it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_word("/opt/regatta/regatta"), "/opt/regatta/regatta");
        assert_eq!(shell_word("/my dir/it's"), "'/my dir/it'\\''s'");
    }
}
