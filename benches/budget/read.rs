//! Read endpoints against a bare server that answers the same bytes: while nothing changes, and while tasks are
//! submitted beside, when what was answered before no longer stands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{bail, ensure};

use crate::bare::Bare;
use crate::http;
use crate::platform::Platform;
use crate::table::Table;

const CONNECTIONS: usize = 64;
/// Between two submissions beside the reads.
const BESIDE: Duration = Duration::from_millis(10);

/// Measures health, progress, one task, lists and stats.
pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let mut task = String::new();
    for _ in 0..200 {
        let (status, body) = http::once(platform.address, &http::post("/api/v1/tasks", crate::submit::BODY))?;
        ensure!(status == 201, "submit answered {status}");
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        task = answer["task_id"].as_str().unwrap_or_default().to_owned();
    }
    let time = Duration::from_secs(crate::seconds());
    for (name, path) in [
        ("GET /health", "/api/v1/health".to_owned()),
        ("GET /tasks/{id}/progress", format!("/api/v1/tasks/{task}/progress")),
        ("GET /tasks/{id}", format!("/api/v1/tasks/{task}")),
        ("GET /tasks?limit=20", "/api/v1/tasks?limit=20".to_owned()),
        ("GET /workers", "/api/v1/workers".to_owned()),
        ("GET /stats", "/api/v1/stats".to_owned()),
    ] {
        let request = http::get(&path);
        let (status, answer) = http::once(platform.address, &request)?;
        ensure!(status == 200, "{path} answered {status}");
        let bare = Bare::start(&answer)?;
        let limit = http::load(&[bare.address], &http::get("/x"), 200, CONNECTIONS, time)?;
        let ours = http::load(&[platform.address], &request, 200, CONNECTIONS, time)?;
        table.ratio(name, ours.rate, "bare server", limit.rate, Some(0.5));
        if path.contains("/tasks?") || path.contains("/stats") {
            let writes = Writes::start(platform.address);
            let ours = http::load(&[platform.address], &request, 200, CONNECTIONS, time)?;
            writes.stop()?;
            let name = format!("  with {} submissions a second beside it", 1_000 / BESIDE.as_millis());
            // How much of it is work that every answer needs is for the reader to see: there is no limit to hold it to.
            table.ratio(&name, ours.rate, "bare server", limit.rate, None);
        }
    }
    Ok(())
}

/// Submissions at a steady pace, so that lists and counts change all the time.
struct Writes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Writes {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let request = http::post("/api/v1/tasks", crate::submit::BODY);
            while !stopped.load(Ordering::Relaxed) {
                let (status, _) = http::once(address, &request)?;
                ensure!(status == 201, "submit answered {status}");
                std::thread::sleep(BESIDE);
            }
            Ok(())
        });
        Self { stop, thread }
    }

    fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| bail!("the submissions beside the reads panicked"))
    }
}
