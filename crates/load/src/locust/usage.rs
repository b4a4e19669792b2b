//! What this process uses of the machine, for heartbeats.

use std::time::{Duration, Instant};

/// What this process uses of the machine.
#[derive(Debug)]
pub(super) struct Usage {
    threads: usize,
    last: (Instant, Duration),
}

impl Usage {
    /// Of so many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), last: (Instant::now(), cpu()) }
    }

    /// Per cent of the threads' cores since the last look, and resident bytes. Locust's is per cent of one core, which
    /// is all that a Python process can use; either way 90 is when a master warns.
    pub fn look(&mut self) -> (f64, u64) {
        let now = (Instant::now(), cpu());
        let wall = now.0.duration_since(self.last.0).as_secs_f64() * self.threads as f64;
        let used = now.1.saturating_sub(self.last.1).as_secs_f64();
        self.last = now;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB"));
        let kilobytes: u64 = resident.and_then(|number| number.trim().parse().ok()).unwrap_or_default();
        (if wall > 0.0 { used / wall * 100.0 } else { 0.0 }, kilobytes * 1_024)
    }
}

/// What this process has used of all cores.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
