//! Many servers on one PostgreSQL: what they keep of what the same server does for pgbench with the same rows, whether more
//! of them do more, whether history costs anything, and how long news takes from one to another.
//!
//! `REGATTA_BENCH_HISTORY` says how many finished tasks there shall be, 100000 by default; a million takes minutes to make.

mod database;
mod news;

use std::time::Duration;

use anyhow::ensure;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::fleet::{self, Line, SLOTS, assignment};
use crate::http::{self, Connection, Load};
use crate::platform::Platform;
use crate::table::Table;
use database::{CLAIM, SUBMIT, Scripts, Server, multiply, pgbench};

const CONNECTIONS: usize = 64;
/// Tasks of one statement, where pgbench commits many at once as our writer does.
const GROUP: u32 = 64;
/// Workers of all servers together.
const WORKERS: usize = 12;
/// Subtasks that wait meanwhile.
const WAITING: usize = 1_000;

/// Measures all of it.
pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let Some(server) = Server::start() else { return Ok(()) };
    submissions(table, &server)?;
    whole_way(table, &server)?;
    history(table, &server)?;
    news::run(table, &server)
}

fn time() -> Duration {
    Duration::from_secs(crate::seconds())
}

/// Servers on this database.
fn nodes(count: usize, url: &str, more: &[&str]) -> anyhow::Result<Vec<Platform>> {
    (0..count).map(|_| Platform::start_with(&[&["--database", url], more].concat())).collect()
}

fn of(count: usize) -> String {
    format!("{count} server{}", if count == 1 { "" } else { "s" })
}

/// Submissions at these servers.
fn submit(nodes: &[Platform]) -> anyhow::Result<Load> {
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    http::load(&addresses, &http::post("/api/v1/tasks", crate::submit::BODY), 201, CONNECTIONS, time())
}

fn submissions(table: &mut Table, server: &Server) -> anyhow::Result<()> {
    let scripts = |tasks| [("tasks", tasks), ("ready", 1)];
    let alone = Scripts { scripts: &[(SUBMIT, 1)], variables: &scripts(1) };
    let alone = pgbench(&server.database("pgbench_submit")?, &alone, CONNECTIONS, time())?;
    let groups = Scripts { scripts: &[(SUBMIT, 1)], variables: &scripts(GROUP) };
    let groups = pgbench(&server.database("pgbench_submit")?, &groups, 1, time())?.rate * f64::from(GROUP);
    for count in [1, 2, 3] {
        let nodes = nodes(count, &server.database("submit")?, &[])?;
        let ours = submit(&nodes)?;
        let name = format!("POST /tasks, PostgreSQL, {CONNECTIONS} connections, {}", of(count));
        table.ratio(&name, ours.rate, "pgbench, a commit each", alone.rate, None);
        table.ratio("  beside groups", ours.rate, &format!("pgbench, {GROUP} a commit"), groups, None);
        table.latency("  its latency", &ours.latency, "pgbench, a commit each", &alone.latency);
    }
    Ok(())
}

fn whole_way(table: &mut Table, server: &Server) -> anyhow::Result<()> {
    let scripts = Scripts { scripts: &[(CLAIM, 900), (SUBMIT, 1)], variables: &[("tasks", 250), ("ready", 4)] };
    let mut limit = 0.0_f64;
    for clients in [16, CONNECTIONS] {
        let url = server.database("pgbench_claim")?;
        let fill = Scripts { scripts: &[(SUBMIT, 1)], variables: &[("tasks", 1_000), ("ready", 4)] };
        pgbench(&url, &fill, 1, Duration::from_secs(1))?;
        limit = limit.max(pgbench(&url, &scripts, clients, time())?.rate);
    }
    for count in [1, 2, 3] {
        let nodes = nodes(count, &server.database("whole_way")?, &[])?;
        let ours = fleet::whole_way(&nodes, WORKERS, WAITING)?;
        let name = format!("subtasks the whole way, PostgreSQL, {WORKERS} workers, {}", of(count));
        table.ratio(&name, ours, "pgbench, claim and complete", limit, None);
    }
    Ok(())
}

/// The same with and without what was finished before.
fn history(table: &mut Table, server: &Server) -> anyhow::Result<()> {
    let finished = match std::env::var("REGATTA_BENCH_HISTORY") {
        Ok(text) => text.parse()?,
        Err(_) => 100_000,
    };
    let measure = |copies: u64| {
        let url = server.database("history")?;
        finish_one(&Platform::start_with(&["--database", &url])?)?;
        if copies > 0 {
            multiply(&url, copies)?;
        }
        let nodes = nodes(1, &url, &[])?;
        let submitted = submit(&nodes)?.rate;
        drop(nodes);
        let nodes = self::nodes(1, &url, &[])?;
        anyhow::Ok((submitted, fleet::whole_way(&nodes, WORKERS, WAITING)?))
    };
    let (empty, full) = (measure(0)?, measure(finished)?);
    let after = format!("after {} finished tasks", crate::table::thousands(finished as f64));
    table.ratio(&format!("POST /tasks {after}"), full.0, "after none", empty.0, None);
    table.ratio(&format!("subtasks the whole way {after}"), full.1, "after none", empty.1, None);
    Ok(())
}

/// Takes one task to its end.
fn finish_one(node: &Platform) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut line = Line::open(node, "bench", SLOTS).await?;
        let mut connection = Connection::open(node.address).await?;
        let status = connection.call(&http::post("/api/v1/tasks", crate::submit::BODY)).await?;
        ensure!(status == 201, "submit answered {status}");
        let mut left = fleet::PER_TASK;
        while left > 0 {
            let Some(message) = line.socket.next().await else { anyhow::bail!("the line was closed") };
            let Message::Text(text) = message? else { continue };
            if let Some((subtask, lease)) = assignment(&text) {
                line.complete(subtask, lease).await?;
                line.socket.flush().await?;
            } else if text.starts_with(r#"{"type":"result_ack""#) {
                left -= 1;
            }
        }
        Ok(())
    })
}
