//! Performance tests of one's own with the fixtures of `regatta-perf`, as they stand in a `tests/` folder. The server here is a
//! small one of its own, to show that any can be measured.
//!
//! `cargo test -p regatta-perf --example performance_test`, or `cargo run` in place of `cargo test` to see the figures.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use regatta_perf::fixtures::{
    PerfAnalyzer, assert_performance, perf_analyzer, perf_timer, performance_thresholds, run_concurrent_timed,
    sample_task_data_factory,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The limits of this example's server: far from what it takes, for it shares its machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A server that answers every request with its length, and closes. It ends with the runtime.
async fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("localhost:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 16_384];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let body = read.to_string();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                // A client that is gone needs no answer.
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(address)
}

/// Posts a body; whether it was answered with 200.
async fn post(address: SocketAddr, body: String) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("POST /tasks HTTP/1.1\r\nHost: example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

/// Ten submissions, one after the other: their figures, and whether each kept the limit.
async fn one_after_the_other(address: SocketAddr) -> io::Result<PerfAnalyzer> {
    let mut tasks = sample_task_data_factory("example");
    let mut analyzer = perf_analyzer();
    for _ in 0..10 {
        let body = serde_json::to_string(&tasks.make())?;
        assert!(analyzer.time(post(address, body)).await?, "a submission was refused");
    }
    assert!(analyzer.meets_requirement(LIMIT));
    Ok(analyzer)
}

/// Fifty submissions, ten at once.
async fn at_once(address: SocketAddr) -> io::Result<PerfAnalyzer> {
    let mut tasks = sample_task_data_factory("example");
    let bodies: Result<Vec<String>, _> = (0..50).map(|_| serde_json::to_string(&tasks.make())).collect();
    let ran = run_concurrent_timed(bodies?.into_iter().map(|body| post(address, body)), Some(10)).await;
    for answered in ran.results {
        assert!(answered?, "a submission was refused");
    }
    assert_performance("50 submissions, 10 at once,", ran.wall, LIMIT);
    let mut analyzer = perf_analyzer();
    analyzer.extend(&ran.times);
    Ok(analyzer)
}

/// Both, and what the platform itself promises for a submission.
async fn measure() -> io::Result<()> {
    let address = serve().await?;
    let timer = perf_timer();
    println!("{}\n", one_after_the_other(address).await?.report("Submission"));
    println!("{}\n", at_once(address).await?.report("Concurrent Submission"));
    println!("all of it took {:.1} ms", timer.stop().as_secs_f64() * 1e3);
    if let Some(limits) = performance_thresholds().of("api::task::submission") {
        println!("the platform's own limits for a submission: {}", limits.in_words());
    }
    Ok(())
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

#[cfg(test)]
mod tests {
    /// As a performance test stands in a project: it fails when a limit is not kept.
    #[tokio::test]
    async fn submissions_keep_their_limits() {
        super::measure().await.unwrap();
    }
}
