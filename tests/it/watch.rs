//! Following a task: events in order, exit codes, Ctrl-C, a server that goes away and comes back.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Platform, Process, lines, until};

#[test]
fn events_as_json_are_complete_and_in_order() {
    let platform = Platform::up(&["--workers", "1"]);
    let id = platform.submit_shell("echo one; echo two >&2");
    let ran = platform.run(&["task", "watch", &id, "--json"]).ok();
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = events.iter().map(|event| event["_seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let logged: Vec<&str> = events
        .iter()
        .filter(|event| event["type"] == "log")
        .map(|event| event["data"]["message"].as_str().unwrap())
        .collect();
    assert!(logged.contains(&"one") && logged.contains(&"two"), "{logged:?}");
    assert!(events.iter().any(|event| event["type"] == "task_update" && event["data"]["status"] == "completed"));

    let log = platform.run(&["task", "logs", &id, "--json"]).ok();
    let kept: Vec<Value> = log.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), logged.len());
    assert_eq!(kept[0]["step"], "sh");
}

#[test]
fn a_failed_task_ends_with_1_and_says_why() {
    let platform = Platform::up(&["--workers", "1"]);
    // One attempt, so that no backoff is waited for.
    let request = platform.home.path("request.json");
    std::fs::write(
        &request,
        r#"{"description": "Fail with exit code 7", "task_type": "custom", "subtasks": [{"name": "Fail", "tool": "command",
            "max_attempts": 1, "input": {"argv": ["sh", "-c", "echo what a pity; exit 7"]}},
            {"name": "After", "tool": "command", "depends_on": ["Fail"], "input": {"argv": ["true"]}}]}"#,
    )
    .unwrap();
    let ran = platform.run(&["task", "submit", "--file", request.to_str().unwrap(), "--watch"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("what a pity") && ran.stdout.contains("exit code 7"), "{}", ran.stdout);
    assert!(ran.stdout.contains("0 of 2 steps completed"), "{}", ran.stdout);

    let waited = platform.run(&["task", "submit", "--file", request.to_str().unwrap(), "--wait", "--json"]);
    assert_eq!(waited.code, Some(1), "{waited:?}");
    assert_eq!(waited.json()["status"], "failed");
    // Watching what has ended shows it all again.
    let again = platform.run(&["task", "watch", "latest"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stdout.contains("what a pity"), "{}", again.stdout);
}

#[test]
fn ctrl_c_leaves_the_task_running() {
    let platform = Platform::up(&["--workers", "1"]);
    let id = platform.submit_shell("echo started; sleep 600");
    let command = platform.command(&["task", "watch", &id]);
    let mut watch = Process::start(command, platform.home.path("watch.log"));
    until("the watch to show the log", || watch.output().contains("| started").then_some(()));
    watch.signal(Signal::INT);
    assert_eq!(watch.wait().code(), Some(130), "{}", watch.output());
    assert!(watch.output().contains("the task goes on without you"), "{}", watch.output());
    assert_eq!(platform.task(&id)["status"], "in_progress");

    // Cancelled, it is over for who watches it.
    let command = platform.command(&["task", "watch", &id]);
    let mut watch = Process::start(command, platform.home.path("watch-2.log"));
    until("the second watch", || watch.output().contains("| started").then_some(()));
    platform.run(&["task", "cancel", &id, "--reason", "enough"]).ok();
    assert_eq!(watch.wait().code(), Some(1), "{}", watch.output());
    assert!(watch.output().contains("cancelled"), "{}", watch.output());
}

#[test]
fn a_watch_and_the_work_survive_a_restart_of_the_server() {
    let mut platform = Platform::serve();
    let _worker = platform.worker("w1");
    let marks = platform.home.path("marks");
    let go = platform.home.path("go");
    // It goes on when the server is back.
    let line = format!(
        "echo x >> {}; echo begun; until [ -e {} ]; do sleep 0.1; done; echo over",
        marks.display(),
        go.display()
    );
    let id = platform.submit_shell(&line);
    let command = platform.command(&["task", "watch", &id]);
    let mut watch = Process::start(command, platform.home.path("watch.log"));
    until("the watch to show the log", || watch.output().contains("| begun").then_some(()));

    let command = platform.command(&[
        "task",
        "submit",
        "--wait",
        "--",
        "sh",
        "-c",
        &format!("until [ -e {} ]; do sleep 0.1; done", go.display()),
    ]);
    let mut waits = Process::start(command, platform.home.path("wait.log"));
    until("the second task", || waits.output().contains("submitted").then_some(()));

    platform.process.kill();
    let address = platform.url.strip_prefix("http://").unwrap().to_owned();
    let Platform { home, .. } = platform;
    let platform = Platform::start(home, &["serve", "--listen", &address]);
    std::fs::write(&go, "").unwrap();
    assert_eq!(watch.wait().code(), Some(0), "{}", watch.output());
    assert_eq!(waits.wait().code(), Some(0), "{}", waits.output());
    // Each line once, over the restart.
    assert_eq!(watch.output().matches("| begun").count(), 1, "{}", watch.output());
    assert_eq!(watch.output().matches("| over").count(), 1, "{}", watch.output());
    // A server's rest does not restart what the worker still runs.
    assert_eq!(lines(&marks), 1);
    assert_eq!(platform.step(&id, "sh")["attempt"], 1);
}

#[test]
fn who_stops_reading_is_no_error() {
    let platform = Platform::serve();
    for _ in 0..3 {
        platform.submit(&["--no-start", "Wait for someone to start it"]);
    }
    for arguments in [&["completions", "bash"][..], &["task", "list", "--json"], &["--help"]] {
        let mut child = platform.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}
