//! How fast, how small and how true the engine is: requests a second of one thread beside `wrk` with one thread and
//! Locust's FastHttpUser, against the same static server in the same run; instructions a request; memory for each of
//! 10,000 users; percentiles beside known delays; a server that stalls.
//!
//! `cargo run --release -p regatta-load --example load_bench`; without `wrk` or `valgrind` on the PATH, or where Locust
//! cannot be installed, these lines are without them.
//! Rates drift with the machine, so each side is measured in turn, several times, and the best of each counts.

mod instructions;
mod peers;
mod truth;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use regatta_load::engine::{Handle, Observer};
use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::{Engine, Options, Plan, Totals};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Connections of the rates.
pub const CONNECTIONS: u64 = 64;
/// Rounds, of which the best counts.
pub const ROUNDS: usize = 3;
/// Users whose memory is measured, and the few that are subtracted.
const MANY: u64 = 10_000;
const FEW: u64 = 100;

pub const STATIC: &str = r#"
[[users]]
name = "Static"
[[users.tasks]]
get = "/static"
headers = { Accept-Encoding = "identity" }
"#;

pub const TEMPLATED: &str = r#"
[[users]]
name = "Templated"
[[users.tasks]]
post = "/items"
json = { user = "{{user}}", item = "{{random(1, 1000) | json}}", before = "{{id}}" }
extract = { id = "$.id" }
[[users.on_start]]
post = "/items"
json = {}
extract = { id = "$.id" }
"#;

const SLOW: &str = r#"
[[users]]
name = "Idle"
wait = { constant = "1s" }
[[users.tasks]]
get = "/static"
"#;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => return serve(),
        Some("memory") => {
            let address = arguments.get(1).ok_or("no address")?.parse()?;
            let users = arguments.get(2).ok_or("no users")?.parse()?;
            println!("{}", memory(address, users)?);
            return Ok(());
        }
        Some("requests") => {
            let [_, address, scenario, each] = arguments.as_slice() else {
                return Err("address, scenario, number".into());
            };
            return instructions::requests(address.parse()?, scenario, each.parse()?);
        }
        _ => {}
    }
    let server = Server::start()?;
    let seconds = std::env::var("REGATTA_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let locust = peers::locust();
    let (mut wrk, mut python, mut ours, mut templated) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        wrk = wrk.max(peers::wrk(server.address, seconds)?.unwrap_or_default());
        if let Some(locust) = &locust {
            python = python.max(peers::fast_http_user(locust, server.address, seconds)?);
        }
        ours = ours.max(rate(server.address, STATIC, seconds)?);
        templated = templated.max(rate(server.address, TEMPLATED, seconds)?);
    }
    line("static GET, one thread", ours, "wrk", wrk, 1.0);
    line("templated POST with JSON extraction, one thread", templated, "wrk", wrk, 0.4);
    line("static GET, one thread", ours, "Locust's FastHttpUser", python, 1.0);
    instructions::run(server.address)?;
    let least = memory_of(server.address, FEW)?;
    let most = memory_of(server.address, MANY)?;
    let each = most.saturating_sub(least) as f64 / (MANY - FEW) as f64 / 1e3;
    let met = if each < 20.0 { "met" } else { "MISSED" };
    println!("{:50} {each:>10.1} KB    aim < 20 KB   {met}", format!("memory of each of {MANY} users"));
    truth::accuracy(server.address, seconds)?;
    truth::omission(server.address)
}

fn line(what: &str, ours: f64, whose: &str, theirs: f64, aim: f64) {
    if theirs == 0.0 {
        println!("{what:50} {ours:>10.0}/s    ({whose} is not here: no ratio)");
        return;
    }
    let ratio = ours / theirs;
    let met = if ratio >= aim { "met" } else { "MISSED" };
    println!("{what:50} {ours:>10.0}/s    {ratio:.2} of {whose}: {theirs:.0}/s   aim >= {aim:.1}   {met}");
}

/// Looks on and does nothing.
pub struct Nobody;
impl Observer for Nobody {}

/// Requests a second of the engine.
fn rate(address: SocketAddr, scenario: &str, seconds: u64) -> Outcome<f64> {
    let options = Options {
        users: CONNECTIONS,
        spawn_rate: 1e6,
        threads: 1,
        warm_up: Duration::from_secs(1),
        run_time: Some(Duration::from_secs(seconds + 1)),
        ..Options::default()
    };
    let ran = engine(address, scenario, options)?.run(&mut Nobody)?;
    if ran.totals.all.failures > 0 {
        return Err(format!("{:?}", ran.totals.errors).into());
    }
    Ok(ran.totals.all.requests as f64 / ran.totals.seconds())
}

pub fn engine(address: SocketAddr, scenario: &str, options: Options) -> Outcome<Engine> {
    Ok(Engine::new(plan(address, scenario)?, options)?)
}

pub fn plan(address: SocketAddr, scenario: &str) -> Outcome<Plan> {
    let source = Source { name: "bench".to_owned(), text: scenario.to_owned(), folder: PathBuf::new() };
    let choices = Choices { host: Some(format!("http://{address}")), run: "bench".to_owned(), ..Choices::default() };
    Ok(regatta_load::scenario::load(&source, &choices)?)
}

/// Resident bytes of a process of its own with so many users.
fn memory_of(address: SocketAddr, users: u64) -> Outcome<u64> {
    let output = Command::new(std::env::current_exe()?)
        .args(["memory", &address.to_string(), &users.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Resident bytes of this process once every user has been answered several times.
fn memory(address: SocketAddr, users: u64) -> Outcome<u64> {
    struct Look {
        handle: Handle,
        users: u64,
        resident: u64,
    }
    impl Observer for Look {
        fn second(&mut self, totals: &Totals) {
            if totals.all.requests > self.users * 4 && self.resident == 0 {
                let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
                self.resident =
                    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096;
                self.handle.stop();
            }
        }
    }
    let options = Options {
        users,
        spawn_rate: 5_000.0,
        threads: 1,
        run_time: Some(Duration::from_secs(120)),
        ..Options::default()
    };
    let engine = engine(address, SLOW, options)?;
    let mut look = Look { handle: engine.handle(), users, resident: 0 };
    let ran = engine.run(&mut look)?;
    if ran.totals.all.failures > 0 || look.resident == 0 {
        return Err(format!("the users were not served: {:?}", ran.totals.errors).into());
    }
    Ok(look.resident)
}

/// The static server, in a process of its own.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve() -> Outcome<()> {
    let json = || [(header::CONTENT_TYPE, "application/json")];
    let routes =
        Router::new().route("/static", get(move || std::future::ready((json(), "0123456789".repeat(10))))).route(
            "/items",
            axum::routing::post(move |_: axum::body::Bytes| {
                std::future::ready((json(), r#"{"id": "0199-8d2c", "state": "new", "tags": ["a", "b"], "n": 5}"#))
            }),
        );
    let routes = routes.merge(truth::routes());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, routes).await?;
        Ok(())
    })
}
