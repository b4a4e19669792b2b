//! Whether what is told is true: percentiles beside those that the server knows of itself, and a second in which the
//! server answers nobody.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use regatta_load::engine::arrivals::Profile;
use regatta_load::{Options, Totals};
use regatta_stats::Distribution;

use crate::{Nobody, Outcome, ROUNDS, engine};

const DELAYED: &str = r#"
[[users]]
name = "Delayed"
[[users.tasks]]
get = "/delayed"
"#;

const STALLED: &str = r#"
[[users]]
name = "Stalled"
[[users.tasks]]
get = "/stalled"
"#;

/// Percentiles that are compared.
const PERCENTILES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];
/// When the server's bad second begins, after the first request.
const STALL: Duration = Duration::from_secs(2);

/// What the server adds to its routes.
pub fn routes() -> Router {
    let delays: Arc<Mutex<(u64, Distribution)>> = Arc::default();
    let told = Arc::clone(&delays);
    let first: Arc<Mutex<Option<Instant>>> = Arc::default();
    Router::new()
        .route(
            "/delayed",
            get(move || async move {
                let began = Instant::now();
                let count = {
                    let mut delays = delays.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    delays.0 += 1;
                    delays.0
                };
                // 1 to 100 ms, each as often as any other, in no order.
                tokio::time::sleep(Duration::from_millis(1 + count * 37 % 100)).await;
                delays.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.record(began.elapsed());
            }),
        )
        .route(
            "/truth",
            get(move || async move {
                // Of those since the last time.
                let mut delays = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                std::mem::take(&mut delays.1).quantiles(PERCENTILES).map(|micros| micros.to_string()).join(" ")
            }),
        )
        .route(
            "/stalled",
            get(move || async move {
                let begin = {
                    let mut first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    *first.get_or_insert_with(Instant::now)
                };
                let end = begin + STALL + Duration::from_secs(1);
                if begin.elapsed() >= STALL && Instant::now() < end {
                    tokio::time::sleep_until(end.into()).await;
                }
            }),
        )
}

/// Prints how far our percentiles are from the server's: the best of some runs, because whatever else the machine does
/// falls between the two.
pub fn accuracy(address: SocketAddr, seconds: u64) -> Outcome<()> {
    let mut best: Option<(u64, u64, String)> = None;
    for _ in 0..ROUNDS {
        let options = Options {
            users: 32,
            spawn_rate: 1e6,
            threads: 1,
            run_time: Some(Duration::from_secs(seconds.max(2))),
            // So that both know the same requests.
            stop_timeout: Duration::from_secs(10),
            ..Options::default()
        };
        let all = engine(address, DELAYED, options)?.run(&mut Nobody)?.totals.all;
        let truth = ask(address, "/truth")?;
        let truth: Vec<u64> = truth.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let ours = all.response.quantiles(PERCENTILES);
        let pairs = || PERCENTILES.iter().zip(ours.iter().zip(&truth));
        let worst = pairs().map(|(_, (ours, truth))| ours.abs_diff(*truth)).max().unwrap_or_default();
        let told: Vec<String> =
            pairs().map(|(p, (ours, truth))| format!("p{} {:.2}/{:.2}", p * 100.0, ms(*ours), ms(*truth))).collect();
        if best.as_ref().is_none_or(|(least, ..)| worst < *least) {
            best = Some((worst, all.requests, told.join(", ")));
        }
    }
    let (worst, requests, told) = best.ok_or("nothing was measured")?;
    let met = if worst < 1_000 { "met" } else { "MISSED" };
    println!(
        "{:50} {:>10.2} ms    aim < 1 ms    {met}   (ours/server's in ms: {told})",
        format!("percentiles of {requests} known delays, largest error"),
        ms(worst),
    );
    Ok(())
}

/// Prints what a server that stalls for a second looks like from the intended start and from sending.
pub fn omission(address: SocketAddr) -> Outcome<()> {
    let options = Options {
        users: 4,
        threads: 1,
        arrivals: Some(Profile::constant(200.0)?),
        run_time: Some(Duration::from_secs(6)),
        stop_timeout: Duration::from_secs(10),
        ..Options::default()
    };
    let totals: Totals = engine(address, STALLED, options)?.run(&mut Nobody)?.totals;
    let all = &totals.all;
    let slow = |times: &Distribution| times.count() - times.count_up_to(100_000);
    println!(
        "{:50} {:>10} of {} requests over 100 ms, p99 {:.0} ms; by service time alone {}, p99 {:.0} ms",
        "a server that stalls for a second, 200/s, 4 users",
        slow(&all.response),
        all.requests,
        ms(all.response.quantile(0.99)),
        slow(all.service()),
        ms(all.service().quantile(0.99)),
    );
    Ok(())
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// The body of a plain request.
fn ask(address: SocketAddr, path: &str) -> Outcome<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").ok_or("no answer")?.1.to_owned())
}
