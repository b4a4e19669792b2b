//! Which processes there are: children, descendants, and those that carry a marker in their environment, read from `/proc`.
//!
//! Not here: when they are ended (see [`super::child`] and [`super::leftovers`]).

use std::collections::{HashMap, HashSet};
use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal};

/// The environment variable that says which attempt a process belongs to: `<subtask id>/<lease>`.
pub const SUBTASK_VARIABLE: &str = "REGATTA_SUBTASK";

/// The environment variable that says which worker identity started a process.
pub const WORKER_VARIABLE: &str = "REGATTA_WORKER";

/// `NAME=value`, as it stands in a process's environment.
pub fn entry(name: &str, value: &str) -> Vec<u8> {
    format!("{name}={value}").into_bytes()
}

/// Every process that can be seen.
fn all() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Pid::from_raw).collect()
}

/// Whether the environment a process was started with holds this `NAME=value`. A process that is over, or another user's, has none.
pub fn carries(pid: Pid, entry: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == entry))
}

/// Every process whose environment holds this `NAME=value`.
pub fn marked(entry: &[u8]) -> Vec<Pid> {
    all().into_iter().filter(|pid| carries(*pid, entry)).collect()
}

/// A process's parent and whether it is a zombie, from `/proc/<pid>/stat`.
fn parent_and_zombie(pid: Pid) -> Option<(Pid, bool)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok().and_then(Pid::from_raw)?;
    Some((parent, state == "Z" || state == "X"))
}

/// Whether the process exists and is more than a zombie.
pub fn is_alive(pid: Pid) -> bool {
    match parent_and_zombie(pid) {
        Some((_, zombie)) => !zombie,
        // Process 1 has no parent; a process that is gone has no file.
        None => pid.is_init(),
    }
}

/// The direct children of a process, zombies among them.
pub fn children(of: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?))),
            // A kernel without CONFIG_PROC_CHILDREN: the long way.
            Err(_) => return descendants_where(&[of], |parent| parent == of),
        }
    }
    found
}

/// The children of these processes, their children, and so on; zombies are walked through but left out.
pub fn descendants(of: &[Pid]) -> Vec<Pid> {
    descendants_where(of, |_| true)
}

fn descendants_where(of: &[Pid], follow: impl Fn(Pid) -> bool) -> Vec<Pid> {
    let mut by_parent: HashMap<Pid, Vec<(Pid, bool)>> = HashMap::new();
    for pid in all() {
        if let Some((parent, zombie)) = parent_and_zombie(pid) {
            by_parent.entry(parent).or_default().push((pid, zombie));
        }
    }
    let mut seen: HashSet<Pid> = of.iter().copied().collect();
    let mut open: Vec<Pid> = of.to_vec();
    let mut found = Vec::new();
    while let Some(parent) = open.pop() {
        if !follow(parent) {
            continue;
        }
        for &(pid, zombie) in by_parent.get(&parent).into_iter().flatten() {
            if seen.insert(pid) {
                open.push(pid);
                if !zombie {
                    found.push(pid);
                }
            }
        }
    }
    found
}

/// Sends a signal to a process if it still carries the marker: the number cannot have gone to another process in between.
pub fn signal_marked(pid: Pid, signal: Signal, entry: &[u8]) {
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => {
            if carries(pid, entry) {
                // The process may just have ended: that is what we want.
                let _ = rustix::process::pidfd_send_signal(&handle, signal);
            }
        }
        Err(rustix::io::Errno::SRCH) => {}
        Err(_) => {
            if carries(pid, entry) {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sleeper(marker: &str) -> std::process::Child {
        Command::new("sleep").arg("600").env(SUBTASK_VARIABLE, marker).stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_marked_process_is_found_and_ended_and_others_are_left() {
        let ours = format!("{}/1", uuid::Uuid::now_v7());
        let other = format!("{}/1", uuid::Uuid::now_v7());
        let mut child = sleeper(&ours);
        let mut bystander = sleeper(&other);
        let pid = Pid::from_child(&child);
        let mark = entry(SUBTASK_VARIABLE, &ours);
        // Between fork and exec the environment is still ours.
        while marked(&mark).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(marked(&mark), [pid]);
        assert!(is_alive(pid));
        let own = rustix::process::getpid();
        assert!(children(own).contains(&pid));
        assert!(descendants(&[own]).contains(&pid));

        signal_marked(pid, Signal::KILL, &entry(SUBTASK_VARIABLE, &other));
        assert!(is_alive(pid), "the marker did not match");
        signal_marked(pid, Signal::KILL, &mark);
        child.wait().unwrap();
        assert!(!is_alive(pid));
        assert!(is_alive(Pid::from_child(&bystander)));
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        while is_alive(pid) {
            std::thread::yield_now();
        }
        assert!(!descendants(&[rustix::process::getpid()]).contains(&pid));
        child.wait().unwrap();
    }
}
