//! `regatta load --worker` under the real Locust from PyPI: its master, its own workers, its web API.
//!
//! Where Locust cannot be installed the tests say so and are skipped: see [`crate::python`].

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use rustix::process::Signal;
use serde_json::Value;

use crate::python::Environment;
use crate::rig::{Home, Process, until};

/// The version whose protocol is spoken.
const VERSION: &str = "2.47.0";

/// The `locust` program; `None` where it cannot be installed.
pub fn locust() -> Option<PathBuf> {
    Some(Environment::or_skip("locust", &format!("locust=={VERSION}\n"))?.program("locust"))
}

/// A server that counts who asked: Regatta or Python, successes and failures.
#[derive(Default)]
pub struct Asked {
    ours: AtomicU64,
    python: AtomicU64,
    missing: AtomicU64,
}

impl Asked {
    pub fn serve() -> (SocketAddr, Arc<Self>) {
        let asked = Arc::new(Self::default());
        let (address, port) = std::sync::mpsc::channel();
        let (hello, missing) = (Arc::clone(&asked), Arc::clone(&asked));
        let count = |asked: &Self, headers: &HeaderMap| {
            let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            let counter = if agent.starts_with("regatta-load/") { &asked.ours } else { &asked.python };
            counter.fetch_add(1, Ordering::SeqCst);
        };
        let routes = axum::Router::new()
            .route(
                "/hello",
                get(move |headers: HeaderMap| async move {
                    count(&hello, &headers);
                    "hello"
                }),
            )
            .route(
                "/missing",
                get(move |headers: HeaderMap| async move {
                    count(&missing, &headers);
                    missing.missing.fetch_add(1, Ordering::SeqCst);
                    StatusCode::NOT_FOUND
                }),
            );
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        (port.recv().unwrap(), asked)
    }

    fn all(&self) -> u64 {
        self.ours.load(Ordering::SeqCst) + self.python.load(Ordering::SeqCst)
    }
}

/// A free port, for a program that cannot be told to take any.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A call of the web API at this port. HTTP/1.0, so that the answer comes in one piece.
#[track_caller]
pub fn ask(web: u16, method: &str, path: &str, form: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", web)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{web}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    body.to_owned()
}

/// Locust's master with its web API.
struct Master {
    process: Process,
    port: u16,
    web: u16,
}

impl Master {
    /// Starts one that users may take ten seconds to end under.
    fn start(home: &Home, locust: &Path, server: SocketAddr, port: Option<u16>) -> Self {
        // A port that was free may be another test's a moment later.
        (0..5).find_map(|_| Self::try_start(home, locust, server, port)).unwrap()
    }

    fn try_start(home: &Home, locust: &Path, server: SocketAddr, port: Option<u16>) -> Option<Self> {
        let (port, web) = (port.unwrap_or_else(free_port), free_port());
        let mut command = home.program(locust.to_str().unwrap());
        command.arg("-f").arg(home.path("locustfile.py")).args(["--master", "--master-bind-host", "127.0.0.1"]);
        command.args(["--master-bind-port", &port.to_string(), "--web-host", "127.0.0.1"]);
        command.args(["--web-port", &web.to_string(), "-H", &format!("http://{server}"), "--stop-timeout", "10"]);
        let mut process = Process::start(command, home.path(&format!("master-{web}.log")));
        let listens = until("the master", || match process.ended() {
            Some(status) => {
                eprintln!("a master ended with {status}: {}", process.output());
                Some(false)
            }
            None => TcpStream::connect(("127.0.0.1", web)).is_ok().then_some(true),
        });
        listens.then_some(Self { process, port, web })
    }

    fn ask(&self, method: &str, path: &str, form: &str) -> String {
        ask(self.web, method, path, form)
    }

    fn stats(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/stats/requests", "")).unwrap()
    }

    fn swarm(&self, users: u64) {
        let answer = self.ask("POST", "/swarm", &format!("user_count={users}&spawn_rate={}", users * 2));
        assert!(answer.contains("Swarming started"), "{answer}");
    }

    fn stop(&self) {
        assert!(self.ask("POST", "/stop", "").contains("Test stopped"));
        self.until("stopped", |stats| stats["state"] == "stopped");
    }

    fn until(&self, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        until(&format!("{what}: {}", self.process.output()), || {
            let stats = self.stats();
            if !holds(&stats) {
                std::thread::sleep(Duration::from_millis(200));
                return None;
            }
            Some(stats)
        })
    }

    fn workers(&self, count: u64) {
        self.until("workers", |stats| {
            let ready = stats["workers"].as_array().unwrap().iter().filter(|worker| worker["state"] != "missing");
            ready.count() as u64 == count
        });
    }

