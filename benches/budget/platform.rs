//! The real thing: `regatta serve` as a process, with a fresh store.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A running server; ends with its owner, and its files with it.
pub struct Platform {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Platform {
    /// Starts one on a store of its own and waits until it is ready.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with further arguments of `regatta serve` and waits until it is ready.
    pub fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let ready = dir.path().join("address");
        let child = Command::new(env!("CARGO_BIN_EXE_regatta"))
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--log-level", "warn", "--ready-file"])
            .arg(&ready)
            .arg("--data-dir")
            .arg(dir.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("regatta does not start")?;
        let mut platform = Self { child, address: ([127, 0, 0, 1], 0).into(), _dir: dir };
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready)
                && let Some(address) = address_in(&text)
            {
                platform.address = address;
                return Ok(platform);
            }
            if let Some(status) = platform.child.try_wait()? {
                bail!("regatta serve ended with {status}");
            }
            if Instant::now() > give_up {
                bail!("regatta serve is not ready after 30 s");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `http://…`, for the client.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its memory, in bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        resident(self.child.id())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the ready file, which may be half written yet.
fn address_in(text: &str) -> Option<SocketAddr> {
    let ready: serde_json::Value = serde_json::from_str(text).ok()?;
    ready["url"].as_str()?.strip_prefix("http://")?.parse().ok()
}

/// Resident memory of a process, in bytes, as the kernel counts it.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib << 10)
}
