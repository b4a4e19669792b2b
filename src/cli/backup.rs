//! `regatta backup`: a copy of a server's database, while it runs or not.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use regatta_store::sqlite::{self, Contents};
use serde_json::json;

use super::database::DatabaseArgs;
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::node::store_failure;
use crate::ui::{self, time};

/// Copy a server's database, while it runs or not
///
/// Copies the whole database as it is at one moment into one file, whether a server runs on it or not, and checks the copy
/// before it gets its name. `regatta restore` brings it back.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything that was acknowledged before it began is in it. What a program needs a schedule for, cron or a systemd \
timer does: a backup is one command.

Examples:
  regatta backup                                        regatta-DATE-TIME.db in this folder
  regatta backup --output /mnt/backups/regatta.db --force
  regatta backup --database sqlite:/var/lib/regatta/regatta.db --json")]
pub struct Backup {
    #[command(flatten)]
    copy: CopyArgs,
}

/// The flags of what writes a database to a file.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The file to write [default: regatta-DATE-TIME.db in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace the file when it is there already
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl CopyArgs {
    /// The file to write.
    pub fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| PathBuf::from(format!("regatta-{}.db", file_stamp())))
    }
}

impl Backup {
    pub fn run(self, context: &Context) -> Outcome {
        let copy = &self.copy;
        let database = copy.database.file(context, "back it up with pg_dump, or regatta export")?;
        let output = copy.output();
        let contents = sqlite::backup(&database, &output, copy.force).map_err(store_failure)?;
        if copy.json {
            print_json(&output, &contents, json!({"database": database}))?;
        } else if !context.globals.quiet {
            let mut out = anstream::stdout().lock();
            writeln!(out, "{} is backed up and checked", database.display())?;
            writeln!(out, "{}: {}", output.display(), in_words(&contents))?;
            writeln!(out, "regatta restore {} brings it back", output.display())?;
        }
        Ok(Exit::Done)
    }
}

/// The time as a part of a file's name.
pub fn file_stamp() -> String {
    time::stamp(time::now()).replace([' ', 'T'], "-").replace([':', 'Z'], "").replacen('-', "", 2)
}

/// What is in a copy, in one line.
pub fn in_words(contents: &Contents) -> String {
    let rows = |table: &str| contents.rows.get(table).copied().unwrap_or(0);
    let counted: Vec<String> = ["tasks", "subtasks", "logs", "workers"]
        .into_iter()
        .map(|table| match (rows(table), table) {
            (1, _) => format!("1 {}", table.trim_end_matches('s')),
            (0, "logs") => "no log lines".to_owned(),
            (count, "logs") => format!("{count} log lines"),
            (count, _) => format!("{count} {table}"),
        })
        .collect();
    format!("{}, schema {}, {}", size(contents.bytes), contents.schema, counted.join(", "))
}

/// `512 B`, `1.5 MB`.
fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// What is in a copy, for scripts, with more beside it.
pub fn print_json(file: &Path, contents: &Contents, more: serde_json::Value) -> Result<(), Failure> {
    let mut answer = json!({
        "file": file,
        "bytes": contents.bytes,
        "schema_version": contents.schema,
        "rows": contents.rows,
    });
    if let (Some(answer), serde_json::Value::Object(more)) = (answer.as_object_mut(), more) {
        answer.extend(more);
    }
    ui::json::print(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_stamps_read_well() {
        let sizes = [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_960, "1.0 MB"), (5_242_880, "5.2 MB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        let stamp = file_stamp();
        let digits = stamp.bytes().filter(u8::is_ascii_digit).count();
        assert!(stamp.len() == 15 && digits == 14 && stamp.as_bytes()[8] == b'-', "{stamp}");
    }
}
