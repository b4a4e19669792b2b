//! Three servers on one PostgreSQL and one Redis, and ten workers that know all three: everything between them and each of them is
//! cut, stopped, killed, slowed down and started again, and PostgreSQL is made to do without connections, tables and its disk.
//!
//! Each server has a proxy before it, and one to each service, so that one of them can be cut off alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use regatta_client::api::TaskStatus;
use regatta_client::api::frames::all::WatchFrame;
use regatta_client::api::task::TasksQuery;
use regatta_client::{Client, Options, RetryPolicy};
use regatta_services::{Postgres, Proxy, Redis, Stop, Way};
use regatta_worker::supervisor::proc::children;
use rustix::process::{Pid, Signal, kill_process};

use super::database::{CONNECTIONS, READERS, crowd, lock, slow_disk, stuck_disk};
use super::{Chance, Ends, LEASE_SECONDS, rounds, storm, workshop};
use crate::rig::{Home, Platform, Process, until};

const NODES: usize = 3;
const WORKERS: usize = 10;

/// A server, and the ways to it and from it.
struct Node {
    /// Taken while it is down.
    platform: Option<Platform>,
    address: String,
    front: Proxy,
    database: Proxy,
    redis: Proxy,
}

struct Fleet {
    nodes: Vec<Node>,
    postgres: Postgres,
    redis: Redis,
    home: Home,
    workers: Vec<Option<Process>>,
}

fn serve(home: Home, listen: &str, database: &str, redis: &str) -> Platform {
    let (lease, readers) = (LEASE_SECONDS.to_string(), READERS.to_string());
    let arguments = ["serve", "--listen", listen, "--database", database, "--redis", redis];
    let limits = ["--lease-seconds", &lease, "--pool-size", &readers];
    Platform::start(home, &[&arguments[..], &limits].concat())
}

impl Fleet {
    fn start(home: Home, postgres: Postgres, redis: Redis) -> Self {
        let nodes = (0..NODES).map(|_| {
            let (to_postgres, to_redis) = (Proxy::to(postgres.port()), Proxy::to(redis.port()));
            let database = postgres.url_at(to_postgres.port());
            let platform = serve(Home::new(), "127.0.0.1:0", &database, &redis.url_at(to_redis.port()));
            let address = platform.address();
            let port = address.rsplit(':').next().unwrap().parse().unwrap();
            let front = Proxy::to(port);
            Node { platform: Some(platform), address, front, database: to_postgres, redis: to_redis }
        });
        let nodes = nodes.collect();
        let workers = (0..WORKERS).map(|_| None).collect();
        let mut fleet = Self { nodes, postgres, redis, home, workers };
        (0..WORKERS).for_each(|number| fleet.start_worker(number));
        fleet
    }

    /// The addresses at which the servers are reached.
    fn servers(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.front.port())).collect()
    }

    /// Each has the servers in another order.
    fn start_worker(&mut self, number: usize) {
        let mut servers = self.servers();
        servers.rotate_left(number % NODES);
        let name = format!("w{number}");
        let servers = servers.join(",");
        let arguments = ["worker", "--server", &servers, "--name", &name, "--tools", "command", "--slots", "2"];
        let log = self.home.path(&format!("{name}.log"));
        self.workers[number] = Some(Process::start(self.home.regatta(arguments), log));
    }

    fn restart_node(&mut self, number: usize, home: Home) {
        let node = &self.nodes[number];
        let (database, redis) = (self.postgres.url_at(node.database.port()), self.redis.url_at(node.redis.port()));
        let platform = serve(home, &node.address, &database, &redis);
        self.nodes[number].platform = Some(platform);
    }

    /// Does one thing to one of them, and what undoes it.
    fn strike(&mut self, chance: &mut Chance) -> String {
        let number = chance.below(NODES as u64) as usize;
        let rest = rest(chance);
        match chance.below(20) {
            0 | 1 => {
                let Platform { mut process, home, .. } = self.nodes[number].platform.take().unwrap();
                process.kill();
                std::thread::sleep(rest);
                self.restart_node(number, home);
                format!("server {number} killed, for {rest:?}")
            }
            2 => {
                let platform = self.nodes[number].platform.take().unwrap();
                let (status, home) = platform.stop();
                assert!(status.success(), "{status}");
                self.restart_node(number, home);
                format!("server {number} stopped in order and started")
            }
            3 => {
                let process = &self.nodes[number].platform.as_ref().unwrap().process;
                process.signal(Signal::STOP);
                std::thread::sleep(rest);
                process.signal(Signal::CONT);
                format!("server {number} stood still for {rest:?}")
            }
            4 | 5 => {
                let number = chance.below(WORKERS as u64) as usize;
                self.workers[number].take().unwrap().kill();
                self.start_worker(number);
                format!("worker {number} killed")
            }
            6 => {
                let number = chance.below(WORKERS as u64) as usize;
                let worker = self.workers[number].as_ref().unwrap();
                worker.signal(Signal::STOP);
                std::thread::sleep(rest);
                worker.signal(Signal::CONT);
                format!("worker {number} stood still for {rest:?}")
            }
            7 => {
                let how = chance.one_of(&[Stop::Fast, Stop::Immediate, Stop::Kill]);
                self.postgres.stop(how);
                self.postgres.resume();
                format!("PostgreSQL restarted, {how:?}")
            }
            8 => format!("{} connections of PostgreSQL ended", self.kill_backends(chance)),
            9 | 10 => {
                let way = chance.one_of(&[Way::ToServer, Way::ToClient]);
                let bytes = chance.below(40_000);
                self.nodes[number].database.cut_after(way, bytes);
                std::thread::sleep(rest / 4);
                self.nodes[number].database.heal();
                format!("the connection of server {number} to PostgreSQL cut after {bytes} bytes, {way:?}")
            }
            11 => cut_off(&self.nodes[number].database, rest, &format!("server {number} from PostgreSQL")),
            12 => cut_off(&self.nodes[number].redis, rest, &format!("server {number} from Redis")),
            13 => cut_off(&self.nodes[number].front, rest, &format!("everybody from server {number}")),
            14 => {
                if chance.below(2) == 0 {
                    assert_eq!(self.redis.ask("FLUSHALL"), "+OK");
                    return "Redis emptied".to_owned();
                }
                self.redis.stop();
                std::thread::sleep(rest);
                self.redis.resume();
                format!("Redis gone for {rest:?}")
            }
            15 => crowd(&self.postgres, chance, rest),
            16 => lock(&self.postgres, &self.servers(), chance, rest),
            17 => slow_disk(&self.postgres, chance, rest),
            18 => stuck_disk(&self.postgres, rest),
            _ => {
                let by = Duration::from_millis(20 + chance.below(200));
                self.nodes[number].database.delay(Way::ToClient, by);
                std::thread::sleep(rest / 2);
                self.nodes[number].database.heal();
                format!("PostgreSQL slower by {by:?} for server {number}")
            }
        }
    }

    /// Ends some of the processes that PostgreSQL has for its connections, as its administrator would.
    fn kill_backends(&self, chance: &mut Chance) -> usize {
        let parent = Pid::from_raw(self.postgres.pid().cast_signed()).unwrap();
        let mut ended = 0;
        for process in children(parent) {
            let file = format!("/proc/{}/cmdline", process.as_raw_nonzero());
            let title = std::fs::read_to_string(file).unwrap_or_default();
            if title.contains("postgres postgres") && chance.below(2) == 0 {
                // It may have ended by itself just now.
                ended += usize::from(kill_process(process, Signal::TERM).is_ok());
            }
        }
        ended
    }
}

