//! Ending what an earlier incarnation of this worker left running: found by the worker's identity in the processes' environment.
//!
//! The supervisor ends what a killed worker leaves; this is for the case that the supervisor was killed too.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::proc;

/// How long a left-over process has to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long to insist with SIGKILL: a process stuck in the kernel cannot be ended by anyone.
const INSIST: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Ends every process that carries `NAME=value`, first with SIGTERM, then with SIGKILL, and says how many there were.
/// The calling process is never among them.
pub async fn end_marked(name: &str, value: &str) -> usize {
    let entry = proc::entry(name, value);
    let own = rustix::process::getpid();
    let find = || -> Vec<Pid> {
        let mut found = proc::marked(&entry);
        found.retain(|pid| *pid != own && proc::is_alive(*pid));
        found
    };
    let first = find();
    let count = first.len();
    for pid in first {
        proc::signal_marked(pid, Signal::TERM, &entry);
    }
    if gone_within(GRACE, &find).await {
        return count;
    }
    let end = tokio::time::Instant::now() + INSIST;
    loop {
        let left = find();
        if left.is_empty() {
            return count;
        }
        if tokio::time::Instant::now() >= end {
            tracing::error!(
                processes = ?left,
                "left-over processes could not be ended; look at them and end them by hand"
            );
            return count;
        }
        for pid in left {
            proc::signal_marked(pid, Signal::KILL, &entry);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn gone_within(limit: Duration, find: &impl Fn() -> Vec<Pid>) -> bool {
    let end = tokio::time::Instant::now() + limit;
    loop {
        if find().is_empty() {
            return true;
        }
        if tokio::time::Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[tokio::test]
    async fn processes_of_an_identity_are_ended_even_when_they_ignore_sigterm() {
        let identity = uuid::Uuid::now_v7().to_string();
        let mut polite = Command::new("sleep").arg("600").env(proc::WORKER_VARIABLE, &identity).spawn().unwrap();
        let mut stubborn = Command::new("sh")
            .args(["-c", "trap '' TERM; while :; do sleep 1; done"])
            .env(proc::WORKER_VARIABLE, &identity)
            .spawn()
            .unwrap();
        let entry = proc::entry(proc::WORKER_VARIABLE, &identity);
        while proc::marked(&entry).len() < 2 {
            tokio::task::yield_now().await;
        }
        let reaper = std::thread::spawn(move || (polite.wait(), stubborn.wait()));
        assert!(end_marked(proc::WORKER_VARIABLE, &identity).await >= 2);
        assert_eq!(proc::marked(&entry), []);
        let (polite, stubborn) = reaper.join().unwrap();
        assert!(polite.unwrap().signal().is_some());
        assert!(stubborn.unwrap().signal().is_some());
        assert_eq!(end_marked(proc::WORKER_VARIABLE, &identity).await, 0);
    }
}
