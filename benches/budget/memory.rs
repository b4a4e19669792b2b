//! Memory: of an idle server, of an idle worker, and for each worker and watcher that is connected.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::fleet::Line;
use crate::http;
use crate::platform::{Platform, resident};
use crate::table::Table;

const CONNECTED: usize = 1_000;

/// Measures all four.
pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let idle = platform.memory()?;
    table.figure("memory of an idle server", mib(idle), "< 30 MB", Some(idle < 30_000_000));

    let worker = idle_worker(&platform)?;
    table.figure("memory of an idle worker", mib(worker), "< 15 MB", Some(worker < 15_000_000));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let before = platform.memory()?;
        let mut lines = Vec::with_capacity(CONNECTED);
        for worker in 0..CONNECTED {
            lines.push(Line::open(&platform, &format!("bench-{worker}"), 1).await?);
        }
        let each = (platform.memory()?.saturating_sub(before)) / CONNECTED as u64;
        table.figure(
            "memory of each connected worker",
            format!("{:.1} KB", each as f64 / 1e3),
            "< 20 KB",
            Some(each < 20_000),
        );

        let (_, answer) = http::Connection::open(platform.address)
            .await?
            .exchange(&http::post("/api/v1/tasks", crate::submit::BODY))
            .await
            .map(|(status, body)| (status, body.to_vec()))?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let task = answer["task_id"].as_str().context("no task_id")?;
        let before = platform.memory()?;
        let mut watchers = Vec::with_capacity(CONNECTED);
        for _ in 0..CONNECTED {
            let url = format!("ws://{}/api/v1/ws/tasks/{task}/logs", platform.address);
            watchers.push(tokio_tungstenite::connect_async(url).await?);
        }
        let each = (platform.memory()?.saturating_sub(before)) / CONNECTED as u64;
        table.figure("memory of each watcher", format!("{:.1} KB", each as f64 / 1e3), "< 20 KB", Some(each < 20_000));
        Ok(())
    })
}

/// Memory of a real worker process once it is connected and idle.
fn idle_worker(platform: &Platform) -> anyhow::Result<u64> {
    let dir = tempfile::tempdir()?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_regatta"))
        .args(["worker", "--server", &platform.url(), "--name", "bench", "--tools", "simulate", "--data-dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_secs(2));
    let memory = resident(child.id());
    let _ = child.kill();
    let _ = child.wait();
    memory
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
