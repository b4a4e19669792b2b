//! How a run is told of: log lines as Locust writes them, tables, CSV and JSON files, the terminal view.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use regatta_load::engine::{Event, Handle, Observer};
use regatta_load::report::{csv, json, tables};
use regatta_load::{Options, Outcome as Ran, Plan, Totals};

use super::args::Load;
use super::terminal::View;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Tables of a run come so often, in seconds.
const EVERY: u64 = 2;
/// Columns of what is no terminal: names get all they want.
const UNBOUNDED: usize = 160;

/// Tells of a run.
pub struct Show {
    log: Log,
    /// Tables while it runs.
    tables: bool,
    quiet: bool,
    columns: usize,
    csv: Option<csv::Files>,
    json_file: Option<PathBuf>,
    view: Option<View>,
    /// What could not be written while it ran.
    trouble: Option<String>,
}

/// Lines as Locust's.
#[derive(Clone, Copy)]
pub struct Log {
    /// Below which nothing is said: 1 info, 2 warning, 3 error.
    level: u8,
}

impl Log {
    /// As `--loglevel` says.
    pub fn new(load: &Load) -> Self {
        let level = match load.loglevel.as_str() {
            "debug" | "info" => 1,
            "warning" => 2,
            _ => 3,
        };
        Self { level }
    }

    fn line(self, level: u8, word: &str, text: &str) -> String {
        let now = jiff::Timestamp::now();
        let time = now.strftime("%Y-%m-%d %H:%M:%S");
        let millis = now.subsec_millisecond();
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let line = format!("[{time},{millis:03}] {host}/{word}/regatta.load: {text}");
        if level >= self.level {
            print(&line);
        }
        line
    }

    /// It goes as it should. With the line as it was written.
    pub fn info(self, text: &str) -> String {
        self.line(1, "INFO", text)
    }

    /// Somebody should look.
    pub fn warning(self, text: &str) -> String {
        self.line(2, "WARNING", text)
    }

    /// Something does not work.
    pub fn error(self, text: &str) -> String {
        self.line(3, "ERROR", text)
    }
}

/// Prints a line or a table. Where nobody reads, nobody misses it.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

impl Show {
    /// Opens the files, and says what begins.
    pub fn new(load: &Load, context: &Context, plan: &Plan, options: &Options) -> Result<Self, Failure> {
        let log = Log::new(load);
        let on_terminal = std::io::stderr().is_terminal();
        let columns = columns();
        let csv = match &load.csv {
            None => None,
            Some(prefix) => {
                let files = csv::Files::create(prefix, load.csv_full_history);
                Some(files.map_err(|error| cannot_write(&prefix.display().to_string(), &error))?)
            }
        };
        log.info(&format!("Starting regatta load {} against {}", env!("CARGO_PKG_VERSION"), plan.host));
        let interactive = load.no_web && !load.headless && !load.only_summary && !load.json && on_terminal;
        if options.run_time.is_none() && options.arrivals.as_ref().is_none_or(|profile| profile.length().is_none()) {
            log.info("No run time limit set, use CTRL+C to interrupt");
        }
        let view = interactive.then(|| View::new(load.threshold.len())).flatten();
        Ok(Self {
            log,
            tables: view.is_none() && !load.only_summary && (load.headless || load.print_stats || !on_terminal),
            quiet: context.globals.quiet,
            columns,
            csv,
            json_file: load.json_file.clone(),
            view,
            trouble: None,
        })
    }

    /// Lets the terminal's keys steer the run.
    pub fn listen(&mut self, handle: &Handle) {
        if let Some(view) = &mut self.view {
            view.listen(handle.clone());
        }
    }

    /// Gives the terminal back.
    pub fn restore(&mut self) {
        self.view = None;
    }

    /// The reports.
    pub fn finish(&mut self, ran: &Ran, exit: Exit) -> Result<(), Failure> {
        let totals = &ran.totals;
        let shortened = self.columns;
        if let Some(files) = &mut self.csv {
            files.finish(totals).map_err(|error| cannot_write("the CSV files", &error))?;
        }
        if let Some(path) = &self.json_file {
            write_json(path, totals)?;
        }
        let code = exit.code();
        self.log.info(&format!("Shutting down (exit code {code})"));
        if !self.quiet {
            print(&tables::requests(totals, shortened, false));
            print(&tables::percentiles(totals, shortened));
            for table in
                [tables::service(totals), tables::stages(totals), tables::errors(totals), tables::exceptions(totals)]
            {
                if !table.is_empty() {
                    print(&table);
                }
            }
        }
        ran.verdicts.iter().for_each(|verdict| print(&verdict.to_string()));
        for why in &ran.invalid {
            self.log.warning(&format!("The result is invalid, the generator was the bottleneck: {why}"));
        }
        match self.trouble.take() {
            Some(trouble) => Err(Failure::failed(trouble)),
            None => Ok(()),
        }
    }
}

/// Columns of tables.
pub fn columns() -> usize {
    let terminal = if std::io::stderr().is_terminal() { crate::ui::terminal() } else { None };
    terminal.map_or(UNBOUNDED, |(columns, _)| columns)
}

/// Writes `FILE.json`.
pub fn write_json(file: &Path, totals: &Totals) -> Result<(), Failure> {
    let path = with_suffix(file, "json");
    std::fs::write(&path, format!("{:#}\n", json::entries(totals)))
        .map_err(|error| cannot_write(&path.display().to_string(), &error))
}

fn cannot_write(what: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{what} cannot be written: {error}"))
}

impl Observer for Show {
    fn event(&mut self, event: &Event, _totals: &Totals) {
        if self.view.is_some() {
            return;
        }
        let line = match event {
            Event::Spawning { users, rate } => format!("Ramping to {users} users at a rate of {rate:.2} per second"),
            Event::Spawned(classes) => {
                let all: u64 = classes.iter().map(|(_, count)| count).sum();
                let list: Vec<String> = classes.iter().map(|(name, count)| format!("\"{name}\": {count}")).collect();
                format!("All users spawned: {{{}}} ({all} total users)", list.join(", "))
            }
            Event::Reset => "Resetting stats".to_owned(),
            Event::Stopping(why) => format!("{why}, shutting down"),
        };
        self.log.info(&line);
    }

    fn second(&mut self, totals: &Totals) {
        if let Some(files) = &mut self.csv
            && let Err(error) = files.second(totals)
        {
            self.trouble = Some(format!("the CSV files cannot be written: {error}"));
        }
        if let Some(view) = &mut self.view {
            view.draw(totals);
        } else if self.tables && !self.quiet && totals.now().is_multiple_of(EVERY) {
            print(&tables::requests(totals, self.columns, true));
        }
    }
}

/// `FILE` as `FILE.json`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    if path.extension().is_some_and(|found| found == suffix) {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
