//! What PostgreSQL suffers from others who use it, and from its disk: connections that are all taken, readers that all wait for
//! a lock, commits that take long, and one that does not end for a while.

use std::future::Future;
use std::time::{Duration, Instant};

use regatta_services::Postgres;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::Chance;
use crate::http::call;

/// Most connections of the PostgreSQL that is struck, so that all of them can be taken.
pub const CONNECTIONS: &str = "max_connections=60";
/// Connections that each server has for reading: so few that all of them can hang.
pub const READERS: usize = 6;
/// As long as a server waits for a connection that reads.
const POOL_WAIT: Duration = Duration::from_secs(5);

/// A commit that waits for the disk and changes nothing.
const COMMIT: &str = "SELECT pg_logical_emit_message(true, 'storm', 'a commit')";
/// The longest that PostgreSQL waits before it syncs, in microseconds.
const LONGEST_DELAY: u64 = 100_000;
/// How long a commit takes before it counts as one that hangs.
const HANGS: Duration = Duration::from_millis(400);

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn enter(url: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config: Config = url.parse().unwrap();
    let (client, connection) = config.application_name("the storm").connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Takes connections until PostgreSQL has no more.
async fn fill(url: &str, crowd: &mut Vec<Client>) {
    loop {
        match enter(url).await {
            Ok(client) => crowd.push(client),
            Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// All connections are somebody else's for a while, also half of those that the servers had.
pub fn crowd(postgres: &Postgres, chance: &mut Chance, rest: Duration) -> String {
    let half = chance.below(2) as i32;
    let refused = || postgres.log().matches("too many clients").count();
    let (before, mut crowd) = (refused(), Vec::new());
    run(async {
        let url = postgres.url();
        fill(&url, &mut crowd).await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name LIKE 'regatta %' AND pid % 2 = $1";
        let ended: i64 = crowd[0].query_one(end, &[&half]).await.unwrap().get(0);
        fill(&url, &mut crowd).await;
        tokio::time::sleep(rest).await;
        // The crowd itself was refused twice.
        let (taken, servers) = (crowd.len(), refused() - before - 2);
        format!("{ended} connections ended, {taken} taken for {rest:?}: servers were refused {servers} times")
    })
}

/// A table is locked, so that whoever reads or writes it hangs, and more read it than servers have connections for.
pub fn lock(postgres: &Postgres, servers: &[String], chance: &mut Chance, rest: Duration) -> String {
    let (table, path) = chance.one_of(&[("tasks", "tasks"), ("task_state", "tasks"), ("workers", "workers")]);
    let rest = rest + POOL_WAIT * chance.below(2) as u32;
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = run(async {
            let client = enter(&postgres.url()).await.unwrap();
            client.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
            let callers = (0..servers.len() * 2 * READERS).map(|number| {
                let (server, path) = (&servers[number % servers.len()], format!("/{path}?limit={}", number + 1));
                scope.spawn(move || call(server, "GET", &path, None, &Value::Null).unwrap().0)
            });
            let callers = callers.collect();
            tokio::time::sleep(rest).await;
            client.batch_execute("COMMIT").await.unwrap();
            callers
        });
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let refused = answers.iter().filter(|&&status| status == 503).count();
    let answered = answers.iter().filter(|&&status| status == 200).count();
    assert_eq!(refused + answered, answers.len(), "{answers:?}");
    format!("the table {table} locked for {rest:?}: {answered} reads were answered, {refused} found no connection")
}

/// Each commit waits so long, in microseconds, before its log is synced.
async fn delay(client: &Client, micros: u64) {
    for set in [format!("commit_delay = {micros}"), "commit_siblings = 0".to_owned()] {
        client.batch_execute(&format!("ALTER SYSTEM SET {set}")).await.unwrap();
    }
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

async fn undelay(client: &Client) {
    for name in ["commit_delay", "commit_siblings"] {
        client.batch_execute(&format!("ALTER SYSTEM RESET {name}")).await.unwrap();
    }
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// A disk on which every commit takes long.
pub fn slow_disk(postgres: &Postgres, chance: &mut Chance, rest: Duration) -> String {
    let micros = LONGEST_DELAY / 4 + chance.below(LONGEST_DELAY * 3 / 4);
    run(async {
        let client = enter(&postgres.url()).await.unwrap();
        delay(&client, micros).await;
        let (began, mut took) = (Instant::now(), Vec::new());
        while took.is_empty() || began.elapsed() < rest {
            let asked = Instant::now();
            client.batch_execute(COMMIT).await.unwrap();
            took.push(asked.elapsed());
        }
        undelay(&client).await;
        took.sort_unstable();
        let (count, middle) = (took.len(), took[took.len() / 2]);
        format!("a disk slower by {micros} µs for {rest:?}: of {count} commits half took {middle:?} or longer")
    })
}

/// Processes that stand still, and go on when this goes.
struct Stopped(Vec<Pid>);

impl Stopped {
    fn stop(pids: Vec<Pid>) -> Self {
        // One may have ended by itself just now.
        Self(pids.into_iter().filter(|&pid| kill_process(pid, Signal::STOP).is_ok()).collect())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for &pid in &self.0 {
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

/// A disk that does not answer for a while. The processes that write are stopped while one of them syncs, which holds the lock
/// that all commits need: seen by a commit of our own.
pub fn stuck_disk(postgres: &Postgres, rest: Duration) -> String {
    run(async {
        let (client, looks) = (enter(&postgres.url()).await.unwrap(), enter(&postgres.url()).await.unwrap());
        // Otherwise a sync is over before it can be met.
        delay(&looks, LONGEST_DELAY).await;
        client.batch_execute("SET commit_delay = 0").await.unwrap();
        let mut said = "a disk that stood still, when nobody wrote".to_owned();
        for tries in 1..=50 {
            let writers = "SELECT pid FROM pg_stat_activity WHERE application_name = 'regatta writer'";
            let writers = looks.query(writers, &[]).await.unwrap();
            let stopped = Stopped::stop(writers.iter().filter_map(|row| Pid::from_raw(row.get(0))).collect());
            let asked = Instant::now();
            let mut commit = std::pin::pin!(client.batch_execute(COMMIT));
            let Ok(committed) = tokio::time::timeout(HANGS, &mut commit).await else {
                tokio::time::sleep(rest).await;
                drop(stopped);
                commit.await.unwrap();
                let took = asked.elapsed();
                said = format!("a disk that stood still, {took:?} for a commit; met when tried {tries} times");
                break;
            };
            committed.unwrap();
            drop(stopped);
            tokio::time::sleep(Duration::from_millis(7 * tries)).await;
        }
        undelay(&looks).await;
        said
    })
}
