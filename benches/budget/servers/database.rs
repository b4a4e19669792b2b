//! PostgreSQL itself: databases on a server of the bench's own, and what its own programs do with the same rows.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use regatta_services::{Postgres, program};

use crate::http::Load;

/// As somebody would have it who wants to keep what is there, on a small machine.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "full_page_writes=on",
    "max_connections=400",
    "shared_buffers=512MB",
    "min_wal_size=1GB",
    "max_wal_size=4GB",
];

/// What a submission writes.
pub const SUBMIT: &str = include_str!("submit.sql");
/// A claim and a completion.
pub const CLAIM: &str = include_str!("claim.sql");

/// A server.
pub struct Server(Postgres);

impl Server {
    /// Starts one; `None` where there is no PostgreSQL.
    pub fn start() -> Option<Self> {
        Postgres::start_with("the bench of many servers", SETTINGS, &[]).map(Self)
    }

    /// A new database with Regatta's tables; its URL.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        psql(&self.0.url(), &[&format!("DROP DATABASE IF EXISTS {name} (FORCE)"), &format!("CREATE DATABASE {name}")])?;
        let server = self.0.url();
        let url = format!("{}/{name}", server.strip_suffix("/postgres").context("a URL without a database")?);
        let migrated = Command::new(env!("CARGO_BIN_EXE_regatta")).args(["migrate", "--database", &url]).output()?;
        succeeded("regatta migrate", migrated)?;
        // What the measurement before left to be written is no part of the next one.
        psql(&url, &["CHECKPOINT"])?;
        Ok(url)
    }
}

fn succeeded(what: &str, output: Output) -> anyhow::Result<()> {
    ensure!(output.status.success(), "{what} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn found(name: &str) -> anyhow::Result<PathBuf> {
    program(name).with_context(|| format!("there is no {name} beside PostgreSQL's server"))
}

/// Statements by PostgreSQL's own client.
pub fn psql(url: &str, statements: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(found("psql")?);
    command
        .args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"])
        .env("PGOPTIONS", "-c client_min_messages=warning");
    for statement in statements {
        command.args(["--command", statement]);
    }
    succeeded("psql", command.arg(url).output()?)
}

/// So many copies of the one finished task that is there.
pub fn multiply(url: &str, copies: u64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("history.sql");
    std::fs::write(&file, include_str!("history.sql"))?;
    let mut command = Command::new(found("psql")?);
    command.args([
        "--quiet",
        "--no-psqlrc",
        "--set",
        "ON_ERROR_STOP=1",
        "--set",
        &format!("copies={copies}"),
        "--file",
    ]);
    succeeded("psql", command.arg(&file).arg(url).env("PGOPTIONS", "-c client_min_messages=warning").output()?)?;
    psql(url, &["CHECKPOINT"])
}

/// Scripts for pgbench, each with its weight, and their variables.
pub struct Scripts<'a> {
    /// The first is the one that counts.
    pub scripts: &'a [(&'a str, u32)],
    /// Values of variables.
    pub variables: &'a [(&'a str, u32)],
}

/// Runs the scripts by pgbench, with prepared statements, from so many clients on one thread: how often the first was run a
/// second and how long it took.
pub fn pgbench(url: &str, scripts: &Scripts<'_>, clients: usize, time: Duration) -> anyhow::Result<Load> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(found("pgbench")?);
    command.args(["--no-vacuum", "--protocol=prepared", "--log", "--jobs=1"]);
    command.arg(format!("--client={clients}")).arg(format!("--time={}", time.as_secs() + 1));
    for (number, (text, weight)) in scripts.scripts.iter().enumerate() {
        let file = dir.path().join(format!("{number}.sql"));
        std::fs::write(&file, text)?;
        command.arg(format!("--file={}@{weight}", file.display()));
    }
    for (name, value) in scripts.variables {
        command.arg(format!("--define={name}={value}"));
    }
    succeeded("pgbench", command.arg(url).current_dir(&dir).output()?)?;
    let log = std::fs::read_dir(&dir)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgbench_log")));
    let log = std::fs::read_to_string(log.context("pgbench wrote no log")?)?;
    let mut latency = Histogram::new(3)?;
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for line in log.lines() {
        // The client, its transaction's number, the time it took, the script's number, and when it ended: seconds, microseconds.
        let words: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
        let &[_, _, took, script, seconds, micros, ..] = words.as_slice() else { continue };
        let ended = seconds as f64 + micros as f64 / 1e6;
        (first, last) = (first.min(ended), last.max(ended));
        if script == 0 {
            latency.record(took)?;
        }
    }
    // Its own time begins with its connections, which take a good part of it.
    ensure!(last > first, "pgbench did nothing in its time; give it longer with REGATTA_BENCH_SECONDS");
    Ok(Load { rate: latency.len() as f64 / (last - first), latency })
}
