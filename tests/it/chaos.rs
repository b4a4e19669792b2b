//! `kill -9`, over and over, at random moments and under load: nothing acknowledged is lost, nothing is completed
//! twice, and no two processes run for one subtask.
//!
//! Clients submit over plain HTTP and write down what they were told; tools lock a file of their subtask while they
//! run. Meanwhile the server and the workers are killed, stopped beyond their leases, and started again. In the end a
//! checker compares what was told, what ran and what the server has.
//!
//! `REGATTA_KILL_ROUNDS` (default 20) says how often something is killed, `REGATTA_KILL_SEED` chooses when and what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::call;
use crate::rig::{Home, Platform, Process, until};

/// Short, so that many end in a minute; a worker ends what it cannot renew a quarter of it before.
const LEASE_SECONDS: u32 = 6;
const WORKERS: usize = 3;
const CLIENTS: u64 = 2;

/// What a tool does: it locks its subtask, says so when another has it, works a while, and tells who it was.
const TOOL: &str = r#"
exec 9> "$1/lock.$REGATTA_SUBTASK_ID"
flock -n 9 || echo "$REGATTA_SUBTASK_ID attempt $REGATTA_ATTEMPT" >> "$1/overlaps"
sleep "$2"
echo "$REGATTA_SUBTASK_ID" >> "$1/ends"
echo "{\"subtask\": \"$REGATTA_SUBTASK_ID\", \"attempt\": $REGATTA_ATTEMPT}"
"#;

/// Seeded chance, a stream for each who draws, so that a seed means the same whoever is faster (SplitMix64, Steele, Lea and Flood 2014).
struct Chance(u64);

impl Chance {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pause(&mut self, low_ms: u64, high_ms: u64) {
        std::thread::sleep(Duration::from_millis(low_ms + self.below(high_ms - low_ms)));
    }
}

/// A client: submits tasks and writes down which were acknowledged. It tries again, with the same key, until it knows.
fn client(number: u64, address: &str, dir: &Path, mut chance: Chance, over: &AtomicBool) -> BTreeMap<String, u64> {
    let mut acknowledged = BTreeMap::new();
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        let mut step = |name: &str, after: &[&str]| {
            let seconds = format!("0.{}", chance.below(7));
            let argv = json!(["sh", dir.join("tool.sh"), dir, seconds]);
            json!({"name": name, "tool": "command", "input": {"argv": argv}, "depends_on": after})
        };
        let steps = [step("a", &[]), step("b", &[]), step("c", &["a", "b"])];
        let body = json!({"description": "Something to be killed at", "task_type": "custom", "subtasks": steps});
        let key = format!("client-{number}-{count}");
        loop {
            match call(address, "POST", "/tasks", Some(&key), &body) {
                Ok((201, answer)) => {
                    let id = answer["task_id"].as_str().unwrap().to_owned();
                    let before = acknowledged.insert(id, count);
                    assert!(before.is_none_or(|other| other == count), "two keys made one task");
                    // Now and then asked again though it was answered.
                    if chance.below(3) > 0 {
                        break;
                    }
                }
                Ok((status, answer)) => assert!(status == 503, "{status} {answer}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        count += 1;
        chance.pause(20, 400);
    }
    assert_eq!(acknowledged.len() as u64, count, "each key made one task, however often it was sent");
    acknowledged
}

/// Reads tasks while everything dies around it: what has completed stays completed.
fn reader(address: &str, over: &AtomicBool) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        let Ok((200, list)) = call(address, "GET", "/tasks?limit=20", None, &Value::Null) else { continue };
        for row in list["tasks"].as_array().unwrap() {
            let id = row["task_id"].as_str().unwrap();
            let Ok((200, now)) = call(address, "GET", &format!("/tasks/{id}/progress"), None, &Value::Null) else {
                continue;
            };
            let completed = now["subtasks"]["completed"].as_u64().unwrap();
            let before = seen.insert(id.to_owned(), completed).unwrap_or(0);
            assert!(completed >= before, "{id} had {before} steps completed and now has {completed}");
        }
    }
}

struct Fleet {
    home: PathBuf,
    platform: Option<Platform>,
    address: String,
    workers: Vec<Option<Process>>,
}

impl Fleet {
    fn serve(home: Home, address: &str) -> Platform {
        let lease = LEASE_SECONDS.to_string();
        Platform::start(home, &["serve", "--listen", address, "--lease-seconds", &lease])
    }

    fn start_worker(&mut self, number: usize) {
        let platform = self.platform.as_ref().unwrap();
        self.workers[number] = Some(platform.worker(&format!("w{number}")));
    }

