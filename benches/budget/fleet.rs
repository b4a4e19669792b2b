//! Subtasks the whole way, from submission to completion over workers' lines, on the same cores: how many a
//! second, beside what the store alone can do, and whether that falls with more workers or a longer queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::http::{self, Connection};
use crate::platform::Platform;
use crate::table::Table;

/// Slots of all workers together.
pub const SLOTS: usize = 256;
/// Tasks in one call.
const BATCH: usize = 250;
/// Subtasks of one of them.
pub const PER_TASK: usize = 4;

/// A worker of ours that answers every assignment at once: what is measured is the platform.
pub struct Line {
    /// Its line.
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Line {
    /// Registers a worker and opens its line.
    pub async fn open(platform: &Platform, name: &str, slots: usize) -> anyhow::Result<Self> {
        let body = format!(
            r#"{{"machine_id":"{name}","machine_name":"{name}","system_info":{{}},"tools":["claude_code"],"slots":{slots},"running":[]}}"#
        );
        let mut connection = Connection::open(platform.address).await?;
        let (status, answer) = connection.exchange(&http::post("/api/v1/workers/register", &body)).await?;
        ensure!(status == 200, "register answered {status}");
        let answer: serde_json::Value = serde_json::from_slice(answer)?;
        let worker = answer["worker_id"].as_str().context("no worker_id")?;
        let url = format!("ws://{}/api/v1/workers/{worker}/ws", platform.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await?;
        Ok(Self { socket })
    }

    /// Says that an assignment is done. It is on its way after a flush.
    pub async fn complete(&mut self, subtask: &str, lease: &str) -> anyhow::Result<()> {
        let result = format!(
            r#"{{"type":"result","data":{{"subtask_id":"{subtask}","lease":"{lease}","status":"completed","result":{{"ok":true}},"execution_time":0.001}}}}"#
        );
        Ok(self.socket.feed(Message::text(result)).await?)
    }

    /// Completes assignments, counting them, until the server goes.
    pub async fn work(mut self, completed: Arc<AtomicU64>) {
        while let Some(Ok(message)) = self.socket.next().await {
            let Message::Text(text) = message else { continue };
            if text.starts_with(r#"{"type":"result_ack""#) {
                completed.fetch_add(1, Ordering::Relaxed);
            } else if let Some((subtask, lease)) = assignment(&text)
                && self.complete(subtask, lease).await.is_err()
            {
                return;
            }
            // What is here already goes out together.
            if self.socket.flush().await.is_err() {
                return;
            }
        }
    }
}

/// Subtask and lease of an assignment frame.
pub fn assignment(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with(r#"{"type":"task_assignment""#) {
        return None;
    }
    Some((field(text, r#""subtask_id":""#)?, field(text, r#""lease":""#)?))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = &text[text.find(name)? + name.len()..];
    rest.split('"').next()
}

/// Measures one worker, ten and a hundred with a short and a long queue, then the ratio to the store alone.
pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let limit = store_alone()?;
    let mut best = 0.0_f64;
    for (workers, waiting) in [(1, 1_000), (10, 1_000), (100, 1_000), (1, 100_000), (10, 100_000), (100, 100_000)] {
        let rate = whole_way(&[Platform::start()?], workers, waiting)?;
        best = best.max(rate);
        let name = format!("subtasks the whole way, {workers} workers, {waiting} waiting");
        table.ratio(&name, rate, "store alone", limit, Some(0.4));
    }
    let per_second = format!("{}/s", crate::table::thousands(best));
    table.figure("  the best of them", per_second, ">= 16,000/s", Some(best >= 16_000.0));
    Ok(())
}

/// Subtasks completed a second while about `waiting` wait all the time. The workers are dealt out to the servers; tasks are
/// submitted at the first.
pub fn whole_way(servers: &[Platform], workers: usize, waiting: usize) -> anyhow::Result<f64> {
    let first = servers.first().context("no server")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let submitted = Arc::new(AtomicU64::new(0));
        let completed = Arc::new(AtomicU64::new(0));
        let task = r#"{"description":"Add a rate limiter to the public API","task_type":"develop_feature"}"#;
        let batch = http::post("/api/v1/tasks/batch", &format!(r#"{{"tasks":[{}]}}"#, vec![task; BATCH].join(",")));
        let mut connection = Connection::open(first.address).await?;
        while submitted.load(Ordering::Relaxed) < waiting as u64 {
            let status = connection.call(&batch).await?;
            ensure!(status == 201, "batch answered {status}");
            submitted.fetch_add((BATCH * PER_TASK) as u64, Ordering::Relaxed);
        }
        let slots = SLOTS.div_ceil(workers);
        for (worker, server) in servers.iter().cycle().take(workers).enumerate() {
            let line = Line::open(server, &format!("bench-{worker}"), slots).await?;
            tokio::spawn(line.work(completed.clone()));
        }
        // What is completed is submitted again, so that the queue stays as long as it was.
        let top_up = {
            let (submitted, completed) = (submitted.clone(), completed.clone());
            async move {
                loop {
                    let left = submitted.load(Ordering::Relaxed) - completed.load(Ordering::Relaxed);
                    if left < waiting as u64 {
                        let status = connection.call(&batch).await?;
                        ensure!(status == 201, "batch answered {status}");
                        submitted.fetch_add((BATCH * PER_TASK) as u64, Ordering::Relaxed);
                    } else {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        };
        let measure = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (before, begin) = (completed.load(Ordering::Relaxed), Instant::now());
            tokio::time::sleep(Duration::from_secs(crate::seconds())).await;
            let done = completed.load(Ordering::Relaxed) - before;
            anyhow::Ok(done as f64 / begin.elapsed().as_secs_f64())
        };
        tokio::select! {
            rate = measure => rate,
            ended = top_up => ended.map(|()| 0.0),
        }
    })
}

/// Claim and complete in a loop over the store in this process: the most there can be.
fn store_alone() -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(crate::store_loop::claim_and_complete(SLOTS, Duration::from_secs(crate::seconds())))
}
