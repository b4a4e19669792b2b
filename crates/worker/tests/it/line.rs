//! The worker on its line: what it takes and refuses, what it reports, and what ends it.

use regatta_worker::runtime::RunError;
use serde_json::{Value, json};

use crate::bench::{Inside, options};
use crate::server::{Given, Server};

struct Table {
    server: Server,
    data: tempfile::TempDir,
}

impl Table {
    async fn new() -> Self {
        Self { server: Server::start().await, data: tempfile::tempdir().unwrap() }
    }

    async fn worker(&self, tools: &[&str]) -> Inside {
        self.worker_with(tools, |_| {}).await
    }

    async fn worker_with(&self, tools: &[&str], change: impl FnOnce(&mut regatta_worker::Options)) -> Inside {
        let lines = self.server.all("resume").len();
        let mut options = options(&self.server, self.data.path(), tools);
        change(&mut options);
        let worker = Inside::start(options);
        self.server.nth("resume", lines + 1).await;
        worker
    }

    fn simulate(&self, duration_ms: u64) -> Given {
        self.server.assign("simulate", json!({"duration_ms": duration_ms}), |_| {})
    }

    fn shell(&self, script: &str, change: impl FnOnce(&mut Value)) -> Given {
        self.server.assign("command", json!({"argv": ["sh", "-c", script]}), change)
    }

    async fn of(&self, kind: &str, given: &Given) -> Value {
        self.server.wait_for(kind, |body| given.is(body)).await
    }
}

#[tokio::test]
async fn it_registers_as_told_and_runs_what_it_is_given() {
    let table = Table::new().await;
    let worker = table
        .worker_with(&["command", "simulate:claude_code"], |options| {
            options.labels.insert("gpu".into(), "a100".into());
            options.reserved = true;
            options.local_tools = vec!["claude_code".into()];
        })
        .await;
    let register = table.server.nth("register", 1).await;
    assert_eq!(register["machine_name"], "w");
    assert_eq!(register["tools"], json!(["command", "claude_code"]));
    assert_eq!(register["labels"], json!({"gpu": "a100"}));
    assert_eq!((&register["slots"], &register["reserved"]), (&json!(4), &json!(true)));
    assert_eq!(register["local_tools"], json!(["claude_code"]));
    assert_eq!(register["running"], json!([]));
    assert_eq!(register["system_info"]["simulated_tools"], json!(["claude_code"]));
    assert_eq!(table.server.nth("resume", 1).await["running"], json!([]));
    let beat = table.server.nth("heartbeat", 1).await;
    assert_eq!((&beat["status"], &beat["running"]), (&json!("online"), &json!([])));
    assert!(beat["resources"]["memory_percent"].as_f64().unwrap() > 0.0);

    let given = table.shell("echo one; echo two >&2; echo '{\"words\": 7}'", |_| {});
    table.of("ack", &given).await;
    let result = table.of("result", &given).await["data"].clone();
    assert_eq!(result["status"], "completed");
    assert_eq!(result["result"], json!({"words": 7}));
    assert_eq!((&result["exit_code"], &result["simulated"]), (&json!(0), &json!(false)));
    assert!(result["execution_time"].as_f64().unwrap() > 0.0);
    let logs = table.server.all("log");
    let mut lines: Vec<_> = logs
        .iter()
        .map(|log| (log["data"]["level"].as_str().unwrap(), log["data"]["message"].as_str().unwrap()))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [("info", "one"), ("info", "{\"words\": 7}"), ("warning", "two")]);
    assert!(logs.iter().all(|log| given.is(log)));
    // Watchers see all of the log before the end.
    let kinds = table.server.kinds();
    let last_log = kinds.iter().rposition(|kind| kind == "log").unwrap();
    assert!(last_log < kinds.iter().position(|kind| kind == "result").unwrap());

    let pretended = table.server.assign("claude_code", json!({"duration_ms": 0}), |_| {});
    assert_eq!(table.of("result", &pretended).await["data"]["simulated"], true);
    worker.handle.until(|status| status.undelivered == 0 && status.running.is_empty()).await;
    worker.stop().await.unwrap();
    table.server.nth("unregister", 1).await;
}