    fn running(&self, users: u64) {
        self.until("users", |stats| stats["state"] == "running" && stats["user_count"] == users);
    }
}

/// A worker of ours; its figures are written to `NAME.json` after each run.
fn worker(home: &Home, name: &str, port: u16, more: &[&str]) -> Process {
    let mut command = home.regatta(["load", "--worker", "--master-port", &port.to_string()]);
    command.arg("-f").arg(home.path("scenario.toml")).arg("--json-file").arg(home.path(name)).args(more);
    Process::start(command, home.path(&format!("{name}.log")))
}

/// What a worker of ours measured in its last run.
fn measured(home: &Home, name: &str) -> Vec<Value> {
    let file = home.path(&format!("{name}.json"));
    let rows: Value = until("a worker's figures", || serde_json::from_slice(&std::fs::read(&file).ok()?).ok());
    std::fs::remove_file(file).unwrap();
    rows.as_array().unwrap().clone()
}

const SCENARIO: &str = r#"
[[users]]
name = "Api"
wait = { constant = "20ms" }
[[users.tasks]]
get = "/hello"
weight = 3
[[users.tasks]]
get = "/missing"
"#;

const LOCUSTFILE: &str = r#"
from locust import HttpUser, constant, task

class Api(HttpUser):
    wait_time = constant(0.02)
    @task(3)
    def hello(self):
        self.client.get("/hello")
    @task
    def missing(self):
        self.client.get("/missing")
"#;

fn home(locustfile: &str) -> Home {
    let home = Home::new();
    std::fs::write(home.path("locustfile.py"), locustfile).unwrap();
    std::fs::write(home.path("scenario.toml"), SCENARIO).unwrap();
    home
}

/// The master's row of a request agrees with those of its workers, added up by Locust's own rules.
fn assert_equal(row: &Value, parts: &[&Value]) {
    let sum = |key: &str| parts.iter().map(|part| part[key].as_f64().unwrap()).sum::<f64>();
    let requests = sum("num_requests");
    assert_eq!(row["num_requests"].as_f64().unwrap(), requests, "{row}");
    assert_eq!(row["num_failures"].as_f64().unwrap(), sum("num_failures"), "{row}");
    let close = |key: &str, expected: f64| {
        let found = row[key].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-6 * expected.max(1.0), "{key}: {found} and {expected}");
    };
    close("avg_response_time", sum("total_response_time") / requests);
    close("avg_content_length", sum("total_content_length") / requests);
    let all = |key: &str| parts.iter().map(|part| part[key].as_f64().unwrap()).collect::<Vec<_>>();
    // Shown in whole milliseconds.
    let near = |key: &str, expected: f64| {
        let found = row[key].as_f64().unwrap();
        assert!((found - expected).abs() <= 0.501, "{key}: {found} and {expected}");
    };
    near("max_response_time", all("max_response_time").into_iter().fold(0.0, f64::max));
    near("min_response_time", all("min_response_time").into_iter().fold(f64::INFINITY, f64::min));
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    for (time, count) in parts.iter().flat_map(|part| part["response_times"].as_object().unwrap()) {
        *times.entry(time.parse().unwrap()).or_default() += count.as_u64().unwrap();
    }
    for (key, p) in [("response_time_percentile_0.95", 0.95), ("response_time_percentile_0.99", 0.99)] {
        let mut left = requests as u64;
        let found = times.iter().rev().find(|(_, count)| {
            left -= **count;
            left <= (requests * p) as u64
        });
        assert_eq!(row[key].as_u64(), found.map(|(time, _)| *time), "{key}: {row} and {times:?}");
    }
}

