//! More than it can take: the server refuses what is too much, keeps what it acknowledged, and goes on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{call, open};
use crate::rig::{Home, Platform, until};

/// So many clients submit at once, each a batch at a time and as fast as it can.
const CLIENTS: usize = 48;
const BATCH: usize = 50;

/// Seconds of flood; an issue of its own is a whole minute.
fn flood_seconds() -> u64 {
    std::env::var("REGATTA_FLOOD_SECONDS").map_or(5, |text| text.parse().expect("REGATTA_FLOOD_SECONDS is a number"))
}

/// A figure of a process in KiB.
pub fn status_kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_flood_is_taken_or_refused_in_words_and_the_fleet_lives() {
    let platform = Platform::serve();
    let address = platform.address();
    let workers: Vec<String> = (0..5)
        .map(|number| {
            let body = json!({"machine_id": format!("m{number}"), "machine_name": "m", "system_info": {}, "tools": ["nothing"]});
            let (status, answer) = call(&address, "POST", "/workers/register", None, &body).unwrap();
            assert_eq!(status, 200, "{answer}");
            answer["worker_id"].as_str().unwrap().to_owned()
        })
        .collect();
    let task = json!({"description": "x".repeat(4_000), "task_type": "custom",
        "subtasks": [{"name": "a", "tool": "gemini_cli"}, {"name": "b", "tool": "gemini_cli", "depends_on": ["a"]}]});
    let batch = json!({"tasks": vec![task; BATCH]});
    let over = AtomicBool::new(false);
    let (made, refused, beats, most) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match call(&address, "POST", "/tasks/batch", None, &batch).unwrap() {
                        (201, _) => drop(made.fetch_add(BATCH as u64, Ordering::Relaxed)),
                        (503, answer) => {
                            assert!(answer["detail"].as_str().unwrap().len() > 10, "{answer}");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        (status, answer) => panic!("{status} {answer}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            // What a fleet says is taken however many submit.
            while !over.load(Ordering::Relaxed) {
                for worker in &workers {
                    let body = json!({"status": "idle", "resources": {"cpu_percent": 1}});
                    let path = format!("/workers/{worker}/heartbeat");
                    let (status, answer) = call(&address, "POST", &path, None, &body).unwrap();
                    assert_eq!(status, 200, "{answer}");
                    beats.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(flood_seconds()) {
            std::thread::sleep(Duration::from_millis(50));
            most.fetch_max(status_kib(platform.process.pid(), "VmRSS"), Ordering::Relaxed);
        }
        over.store(true, Ordering::Relaxed);
    });
    let (made, most) = (made.into_inner(), most.into_inner());
    println!(
        "{made} tasks, {} refused batches, {} heartbeats, at most {most} KiB",
        refused.into_inner(),
        beats.into_inner()
    );
    // What waits and what is cached is bounded, however much is sent.
    assert!(most < 400 * 1024, "{most} KiB");
    let (_, list) = call(&address, "GET", "/tasks?limit=1", None, &Value::Null).unwrap();
    assert_eq!(list["total"], made, "what was acknowledged is there, and nothing else");
    let (_, fleet) = call(&address, "GET", "/workers", None, &Value::Null).unwrap();
    for worker in fleet["workers"].as_array().unwrap() {
        assert_eq!(worker["status"], "idle", "{worker}");
    }
    let (status, answer) = call(&address, "POST", "/tasks", None, &json!({"description": "after the flood"})).unwrap();
    assert_eq!(status, 201, "{answer}");
}

#[test]
fn idle_and_half_said_connections_cost_little_and_close_nobody_out() {
    let platform = Platform::serve();
    let address = platform.address();
    let before = status_kib(platform.process.pid(), "VmRSS");
    // As many as this process may have; each sends half a request and waits.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1_024);
    let count = usize::try_from(limit).unwrap().saturating_sub(200).min(10_000);
    let connections: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: loc").unwrap();
            stream
        })
        .collect();
    let (status, answer) = call(&address, "GET", "/health", None, &Value::Null).unwrap();
    assert_eq!(status, 200, "{answer}");
    let grown = status_kib(platform.process.pid(), "VmRSS").saturating_sub(before);
    println!("{count} connections, {grown} KiB");
    assert!(grown < 32 * count as u64 + 8_192, "{count} connections cost {grown} KiB");
    drop(connections);
    let (status, _) = call(&address, "GET", "/health", None, &Value::Null).unwrap();
    assert_eq!(status, 200);
}

#[test]
fn out_of_descriptors_it_waits_and_goes_on() {
    let home = Home::new();
    // The same binary under a limit that leaves room for some connections only.
    let mut limited = home.program("sh");
    let binary = env!("CARGO_BIN_EXE_regatta");
    limited.args(["-c", r#"ulimit -n 96; exec "$@""#, "sh", binary, "serve", "--listen", "localhost:0"]);
    let platform = Platform::of(limited, home);
    let address = platform.address();
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        // The kernel takes them; the server cannot.
        held.push(TcpStream::connect(&address).unwrap());
    }
    let mut stream = open(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    write!(stream, "GET /api/v1/health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = [0; 16];
    assert!(stream.read(&mut answer).is_err(), "there was room for everyone: the limit is too high to show anything");
    drop(held);
    // Those that went made room for those that wait.
    let health = until("an answer", || call(&address, "GET", "/health", None, &Value::Null).ok());
    assert_eq!(health.0, 200);
    let made = call(&address, "POST", "/tasks", None, &json!({"description": "after the shortage"})).unwrap();
    assert_eq!(made.0, 201, "{}", made.1);
    let said = platform.process.output();
    assert!(!said.contains("panicked"), "{said}");
    let counts: BTreeMap<&str, usize> = said.lines().fold(BTreeMap::new(), |mut counts, line| {
        *counts.entry(line.split("WARN").nth(1).unwrap_or_default()).or_default() += 1;
        counts
    });
    assert!(counts.values().all(|&count| count < 200), "it says so without filling the log: {counts:?}");
}
