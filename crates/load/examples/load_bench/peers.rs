//! The others, on the same server in the same run: `wrk`, and Locust's fastest user.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{CONNECTIONS, Outcome};

/// The version that is measured.
const LOCUST: &str = "2.47.0";

/// One process is one thread; as many users, none of which waits.
const LOCUSTFILE: &str = "
from locust import FastHttpUser, task

class Static(FastHttpUser):
    @task
    def get(self):
        self.client.get('/static')
";

/// Requests a second of `wrk`, as it says itself; `None` without it.
pub fn wrk(address: SocketAddr, seconds: u64) -> Outcome<Option<f64>> {
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), &format!("http://{address}/static")]);
    let Ok(output) = command.output() else { return Ok(None) };
    let text = String::from_utf8(output.stdout)?;
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(Some(rate.ok_or("wrk says no rate")?.trim().parse()?))
}

/// Locust, from a folder beside the build; installed there when it is not yet. `None` where that is not possible.
pub fn locust() -> Option<PathBuf> {
    let build = std::env::current_exe().ok()?;
    let folder = build.ancestors().nth(3)?.join(format!("tmp/locust-{LOCUST}"));
    let (program, done) = (folder.join("bin/locust"), folder.join("installed"));
    if !done.exists() {
        let run = |program: &Path, arguments: &[&str]| {
            Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
        };
        let package = format!("locust=={LOCUST}");
        let installed = run(Path::new("python3"), &["-m", "venv", "--clear", folder.to_str()?])
            && run(&folder.join("bin/pip"), &["install", "--quiet", "--disable-pip-version-check", &package]);
        if !installed {
            return None;
        }
        std::fs::File::create(done).ok()?;
    }
    Some(program)
}

/// Requests a second of Locust's FastHttpUser in one process.
pub fn fast_http_user(locust: &Path, address: SocketAddr, seconds: u64) -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("locustfile.py");
    std::fs::write(&file, LOCUSTFILE)?;
    let users = CONNECTIONS.to_string();
    let output = Command::new(locust)
        .arg("-f")
        .arg(file)
        .args(["--headless", "--json", "-L", "ERROR", "-u", &users, "-r", &users, "-t", &format!("{}s", seconds + 3)])
        .arg(format!("--host=http://{address}"))
        .output()?;
    let rows: Value = serde_json::from_slice(&output.stdout)?;
    let row = rows.get(0).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    // Its seconds without the first and the last, in which it does not run all the time: the run is longer by these.
    let mut counts: Vec<(u64, f64)> = Vec::new();
    for (second, count) in row["num_reqs_per_sec"].as_object().ok_or("Locust tells no seconds")? {
        counts.push((second.parse()?, count.as_f64().unwrap_or_default()));
    }
    counts.sort_by_key(|(second, _)| *second);
    let whole = counts.get(1..counts.len().saturating_sub(1)).filter(|whole| !whole.is_empty());
    let whole = whole.ok_or("Locust ran for too short a time")?;
    Ok(whole.iter().map(|(_, count)| count).sum::<f64>() / whole.len() as f64)
}