#[tokio::test]
async fn it_goes_on_at_the_next_server_with_what_it_runs() {
    let first = Table::new().await;
    let second = Server::start().await;
    let both = format!("{},{}", first.server.url(), second.url());
    let worker = first.worker_with(&["command"], |options| options.server = both).await;
    let given = first.shell("sleep 0.5; echo '{\"n\": 1}'", |_| {});
    first.of("ack", &given).await;
    first.server.cut();
    drop(first.server);
    assert_eq!(second.nth("resume", 1).await["running"], json!([given.reference()]), "it did not begin again");
    let result = second.wait_for("result", |result| given.is(result)).await;
    assert_eq!(result["data"]["result"], json!({"n": 1}));
    second.wait_for("heartbeat", |beat| beat["running"] == json!([])).await;
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn what_it_cannot_run_goes_back_with_the_reason() {
    let table = Table::new().await;
    let worker = table.worker_with(&["simulate"], |options| options.slots = 1).await;
    let foreign = table.server.assign("command", json!({"argv": ["rm", "-rf", "/"]}), |_| {});
    let rejected = table.of("task_rejected", &foreign).await;
    assert_eq!(rejected["reason"], "this worker does not offer command; its owner offers simulate");

    let runs = table.simulate(3_600_000);
    table.of("ack", &runs).await;
    let surplus = table.simulate(0);
    assert_eq!(table.of("task_rejected", &surplus).await["reason"], "full: all 1 slots are taken");
    let busy = table.server.wait_for("heartbeat", |beat| beat["status"] == "busy").await;
    assert_eq!(busy["running"], json!([runs.reference()]));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn an_assignment_that_comes_twice_runs_once() {
    let table = Table::new().await;
    let worker = table.worker(&["command"]).await;
    let mark = table.data.path().join("runs");
    let script = format!("echo run >> {}; sleep 0.3", mark.display());
    let given = table.shell(&script, |_| {});
    table.of("ack", &given).await;
    let again = |data: &mut Value| {
        data["subtask_id"] = given.subtask.clone().into();
        data["lease"] = given.lease.clone().into();
    };
    table.shell(&script, again);
    table.server.nth("ack", 2).await;
    table.of("result", &given).await;
    worker.handle.until(|status| status.undelivered == 0).await;
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "run\n");
    assert_eq!(table.server.all("result").len(), 1);

    // The same subtask under a new lease, while the old attempt still runs: that one is ended first.
    let old = table.shell("sleep 600", |_| {});
    table.of("ack", &old).await;
    let new = table.shell("exit 0", |data| data["subtask_id"] = old.subtask.clone().into());
    let new = Given { subtask: old.subtask.clone(), ..new };
    let reason = table.of("task_rejected", &new).await;
    assert_eq!(reason["reason"], "an earlier attempt is still being ended here");
    worker.handle.until(|status| status.running.is_empty()).await;
    assert!(!table.server.all("result").iter().any(|result| old.is(result)));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn slots_run_beside_each_other() {
    let table = Table::new().await;
    let worker = table.worker(&["command"]).await;
    let folder = table.data.path().display();
    // Each waits for the other two: one after the other they would never end.
    let script = |me: u32| {
        format!(
            "touch {folder}/{me}; while [ ! -e {folder}/1 ] || [ ! -e {folder}/2 ] || [ ! -e {folder}/3 ]; do sleep 0.01; done"
        )
    };
    let given: Vec<Given> = (1..=3).map(|me| table.shell(&script(me), |_| {})).collect();
    for one in &given {
        assert_eq!(table.of("result", one).await["data"]["status"], "completed");
    }
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancel_ends_the_process_and_nothing_is_reported() {
    let table = Table::new().await;
    let worker = table.worker(&["command"]).await;
    let given = table.shell("echo $$; sleep 600", |_| {});
    let log = table.of("log", &given).await;
    let process = format!("/proc/{}", log["data"]["message"].as_str().unwrap());
    assert!(std::path::Path::new(&process).exists());
    table.server.send(json!({"type": "task_cancel", "data": {"subtask_id": given.subtask, "reason": "by a caller"}}));
    worker.handle.until(|status| status.running.is_empty()).await;
    assert!(!std::path::Path::new(&process).exists());
    assert_eq!(table.server.all("result"), Vec::<Value>::new());
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_fails_as_timed_out() {
    let table = Table::new().await;
    let worker = table.worker(&["command", "simulate"]).await;
    let process = table.shell("sleep 600", |data| data["timeout_seconds"] = 1.into());
    let timer =
        table.server.assign("simulate", json!({"duration_ms": 600_000}), |data| data["timeout_seconds"] = 1.into());
    for given in [process, timer] {
        let result = table.of("result", &given).await["data"].clone();
        assert_eq!((&result["status"], &result["error"]), (&json!("failed"), &json!("timed out after 1 s")));
    }
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn close_codes_4001_and_4002_end_it_and_its_processes() {
    for (code, expected) in [(4001, RunError::Superseded), (4002, RunError::Unregistered)] {
        let table = Table::new().await;
        let worker = table.worker(&["command"]).await;
        let given = table.shell("echo $$; sleep 600", |_| {});
        let log = table.of("log", &given).await;
        table.server.close(code);
        let error = worker.end().await.unwrap_err();
        assert_eq!(error, expected);
        assert!(error.to_string().contains(&code.to_string()), "{error}");
        assert!(!std::path::Path::new(&format!("/proc/{}", log["data"]["message"].as_str().unwrap())).exists());
        assert_eq!(table.server.all("line").len(), 1, "it does not connect again");
    }
}

#[tokio::test]
async fn a_broken_line_is_resumed_with_what_runs_and_what_is_dropped_stops() {
    let table = Table::new().await;
    let worker = table.worker(&["command"]).await;
    let given = table.shell("echo up; while [ ! -e go ]; do sleep 0.01; done; echo done; echo '{\"ok\":1}'", |data| {
        data["input"]["cwd"] = table.data.path().display().to_string().into();
    });
    table.of("log", &given).await;
    table.server.close(1012);
    let resume = table.server.nth("resume", 2).await;
    assert_eq!(resume["running"], json!([given.reference()]));
    table.server.cut();
    table.server.nth("resume", 3).await;
    std::fs::write(table.data.path().join("go"), "").unwrap();
    assert_eq!(table.of("result", &given).await["data"]["result"], json!({"ok": 1}));
    assert_eq!(table.server.all("register").len(), 1);

    let lost = table.shell("echo lost; sleep 600", |_| {});
    table.of("log", &lost).await;
    table.server.keep(false);
    table.server.cut();
    worker.handle.until(|status| status.running.is_empty()).await;
    assert!(!table.server.all("result").iter().any(|result| lost.is(result)));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn what_happens_without_a_line_is_told_over_the_next() {
    let table = Table::new().await;
    let worker = table.worker(&["command"]).await;
    table.server.acknowledge(false);
    let given = table.shell("echo before; while [ ! -e go ]; do sleep 0.01; done; echo after", |data| {
        data["input"]["cwd"] = table.data.path().display().to_string().into();
    });
    table.of("log", &given).await;
    std::fs::write(table.data.path().join("go"), "").unwrap();
    table.of("result", &given).await;
    // Not acknowledged: told again, and among what runs until it is.
    table.server.cut();
    let resume = table.server.nth("resume", 2).await;
    assert_eq!(resume["running"], json!([given.reference()]));
    table.server.nth("result", 2).await;
    let beats = table.server.all("heartbeat").len();
    let beat = table.server.nth("heartbeat", beats + 1).await;
    assert_eq!(beat["running"], json!([given.reference()]));
    table.server.send(json!({"type": "result_ack", "subtask_id": given.subtask, "lease": given.lease, "accepted": false, "detail": "too late"}));
    worker.handle.until(|status| status.undelivered == 0).await;
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_result_that_is_never_answered_goes_over_http_in_the_end() {
    let table = Table::new().await;
    let worker = table.worker(&["simulate"]).await;
    table.server.acknowledge(false);
    table.server.answer_results(409);
    let given = table.simulate(0);
    // Twice over the line, ten seconds apart, then where a refusal is an answer.
    table.server.nth("result", 2).await;
    let result = table.server.nth("http result", 1).await;
    assert_eq!(result["lease"], given.lease.as_str());
    worker.handle.until(|status| status.undelivered == 0).await;
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_forgot_the_worker_is_registered_with_again() {
    let table = Table::new().await;
    let worker = table.worker(&["simulate"]).await;
    let given = table.simulate(3_600_000);
    table.of("ack", &given).await;
    table.server.answer_heartbeats(404);
    let register = table.server.nth("register", 2).await;
    table.server.answer_heartbeats(200);
    assert_eq!(register["running"], json!([given.reference()]));
    assert_eq!(register["machine_id"], table.server.nth("register", 1).await["machine_id"]);
    table.server.nth("resume", 2).await;
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn draining_waits_for_what_runs_and_takes_nothing_new() {
    let table = Table::new().await;
    let worker = table.worker(&["command", "simulate"]).await;
    let runs = table.shell("echo up; while [ ! -e go ]; do sleep 0.01; done", |data| {
        data["input"]["cwd"] = table.data.path().display().to_string().into();
    });
    table.of("log", &runs).await;
    worker.handle.drain();
    table.server.wait_for("heartbeat", |beat| beat["status"] == "offline").await;
    let late = table.simulate(0);
    let rejected = table.of("task_rejected", &late).await;
    assert!(rejected["reason"].as_str().unwrap().starts_with("draining"));
    std::fs::write(table.data.path().join("go"), "").unwrap();
    assert_eq!(table.of("result", &runs).await["data"]["status"], "completed");
    worker.end().await.unwrap();
    let kinds = table.server.kinds();
    let place = |kind: &str| kinds.iter().position(|of| of == kind).unwrap();
    assert!(place("close") < place("unregister"), "the line is closed in order first: {kinds:?}");
}

#[tokio::test]
async fn draining_gives_back_what_does_not_end_in_time() {
    let table = Table::new().await;
    let worker = table.worker_with(&["command"], |options| options.drain_seconds = 0.1).await;
    let given = table.shell("echo $$; sleep 600", |_| {});
    let log = table.of("log", &given).await;
    worker.handle.drain();
    worker.end().await.unwrap();
    let rejected = table.of("task_rejected", &given).await;
    assert!(rejected["reason"].as_str().unwrap().starts_with("draining"));
    assert!(!std::path::Path::new(&format!("/proc/{}", log["data"]["message"].as_str().unwrap())).exists());
    assert_eq!(table.server.all("result"), Vec::<Value>::new());
    assert_eq!(table.server.all("unregister").len(), 1);
}
