//! How long things take on an idle system: from a submission to its arrival at a worker, and from a log line to
//! those who watch.

use std::time::Instant;

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use tokio_tungstenite::tungstenite::Message;

use crate::fleet::{Line, assignment};
use crate::http::{self, Connection};
use crate::platform::Platform;
use crate::table::Table;

/// A task of one step.
pub const ONE: &str = r#"{"description":"One small thing to do","task_type":"custom"}"#;
const WATCHERS: usize = 50;
/// How often each is measured.
pub const ROUNDS: usize = 500;

/// Measures both.
pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let platform = Platform::start()?;
        let start = submit_to_start(&platform, &platform).await?;
        figure(table, "submit to arrival at the worker", &start, 1.0, 3.0);
        let log = log_to_watchers().await?;
        figure(table, &format!("log line to each of {WATCHERS} watchers"), &log, 0.3, 1.0);
        Ok(())
    })
}

fn figure(table: &mut Table, name: &str, latency: &Histogram<u64>, p50_aim: f64, p99_aim: f64) {
    let ms = |p: f64| latency.value_at_percentile(p) as f64 / 1_000.0;
    let (p50, p99) = (ms(50.0), ms(99.0));
    table.figure(
        name,
        format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
        &format!("p50 < {p50_aim} ms, p99 < {p99_aim} ms"),
        Some(p50 < p50_aim && p99 < p99_aim),
    );
}

async fn text(line: &mut Line) -> anyhow::Result<String> {
    loop {
        if let Message::Text(text) = line.socket.next().await.context("the line was closed")?? {
            return Ok(text.to_string());
        }
    }
}

/// From a submission at one server to its arrival at a worker of another, or the same.
pub async fn submit_to_start(at: &Platform, works: &Platform) -> anyhow::Result<Histogram<u64>> {
    let mut line = Line::open(works, "bench", 1).await?;
    let mut connection = Connection::open(at.address).await?;
    let request = http::post("/api/v1/tasks", ONE);
    let mut latency = Histogram::new(3)?;
    for round in 0..ROUNDS {
        let begin = Instant::now();
        let (submitted, arrived) = tokio::join!(connection.call(&request), async {
            loop {
                let frame = text(&mut line).await?;
                if let Some((subtask, lease)) = assignment(&frame) {
                    return anyhow::Ok((begin.elapsed(), subtask.to_owned(), lease.to_owned()));
                }
            }
        });
        ensure!(submitted? == 201, "the task was not taken");
        let (elapsed, subtask, lease) = arrived?;
        if round >= ROUNDS / 10 {
            latency.record(elapsed.as_micros() as u64)?;
        }
        let result = format!(
            r#"{{"type":"result","data":{{"subtask_id":"{subtask}","lease":"{lease}","status":"completed","result":{{}},"execution_time":0}}}}"#
        );
        line.socket.send(Message::text(result)).await?;
        while !text(&mut line).await?.starts_with(r#"{"type":"result_ack""#) {}
    }
    Ok(latency)
}

async fn log_to_watchers() -> anyhow::Result<Histogram<u64>> {
    let platform = Platform::start()?;
    let mut line = Line::open(&platform, "bench", 1).await?;
    let mut connection = Connection::open(platform.address).await?;
    let (status, answer) = connection.exchange(&http::post("/api/v1/tasks", ONE)).await?;
    ensure!(status == 201, "the task was not taken");
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    let task = answer["task_id"].as_str().context("no task_id")?.to_owned();
    let (subtask, lease) = loop {
        let frame = text(&mut line).await?;
        if let Some((subtask, lease)) = assignment(&frame) {
            break (subtask.to_owned(), lease.to_owned());
        }
    };
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let mut ready = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let url = format!("ws://{}/api/v1/ws/tasks/{task}/logs", platform.address);
        let arrived = arrived.clone();
        ready.spawn(async move {
            let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
            loop {
                let message = socket.next().await.context("a watcher's socket was closed")??;
                if matches!(&message, Message::Text(text) if text.starts_with(r#"{"type":"subscribed""#)) {
                    break;
                }
            }
            tokio::spawn(async move {
                while let Some(Ok(message)) = socket.next().await {
                    if matches!(&message, Message::Text(text) if text.starts_with(r#"{"type":"log""#)) {
                        let _ = arrived.send(Instant::now());
                    }
                }
            });
            anyhow::Ok(())
        });
    }
    while let Some(watcher) = ready.join_next().await {
        watcher??;
    }
    let mut latency = Histogram::new(3)?;
    for round in 0..ROUNDS {
        let frame = format!(
            r#"{{"type":"log","data":{{"subtask_id":"{subtask}","lease":"{lease}","level":"info","message":"line {round}"}}}}"#
        );
        let begin = Instant::now();
        line.socket.send(Message::text(frame)).await?;
        for _ in 0..WATCHERS {
            let at = arrivals.recv().await.context("no arrival")?;
            if round >= ROUNDS / 10 {
                latency.record((at - begin).as_micros() as u64)?;
            }
        }
    }
    Ok(latency)
}
