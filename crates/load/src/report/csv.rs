//! CSV files with Locust's names and headers: `PREFIX_stats.csv`, `_stats_history.csv`, `_failures.csv`,
//! `_exceptions.csv`. The last row is written when the run is over, so that they hold all of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{PERCENTILE_NAMES, PERCENTILES, ms};
use crate::totals::{Entry, Totals};

/// The history is flushed so often, in seconds.
const FLUSH: u64 = 5;

/// Files that are written while a run goes on.
#[derive(Debug)]
pub struct Files {
    prefix: PathBuf,
    full: bool,
    history: BufWriter<File>,
    /// Second of the last row.
    written: Option<u64>,
}

impl Files {
    /// Begins the files; `full` keeps the history of every request, else only of all together.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn create(prefix: &Path, full: bool) -> io::Result<Self> {
        if let Some(folder) = prefix.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let mut history = BufWriter::new(File::create(named(prefix, "stats_history"))?);
        let mut header = vec!["Timestamp", "User Count", "Type", "Name", "Requests/s", "Failures/s"];
        header.extend(PERCENTILE_NAMES);
        header.extend([
            "Total Request Count",
            "Total Failure Count",
            "Total Median Response Time",
            "Total Average Response Time",
            "Total Min Response Time",
            "Total Max Response Time",
            "Total Average Content Size",
        ]);
        writeln!(history, "{}", header.join(","))?;
        history.flush()?;
        Ok(Self { prefix: prefix.to_owned(), full, history, written: None })
    }

    /// Another second of the history.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn second(&mut self, totals: &Totals) -> io::Result<()> {
        let now = totals.now();
        self.written = Some(now);
        if self.full {
            for entry in totals.sorted() {
                self.history_row(totals, entry)?;
            }
        }
        self.history_row(totals, &totals.all)?;
        if now.is_multiple_of(FLUSH) {
            self.history.flush()?;
            self.others(totals)?;
        }
        Ok(())
    }

    /// The last rows, and the files of the whole run.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(&mut self, totals: &Totals) -> io::Result<()> {
        self.second(totals)?;
        self.history.flush()?;
        self.others(totals)
    }

    fn history_row(&mut self, totals: &Totals, entry: &Entry) -> io::Result<()> {
        let now = totals.now();
        let (requests, failures) = entry.current_rates(now);
        write!(
            self.history,
            "{},{},{},{},{requests:.6},{failures:.6}",
            totals.unix(now),
            totals.user_count(),
            entry.id.method,
            field(&entry.id.name)
        )?;
        write_percentiles(&mut self.history, entry)?;
        let times = &entry.response;
        writeln!(
            self.history,
            ",{},{},{},{},{},{},{}",
            entry.requests,
            entry.failures,
            ms(times.quantile(0.5)),
            times.mean() / 1e3,
            times.min() as f64 / 1e3,
            times.max() as f64 / 1e3,
            entry.average_bytes()
        )
    }

    fn others(&self, totals: &Totals) -> io::Result<()> {
        write(&named(&self.prefix, "stats"), |out| stats(out, totals))?;
        write(&named(&self.prefix, "failures"), |out| failures(out, totals))?;
        write(&named(&self.prefix, "exceptions"), |out| exceptions(out, totals))
    }
}

/// `PREFIX_stats.csv`.
///
/// # Errors
/// When it cannot be written.
pub fn stats(out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
    writeln!(
        out,
        "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,Max \
         Response Time,Average Content Size,Requests/s,Failures/s,{}",
        PERCENTILE_NAMES.join(",")
    )?;
    let seconds = totals.seconds().max(1e-3);
    for entry in totals.sorted().into_iter().chain([&totals.all]) {
        let times = &entry.response;
        write!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{}",
            entry.id.method,
            field(&entry.id.name),
            entry.requests,
            entry.failures,
            ms(times.quantile(0.5)),
            times.mean() / 1e3,
            times.min() as f64 / 1e3,
            times.max() as f64 / 1e3,
            entry.average_bytes(),
            entry.requests as f64 / seconds,
            entry.failures as f64 / seconds,
        )?;
        write_percentiles(out, entry)?;
        writeln!(out)?;
    }
    Ok(())
}

/// `PREFIX_failures.csv`.
///
/// # Errors
/// When it cannot be written.
pub fn failures(out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
    writeln!(out, "Method,Name,Error,Occurrences,First Seen,Last Seen")?;
    for (id, text, occurrences) in totals.errors_by_count() {
        let name = field(&id.name);
        let (first, last) = (when(occurrences.first), when(occurrences.last));
        writeln!(out, "{},{name},{},{},{first},{last}", id.method, field(text), occurrences.count)?;
    }
    Ok(())
}

/// `PREFIX_exceptions.csv`: mistakes of the scenario, with the task in which they showed.
///
/// # Errors
/// When it cannot be written.
pub fn exceptions(out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
    writeln!(out, "Count,Message,Traceback,Nodes")?;
    for ((message, place), count) in &totals.exceptions {
        writeln!(out, "{count},{},{},local", field(message), field(place))?;
    }
    Ok(())
}

fn write_percentiles(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    if entry.requests == 0 {
        return write!(out, "{}", ",N/A".repeat(PERCENTILES.len()));
    }
    entry.response.quantiles(PERCENTILES).into_iter().try_for_each(|micros| write!(out, ",{}", ms(micros)))
}

/// ISO 8601 in UTC, to the second.
pub(crate) fn when(unix: i64) -> String {
    Timestamp::from_second(unix).map(|time| time.to_string()).unwrap_or_default()
}

/// A field, quoted where it must be (RFC 4180). What a spreadsheet would take for a formula is left as it is, as
/// programs read these files too.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Where the history is written.
pub fn history_file(prefix: &Path) -> PathBuf {
    named(prefix, "stats_history")
}

fn named(prefix: &Path, what: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(format!("_{what}.csv"));
    name.into()
}

/// Whole or not at all: a reader never sees half a file.
fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = Vec::new();
    content(&mut bytes)?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path)
}
