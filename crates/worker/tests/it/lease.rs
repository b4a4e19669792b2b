//! Leases: renewed as long as heartbeats are answered, and otherwise the process is ended while the lease still holds.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::{Inside, Outside, options};
use crate::server::Server;

#[tokio::test]
async fn answered_heartbeats_keep_a_short_lease_alive() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut options = options(&server, data.path(), &["command"]);
    // A third of the lease, worked out by the worker.
    options.heartbeat_seconds = None;
    let worker = Inside::start(options);
    server.nth("resume", 1).await;
    let given = server.assign("command", json!({"argv": ["sh", "-c", "sleep 3; echo '{\"ok\":1}'"]}), |data| {
        data["lease_seconds"] = 1.into();
    });
    let result = server.wait_for("result", |result| given.is(result)).await;
    assert_eq!(result["data"]["result"], json!({"ok": 1}));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_ends_the_process_and_nothing_is_reported() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let worker = Inside::start(options(&server, data.path(), &["command"]));
    server.nth("resume", 1).await;
    let script = "trap '' TERM; echo $$; while :; do sleep 0.1; done";
    let given = server.assign("command", json!({"argv": ["sh", "-c", script]}), |data| {
        data["lease_seconds"] = 4.into();
    });
    let log = server.wait_for("log", |log| given.is(log)).await;
    let process = format!("/proc/{}", log["data"]["message"].as_str().unwrap());
    server.answer_heartbeats(500);
    let renewals = server.all("heartbeat").len();
    while std::path::Path::new(&process).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.handle.until(|status| status.running.is_empty()).await;
    assert!(server.all("heartbeat").len() > renewals, "it went on trying");
    assert_eq!(server.all("result"), Vec::<Value>::new());
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_stands_still_loses_its_process_to_the_supervisor() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let worker = Outside::start(&server, data.path(), "tools = [\"command\"]").await;
    server.nth("resume", 1).await;
    let script = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let given = server.assign("command", json!({"argv": ["sh", "-c", script]}), |data| {
        data["lease_seconds"] = 2.into();
    });
    server.wait_for("log", |log| given.is(log)).await;
    assert!(!worker.processes().is_empty());
    worker.signal(Signal::STOP);
    crate::bench::until_no_processes(&worker.machine_id).await;
    worker.signal(Signal::CONT);
}

#[tokio::test]
async fn an_assignment_that_is_read_late_is_refused() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let worker = Outside::start(&server, data.path(), "tools = [\"command\"]").await;
    server.nth("resume", 1).await;
    worker.signal(Signal::STOP);
    let mark = data.path().join("ran");
    let given = server.assign("command", json!({"argv": ["touch", mark.display().to_string()]}), |data| {
        data["lease_seconds"] = 2.into();
    });
    // Longer than the lease, and than a pause that is no standstill.
    tokio::time::sleep(Duration::from_secs(4)).await;
    worker.signal(Signal::CONT);
    let rejected = server.wait_for("task_rejected", |rejected| given.is(rejected)).await;
    assert!(rejected["reason"].as_str().unwrap().contains("too late"));
    assert!(!mark.exists());
}