#[test]
fn two_of_ours() {
    let Some(locust) = locust() else { return };
    let (server, asked) = Asked::serve();
    let home = home(LOCUSTFILE);
    let master = Master::start(&home, &locust, server, None);
    let mut first = worker(&home, "first", master.port, &["--threads", "2"]);
    let mut second = worker(&home, "second", master.port, &[]);
    master.workers(2);

    // Up, down, stop: what the master says is what the workers measured and the server saw.
    master.swarm(8);
    master.running(8);
    master.until("requests", |stats| stats["stats"][0]["num_requests"].as_u64() > Some(50));
    master.swarm(4);
    master.running(4);
    master.stop();
    let (one, two) = (measured(&home, "first"), measured(&home, "second"));
    let stats = master.stats();
    let rows = stats["stats"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "{stats}");
    for row in &rows[..2] {
        let of = |part: &Value| part["name"] == row["name"] && part["method"] == row["method"];
        let parts: Vec<&Value> = one.iter().chain(&two).filter(|part| of(part)).collect();
        assert_eq!(parts.len(), 2, "{row}");
        assert_equal(row, &parts);
    }
    assert_eq!(rows[2]["num_requests"], asked.all(), "{stats}");
    assert_eq!(rows[2]["num_failures"], asked.missing.load(Ordering::SeqCst), "{stats}");
    let errors = stats["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "both workers' errors are one: {stats}");
    assert_eq!(errors[0]["error"], "404 Not Found");
    assert_eq!(errors[0]["occurrences"], asked.missing.load(Ordering::SeqCst));
    assert_eq!(asked.python.load(Ordering::SeqCst), 0);

    // Again; a worker that is killed is missed, and the other goes on.
    master.swarm(6);
    master.running(6);
    second.kill();
    master.workers(1);
    let before = master.stats()["stats"][0]["num_requests"].as_u64();
    master.until("more requests", |stats| stats["stats"][0]["num_requests"].as_u64() > before);

    // A master that is killed and started again is joined anew by whoever is left, which had users.
    let port = master.port;
    let mut master = {
        let mut old = master;
        old.process.kill();
        Master::start(&home, &locust, server, Some(port))
    };
    master.workers(1);
    master.swarm(2);
    master.running(2);
    master.until("requests", |stats| stats["stats"][0]["num_requests"].as_u64() > Some(0));
    master.process.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0), "{}", first.output());
    assert!(first.output().contains("Got quit message from master"), "{}", first.output());
    master.process.wait();
    // Its last report came in time.
    let last: u64 = measured(&home, "first").iter().map(|row| row["num_requests"].as_u64().unwrap()).sum();
    let table = master.process.output();
    let aggregated = table.lines().rev().find(|line| line.trim_start().starts_with("Aggregated"));
    // Of the table of percentiles, which comes last: its last column.
    let told = aggregated.unwrap_or_else(|| panic!("{table}")).split_whitespace().last();
    assert_eq!(told, Some(last.to_string().as_str()), "{table}");
}

#[test]
fn beside_a_python_worker() {
    let Some(locust) = locust() else { return };
    let (server, asked) = Asked::serve();
    let home = home(&format!("{LOCUSTFILE}\nclass Other(Api):\n    weight = 1\n\nApi.weight = 2\n"));
    let mut master = Master::start(&home, &locust, server, None);
    let mut ours = worker(&home, "ours", master.port, &["--master-timeout", "4s"]);
    let mut command = home.program(locust.to_str().unwrap());
    command.arg("-f").arg(home.path("locustfile.py")).args(["--worker", "--master-port", &master.port.to_string()]);
    let python = Process::start(command, home.path("python.log"));
    master.workers(2);
    master.swarm(8);

    // What we do not know is told and not run: the users of `Other` that fall to us are nobody.
    master.until("both at work", |stats| {
        let known = stats["user_count"].as_u64().is_some_and(|users| (1..8).contains(&users));
        known && asked.ours.load(Ordering::SeqCst) > 20 && asked.python.load(Ordering::SeqCst) > 20
    });
    let exceptions = until("the complaint", || {
        let exceptions = master.ask("GET", "/exceptions", "");
        exceptions.contains("the user class `Other` is not in this worker's scenario").then_some(exceptions)
    });
    assert!(exceptions.contains("it has Api"), "{exceptions}");
    until("the log", || master.ask("GET", "/logs", "").contains("Joined the master at 127.0.0.1").then_some(()));
    master.stop();
    // A worker in Python tells the rest with its next report, up to three seconds later.
    master.until("the whole", |stats| stats["stats"][2]["num_requests"] == asked.all());
    let sum: u64 = measured(&home, "ours").iter().map(|row| row["num_requests"].as_u64().unwrap()).sum();
    assert_eq!(sum, asked.ours.load(Ordering::SeqCst));

    // A master that does not come back: the users are stopped and the worker ends.
    master.swarm(4);
    master.until("users", |stats| stats["state"] == "running");
    master.process.kill();
    assert_eq!(ours.wait().code(), Some(3), "{}", ours.output());
    assert!(ours.output().contains("has not answered for 4 s"), "{}", ours.output());
    drop(python);
}

#[test]
fn ctrl_c_takes_leave_of_the_master() {
    let Some(locust) = locust() else { return };
    let (server, _) = Asked::serve();
    let home = home(LOCUSTFILE);
    // The worker may be there before its master.
    let port = free_port();
    let mut ours = worker(&home, "ours", port, &[]);
    until("a try", || ours.output().contains("Waiting for a master at 127.0.0.1").then_some(()));
    let master = Master::start(&home, &locust, server, Some(port));
    master.workers(1);
    master.swarm(3);
    master.running(3);
    ours.signal(Signal::INT);
    assert_eq!(ours.wait().code(), Some(0), "{}", ours.output());
    until("the master to hear of it", || master.process.output().contains("quit. 0 workers ready").then_some(()));
}
