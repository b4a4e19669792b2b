//! The worker as a process that is killed, signalled, started twice and flooded.

use rustix::process::Signal;
use serde_json::json;

use crate::bench::{Outside, until_no_processes};
use crate::server::Server;

const COMMAND: &str = "tools = [\"command\"]";
/// A tool with a grandchild in a session of its own; both ignore SIGTERM. Says "up" once they do.
const STUBBORN: &str =
    "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & while :; do sleep 1; done";

#[tokio::test]
async fn kill_9_ends_the_grandchildren_too() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut worker = Outside::start(&server, data.path(), COMMAND).await;
    server.nth("resume", 1).await;
    let given = server.assign("command", json!({"argv": ["sh", "-c", STUBBORN]}), |_| {});
    server.wait_for("log", |log| given.is(log)).await;
    assert!(worker.processes().len() >= 2);
    worker.signal(Signal::KILL);
    worker.wait().await;
    until_no_processes(&worker.machine_id).await;
}

#[tokio::test]
async fn what_a_killed_worker_and_its_killed_supervisor_left_is_ended_by_the_next_start() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut worker = Outside::start(&server, data.path(), COMMAND).await;
    server.nth("resume", 1).await;
    let given = server.assign("command", json!({"argv": ["sh", "-c", STUBBORN]}), |_| {});
    server.wait_for("log", |log| given.is(log)).await;
    // Its only child is the supervisor. A stopped worker cannot end what it sees orphaned.
    let supervisor = regatta_worker::supervisor::proc::children(worker.pid())[0];
    worker.signal(Signal::STOP);
    rustix::process::kill_process(supervisor, Signal::KILL).unwrap();
    worker.signal(Signal::KILL);
    worker.wait().await;
    let left = worker.processes();
    assert!(left.len() >= 2, "nobody ended them: {left:?}");
    let next = Outside::start(&server, data.path(), COMMAND).await;
    assert_eq!(next.machine_id, worker.machine_id);
    assert!(!next.processes().iter().any(|pid| left.contains(pid)), "they were ended before it registered");
}

#[tokio::test]
async fn a_finished_result_survives_kill_9() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    server.acknowledge(false);
    let mut worker = Outside::start(&server, data.path(), COMMAND).await;
    server.nth("resume", 1).await;
    let given = server.assign("command", json!({"argv": ["echo", "{\"made\": \"once\"}"]}), |_| {});
    server.wait_for("result", |result| given.is(result)).await;
    worker.signal(Signal::KILL);
    worker.wait().await;

    let mut next = Outside::start(&server, data.path(), COMMAND).await;
    assert_eq!(server.nth("register", 2).await["running"], json!([given.reference()]));
    assert_eq!(server.nth("resume", 2).await["running"], json!([given.reference()]));
    let again = server.nth("result", 2).await;
    assert!(given.is(&again));
    assert_eq!(again["data"]["result"], json!({"made": "once"}));
    let ack = json!({"type": "result_ack", "subtask_id": given.subtask, "lease": given.lease, "accepted": true});
    server.send(ack);
    // What comes after the answer shows that it was taken.
    let after = server.assign("command", json!({"argv": ["true"]}), |_| {});
    server.acknowledge(true);
    server.wait_for("result", |result| after.is(result)).await;
    next.signal(Signal::TERM);
    assert!(next.wait().await.success());

    let _third = Outside::start(&server, data.path(), COMMAND).await;
    assert_eq!(server.nth("register", 3).await["running"], json!([]), "nothing is left in the journal");
}

#[tokio::test]
async fn a_result_waits_for_a_server_of_its_system() {
    let system = uuid::Uuid::now_v7();
    let (first, second) = (Server::node_of(system).await, Server::node_of(system).await);
    let foreign = Server::node_of(uuid::Uuid::now_v7()).await;
    let data = tempfile::tempdir().unwrap();
    first.acknowledge(false);
    let mut worker = Outside::start(&first, data.path(), COMMAND).await;
    first.nth("resume", 1).await;
    let given = first.assign("command", json!({"argv": ["echo", "{\"made\": \"once\"}"]}), |_| {});
    first.wait_for("result", |result| given.is(result)).await;
    worker.signal(Signal::KILL);
    worker.wait().await;

    let mut elsewhere = Outside::start(&foreign, data.path(), COMMAND).await;
    assert_eq!(foreign.nth("resume", 1).await["running"], json!([]), "another system has no use for it");
    let other = foreign.assign("command", json!({"argv": ["true"]}), |_| {});
    foreign.wait_for("result", |result| other.is(result)).await;
    assert_eq!(foreign.all("result").len(), 1);
    elsewhere.signal(Signal::TERM);
    assert!(elsewhere.wait().await.success());

    let _back = Outside::start(&second, data.path(), COMMAND).await;
    assert_eq!(second.nth("resume", 1).await["running"], json!([given.reference()]));
    assert!(given.is(&second.nth("result", 1).await), "it is the same system at another address");
}

#[tokio::test]
async fn sigterm_drains_and_a_second_one_stops_at_once() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut worker = Outside::start(&server, data.path(), COMMAND).await;
    server.nth("resume", 1).await;
    let given = server.assign("command", json!({"argv": ["sh", "-c", STUBBORN]}), |_| {});
    server.wait_for("log", |log| given.is(log)).await;
    worker.signal(Signal::TERM);
    server.wait_for("heartbeat", |beat| beat["status"] == "offline").await;
    assert!(!worker.processes().is_empty(), "it has thirty seconds");
    worker.signal(Signal::TERM);
    assert!(worker.wait().await.success());
    assert!(worker.processes().is_empty());
    let rejected = server.wait_for("task_rejected", |rejected| given.is(rejected)).await;
    assert!(rejected["reason"].as_str().unwrap().starts_with("draining"));
    server.nth("unregister", 1).await;
}

#[tokio::test]
async fn a_second_process_with_the_same_identity_is_refused() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let worker = Outside::start(&server, data.path(), COMMAND).await;
    let second = Outside::spawn(&server, data.path(), COMMAND).wait_with_output().await.unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&format!("process {}", worker.pid())), "{said}");
    assert!(said.contains("--name"), "{said}");
    assert_eq!(server.all("register").len(), 1);
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_eat_no_memory_and_no_heartbeat() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let more = format!("{COMMAND}\nheartbeat_seconds = 0.1");
    let worker = Outside::start(&server, data.path(), &more).await;
    server.nth("resume", 1).await;
    // A server that does not read the line while it lasts.
    server.read(false);
    let script = "yes 0123456789012345678901234567890123456789 | head -c 100000000; echo last > done";
    let given = server.assign("command", json!({"argv": ["sh", "-c", script]}), |assignment| {
        assignment["input"]["cwd"] = data.path().display().to_string().into();
    });
    while !data.path().join("done").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let beats = server.all("heartbeat").len();
    server.nth("heartbeat", beats + 2).await;
    let peak = worker.peak_memory();
    assert!(peak < 64 << 10, "{peak} KiB");
    server.read(true);
    server.assign("command", json!({"argv": ["true"]}), |_| {});
    let result = server.wait_for("result", |result| given.is(result)).await;
    assert!(
        result["data"]["result"]["stdout"].as_str().unwrap().ends_with("6789\n0123456789012345"),
        "the end is kept"
    );
    let logs = server.all("log");
    assert!(logs.iter().any(|log| log["data"]["message"].as_str().unwrap().contains("log lines dropped")));
}
