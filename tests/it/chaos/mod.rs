//! Faults, over and over, at random moments and under load: nothing acknowledged is lost, nothing is completed twice, and no
//! two processes run for one subtask.
//!
//! Clients submit over plain HTTP and write down what they were told; tools lock a file of their subtask while they
//! run. Meanwhile what they use is killed, stopped beyond its leases, cut off, and started again. In the end a
//! checker compares what was told, what ran and what the system has. What is struck, and how, is in `one` for a server with its
//! own database, in `many` for several on PostgreSQL and Redis.
//!
//! `REGATTA_KILL_ROUNDS` (default 20) says how often something is struck, `REGATTA_KILL_SEED` chooses when and what.

mod database;
mod many;
mod one;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http::call;
use crate::rig::until;

/// Short, so that many end in a minute; a worker ends what it cannot renew a quarter of it before.
const LEASE_SECONDS: u32 = 6;
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

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn pause(&mut self, low_ms: u64, high_ms: u64) {
        std::thread::sleep(Duration::from_millis(low_ms + self.below(high_ms - low_ms)));
    }
}

/// A client: submits tasks and writes down which were acknowledged. It tries again, with the same key, until it knows, each time at
/// any of the servers.
fn client(number: u64, servers: &[String], dir: &Path, mut chance: Chance, over: &AtomicBool) -> BTreeMap<String, u64> {
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
            let server = &servers[chance.below(servers.len() as u64) as usize];
            match call(server, "POST", "/tasks", Some(&key), &body) {
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
fn reader(servers: &[String], mut chance: Chance, over: &AtomicBool) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        let address = &servers[chance.below(servers.len() as u64) as usize];
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

/// Says that it is over when it goes, also by a panic, so that nobody goes on for ever with what another has given up.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// How many rounds there are, and their chance; the seed is printed.
fn rounds(test: &str) -> (u64, u64) {
    let rounds = number("REGATTA_KILL_ROUNDS").unwrap_or(20);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = number("REGATTA_KILL_SEED").unwrap_or(now);
    println!("{test}: {rounds} rounds; the same choices again: REGATTA_KILL_SEED={seed}");
    (rounds, seed)
}

/// A folder with the tool in it.
fn workshop(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("tool.sh"), TOOL).unwrap();
}

/// Strikes so many times while clients submit and read at these servers; then compares what they were told with what there is.
fn storm(servers: &[String], dir: &Path, (rounds, seed): (u64, u64), mut strike: impl FnMut(&mut Chance) -> String) {
    let mut chance = Chance(seed);
    let over = AtomicBool::new(false);
    let acknowledged: Vec<BTreeMap<String, u64>> = std::thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let chance = Chance(seed.wrapping_add(1 + number));
                scope.spawn(move || client(number, servers, dir, chance, over))
            })
            .collect();
        let reader = scope.spawn(move || reader(servers, Chance(seed.wrapping_add(1 + CLIENTS)), over));
        let ends = Ends(over);
        for round in 0..rounds {
            chance.pause(100, 1_500);
            println!("round {round}: {}", strike(&mut chance));
        }
        drop(ends);
        reader.join().unwrap();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    check(&servers[0], dir, &acknowledged.into_iter().flat_map(BTreeMap::into_keys).collect::<Vec<_>>());
}

/// Compares what clients were told, what ran, and what a server has.
fn check(server: &str, dir: &Path, tasks: &[String]) {
    let get = |path: &str| {
        until("an answer", || match call(server, "GET", path, None, &Value::Null) {
            Ok((200, answer)) => Some(answer),
            _ => None,
        })
    };
    let (mut attempts, mut lost) = (0, 0);
    let ran = |subtask: &str| {
        let ends = std::fs::read_to_string(dir.join("ends")).unwrap_or_default();
        ends.lines().any(|line| line == subtask)
    };
    for id in tasks {
        let task = until("a task to end", || {
            let task = get(&format!("/tasks/{id}"));
            matches!(task["status"].as_str(), Some("completed" | "failed" | "cancelled")).then_some(task)
        });
        assert_eq!(task["status"], "completed", "{task:#}");
        let events = get(&format!("/tasks/{id}/events?limit=1000"));
        let numbers: Vec<u64> =
            events["events"].as_array().unwrap().iter().map(|e| e["_seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "events without a gap: {id}");
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
    let overlaps = std::fs::read_to_string(dir.join("overlaps")).unwrap_or_default();
    assert!(overlaps.is_empty(), "two processes ran for one subtask at once:\n{overlaps}");
    println!("{total} tasks, {attempts} attempts, {lost} of them lost their lease");
}