    /// Kills something, or stops it for longer than its lease.
    fn strike(&mut self, chance: &mut Chance) -> String {
        match chance.below(10) {
            0..=3 => {
                let Platform { mut process, home, .. } = self.platform.take().unwrap();
                process.kill();
                // Sometimes for longer than a lease lasts.
                let longest = if chance.below(4) == 0 { 9_000 } else { 700 };
                let rest = chance.below(longest);
                std::thread::sleep(Duration::from_millis(rest));
                self.platform = Some(Self::serve(home, &self.address));
                format!("the server, for {rest} ms")
            }
            4..=7 => {
                let number = chance.below(WORKERS as u64) as usize;
                self.workers[number].take().unwrap().kill();
                chance.pause(0, 500);
                self.start_worker(number);
                format!("worker {number}")
            }
            8 => {
                let number = chance.below(WORKERS as u64) as usize;
                let worker = self.workers[number].as_ref().unwrap();
                worker.signal(Signal::STOP);
                let rest = 500 + chance.below(u64::from(LEASE_SECONDS) * 1_500);
                std::thread::sleep(Duration::from_millis(rest));
                worker.signal(Signal::CONT);
                format!("worker {number}, stopped for {rest} ms")
            }
            _ => {
                // Everything at once, as when a machine loses its power.
                let Platform { mut process, home, .. } = self.platform.take().unwrap();
                process.kill();
                self.workers.iter_mut().for_each(|worker| worker.take().unwrap().kill());
                self.platform = Some(Self::serve(home, &self.address));
                (0..WORKERS).for_each(|number| self.start_worker(number));
                "everything".to_owned()
            }
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn killed_over_and_over_it_loses_nothing_and_does_nothing_twice() {
    let rounds = number("REGATTA_KILL_ROUNDS").unwrap_or(20);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = number("REGATTA_KILL_SEED").unwrap_or(now);
    println!("{rounds} rounds; the same choices again: REGATTA_KILL_SEED={seed}");
    let mut chance = Chance(seed);

    let home = Home::new();
    let dir = home.path("work");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("tool.sh"), TOOL).unwrap();
    let platform = Fleet::serve(home, "127.0.0.1:0");
    let address = platform.address();
    let workers = (0..WORKERS).map(|_| None).collect();
    let mut fleet = Fleet { home: dir.clone(), platform: Some(platform), address: address.clone(), workers };
    (0..WORKERS).for_each(|number| fleet.start_worker(number));

    let over = AtomicBool::new(false);
    let acknowledged: Vec<BTreeMap<String, u64>> = std::thread::scope(|scope| {
        let (address, dir, over) = (&address, &dir, &over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let chance = Chance(seed.wrapping_add(1 + number));
                scope.spawn(move || client(number, address, dir, chance, over))
            })
            .collect();
        let reader = scope.spawn(move || reader(address, over));
        for round in 0..rounds {
            chance.pause(100, 1_500);
            println!("round {round}: {}", fleet.strike(&mut chance));
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    check(&fleet, &acknowledged.into_iter().flat_map(BTreeMap::into_keys).collect::<Vec<_>>());
}

/// Compares what clients were told, what ran, and what the server has.
fn check(fleet: &Fleet, tasks: &[String]) {
    let get = |path: &str| {
        until("an answer", || match call(&fleet.address, "GET", path, None, &Value::Null) {
            Ok((200, answer)) => Some(answer),
            _ => None,
        })
    };
    let (mut attempts, mut lost) = (0, 0);
    let ran = |subtask: &str| {
        let ends = std::fs::read_to_string(fleet.home.join("ends")).unwrap_or_default();
        ends.lines().any(|line| line == subtask)
    };
    for id in tasks {
        let task = until("a task to end", || {
            let task = get(&format!("/tasks/{id}"));
            matches!(task["status"].as_str(), Some("completed" | "failed" | "cancelled")).then_some(task)
        });
        assert_eq!(task["status"], "completed", "{task:#}");
        for summary in task["subtasks"].as_array().unwrap() {
            let id = summary["subtask_id"].as_str().unwrap();
            let subtask = get(&format!("/subtasks/{id}"));
            let history = subtask["attempts"].as_array().unwrap();
            let completed: Vec<&Value> = history.iter().filter(|attempt| attempt["outcome"] == "completed").collect();
            assert_eq!(completed.len(), 1, "completed once: {subtask:#}");
            assert_eq!(subtask["output"]["subtask"], id, "its own result: {subtask:#}");
            assert_eq!(subtask["output"]["attempt"], completed[0]["attempt"], "that of the attempt which completed it");
            assert!(ran(id), "{id} is completed and never ran to its end");
            for pair in history.windows(2) {
                let (ended, started) = (pair[0]["ended_at"].as_str().unwrap(), pair[1]["started_at"].as_str().unwrap());
                assert!(ended <= started, "one lease at a time: {subtask:#}");
            }
            attempts += history.len();
            lost += history.iter().filter(|attempt| attempt["outcome"] == "lost").count();
        }
    }
    let total = get("/tasks?limit=1")["total"].as_u64().unwrap();
    assert_eq!(total, tasks.len() as u64, "as many tasks as were acknowledged");
    let overlaps = std::fs::read_to_string(fleet.home.join("overlaps")).unwrap_or_default();
    assert!(overlaps.is_empty(), "two processes ran for one subtask at once:\n{overlaps}");
    println!("{total} tasks, {attempts} attempts, {lost} of them lost their lease");
}