/// Mostly short, and now and then longer than a lease lasts.
fn rest(chance: &mut Chance) -> Duration {
    let longest = if chance.below(4) == 0 { 9_000 } else { 1_500 };
    Duration::from_millis(chance.below(longest))
}

/// A partition: nothing passes, and nobody is told.
fn cut_off(proxy: &Proxy, rest: Duration, what: &str) -> String {
    proxy.partition();
    std::thread::sleep(rest);
    proxy.heal();
    format!("{what} cut off for {rest:?}")
}

/// Watches tasks from their first event to their end, at whichever server answers. Each event comes once and in order; what is
/// missing is said to be.
fn watch(servers: &[String], mut chance: Chance, over: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let patience = RetryPolicy::within(Duration::from_secs(150));
        let options = Options { server: servers.join(","), retry: patience, reconnect: patience, ..Options::default() };
        let client = Client::new(options).unwrap();
        let mut watched = BTreeSet::new();
        while !over.load(Ordering::Relaxed) {
            let list = client.tasks(&TasksQuery { limit: Some(5), ..TasksQuery::default() }).await.unwrap();
            let new: Vec<_> = list.tasks.iter().map(|task| task.task_id).filter(|id| !watched.contains(id)).collect();
            if new.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            let id = new[chance.below(new.len() as u64) as usize];
            watched.insert(id);
            let mut watcher = client.watch_task(id, Some(0)).await.unwrap();
            let mut next = 1;
            loop {
                let frame = watcher.next().await.unwrap();
                match &frame {
                    WatchFrame::Gap { from, to } => {
                        assert_eq!(*from, next, "{frame:?}");
                        next = to + 1;
                    }
                    WatchFrame::Lagged { missed } => next += missed,
                    _ => {}
                }
                let Some(seq) = frame.seq() else { continue };
                assert_eq!(seq, next, "{id}: {frame:?}");
                next = seq + 1;
                if let WatchFrame::TaskUpdate(update) = &frame
                    && matches!(update.data.status, TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled)
                {
                    break;
                }
            }
        }
        watched.len()
    })
}

#[test]
fn three_servers_lose_nothing_and_do_nothing_twice_whatever_is_struck() {
    let test = "chaos::many";
    let Some(postgres) = Postgres::start_with(test, &["fsync=on", CONNECTIONS], &[]) else { return };
    let Some(redis) = Redis::start(test) else { return };
    let home = Home::new();
    let dir = home.path("work");
    workshop(&dir);
    let mut fleet = Fleet::start(home, postgres, redis);
    let servers = fleet.servers();
    let chance = rounds(test);
    weather(&mut fleet, &servers, &dir, chance);
    for (number, worker) in fleet.workers.iter_mut().enumerate() {
        let worker = worker.as_mut().unwrap();
        assert!(worker.ended().is_none(), "worker {number} is still there: {}", worker.output());
    }
}

fn weather(fleet: &mut Fleet, servers: &[String], dir: &Path, (rounds, seed): (u64, u64)) {
    until("all workers", || {
        let ran = fleet.nodes[0].platform.as_ref().unwrap().run(&["workers", "list", "--json"]);
        let known = (ran.code == Some(0)).then(|| ran.json())?;
        (known["workers"].as_array()?.len() == WORKERS).then_some(())
    });
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let watcher = scope.spawn(move || watch(servers, Chance(seed ^ 0xFACE), over));
        let ends = Ends(over);
        storm(servers, dir, (rounds, seed), |chance| fleet.strike(chance));
        drop(ends);
        println!("{} tasks were watched from their first event to their last", watcher.join().unwrap());
    });
}
