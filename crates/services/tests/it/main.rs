//! The services themselves: they come, they do what tests will ask of them, and nothing is left of them.

mod postgres;
mod proxy;
mod redis;

use std::time::{Duration, Instant};

/// Waits until something is so; only a hang takes long.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !so() {
        assert!(asked.elapsed() < Duration::from_secs(120), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there and not only waited for.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}
