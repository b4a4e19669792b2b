//! How a run is told of: progress on a terminal, lines elsewhere, the scorecard, and the report files.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use regatta_perf::report::file::{self, Kind};
use regatta_perf::report::{CheckReport, Report, Verdict, github, markdown, text};
use regatta_perf::runner::{Item, Observer};
use regatta_perf::thresholds::Thresholds;

use super::args::Run;
use crate::context::Context;
use crate::exit::Failure;
use crate::ui;
use crate::ui::style::{BAD, DIM, GOOD, PLAIN, WARN, cut, paint};
use crate::ui::table::{Cell, Table};

/// Tells of a run.
pub struct Show {
    live: bool,
    quiet: bool,
    verbose: bool,
    metrics: bool,
    durations: Option<usize>,
    files: Vec<(PathBuf, Kind)>,
}

/// Prints to standard output.
///
/// # Errors
/// When it cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    Ok(writeln!(anstream::stdout().lock(), "{}", text.trim_end())?)
}

/// The checks, and what they are held to.
///
/// # Errors
/// When it cannot be written.
pub fn list(checks: &[Item]) -> Result<(), Failure> {
    let thresholds = Thresholds::default();
    let mut table = Table::new(["CHECK", "LIMITS", "WHAT"], "WHAT");
    for check in checks {
        let limits = match check {
            Item::BuiltIn(check) => thresholds.of(check.name).unwrap_or_default(),
            Item::Own(check) => check.limits,
        };
        table.row([check.name().into(), limits.in_words().into(), Cell::new(DIM, check.about())]);
    }
    print(&table.render(ui::terminal().map(|(columns, _)| columns)))
}

impl Show {
    /// As the flags say.
    pub fn new(run: &Run, context: &Context) -> Self {
        Self {
            live: std::io::stderr().is_terminal() && !context.globals.quiet,
            quiet: context.globals.quiet,
            verbose: context.globals.verbose > 0,
            metrics: run.show_metrics,
            durations: run.durations,
            files: run.report.clone(),
        }
    }

    /// Shows in one line what is being done now, and takes it back with the next.
    fn now(&self, text: &str) {
        if self.live {
            let columns = ui::terminal().map_or(80, |(columns, _)| columns);
            // The terminal may be gone.
            let _ = write!(anstream::stderr().lock(), "\r\x1b[K{}", paint(DIM, cut(text, columns.saturating_sub(1))));
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&self) {
        if self.live {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }

    /// The scorecard, and what is to be said.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn finish(&mut self, report: &Report) -> Result<(), Failure> {
        self.clear();
        let mut out = anstream::stdout().lock();
        if !self.quiet {
            let columns = ui::terminal().map(|(columns, _)| columns);
            write!(out, "\n{}", scorecard(report).render(columns))?;
        }
        for check in report.checks.iter().filter(|check| !check.passed()) {
            write!(out, "\n{}", paint(style(check.verdict), text::complaint(check)))?;
        }
        if let Some(count) = self.durations {
            let mut checks: Vec<&CheckReport> = report.checks.iter().collect();
            checks.sort_by(|one, other| other.took_s.total_cmp(&one.took_s));
            writeln!(out, "\nslowest checks:")?;
            for check in checks.into_iter().take(count) {
                writeln!(out, "  {:>7.2} s  {}", check.took_s, check.name)?;
            }
        }
        let style = if report.passed() { GOOD } else { BAD };
        writeln!(out, "\n{}", paint(style.bold(), text::summary(report)))?;
        if let Some(folder) = &report.folder {
            writeln!(out, "logs and data of the platform: {}", folder.display())?;
        }
        if let Some(left) = &report.left_behind {
            writeln!(out, "{}", paint(WARN, left))?;
        }
        Ok(out.flush()?)
    }
}

impl Show {
    /// The report files, and what GitHub reads when this runs there.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, report: &Report) -> Result<(), Failure> {
        let cannot = |path: &Path, error: std::io::Error| {
            Failure::failed(format!("{} cannot be written: {error}", path.display()))
        };
        for (path, kind) in &self.files {
            file::write(report, path, *kind).map_err(|error| cannot(path, error))?;
        }
        if std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true") {
            print(&github::annotations(report))?;
        }
        if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
            let path = Path::new(&path);
            let mut text = markdown::report(report);
            if text.len() > github::SUMMARY {
                text = format!("{}\n", text::summary(report));
            }
            let appended = std::fs::File::options().create(true).append(true).open(path);
            appended.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| cannot(path, error))?;
        }
        Ok(())
    }
}

impl Observer for Show {
    fn preparing(&mut self, what: &str) {
        self.now(&format!("starting {what} ..."));
    }

    fn begins(&mut self, name: &str, index: usize, all: usize) {
        self.now(&format!("[{}/{all}] {name} ...", index + 1));
    }

    fn ended(&mut self, check: &CheckReport) {
        self.clear();
        if self.quiet {
            return;
        }
        let mut out = anstream::stdout().lock();
        // Who closed the pipe has seen enough; the exit code still tells.
        let _ = if self.metrics && !check.times.is_empty() {
            writeln!(
                out,
                "{} {}\n{}\n",
                paint(style(check.verdict), text::mark(check.verdict)),
                check.name,
                check.block()
            )
        } else {
            writeln!(out, "{} {}", paint(style(check.verdict), text::mark(check.verdict)), check.name)
        };
        if self.verbose {
            let _ = writeln!(out, "    {}\n    time went to: {}", check.about, text::went(&check.time_went));
        }
    }
}

fn scorecard(report: &Report) -> Table {
    let head = ["", "CHECK", "N", "MEDIAN", "P95", "MAX", "LIMIT", "WHAT"];
    let mut table = Table::new(head, "LIMIT").drops(&["MEDIAN", "WHAT", "N"]);
    for check in &report.checks {
        let style = style(check.verdict);
        let mark = Cell::new(style, text::mark(check.verdict));
        let name = if check.passed() { PLAIN } else { style };
        let cells = text::row(check).into_iter().enumerate().map(|(at, cell)| match at {
            0 => Cell::new(name, cell),
            5 => Cell::new(DIM, cell),
            _ => cell.into(),
        });
        table.row(std::iter::once(mark).chain(cells));
    }
    table
}

fn style(verdict: Verdict) -> anstyle::Style {
    match verdict {
        Verdict::Passed => GOOD,
        Verdict::Failed => BAD,
        Verdict::Invalid => WARN,
        Verdict::Error => BAD.bold(),
    }
}
