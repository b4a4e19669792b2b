//! The older agents' calls.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::json;

use crate::rig::{Rig, step};
use crate::show::Show;

#[tokio::test]
async fn an_older_agent_takes_runs_and_reports() {
    let rig = Rig::start().await;
    let mut show = Show::default();
    let mut shown = Vec::new();
    let worker = rig.worker("old", 1).await;
    let poll = format!("/api/v1/workers/{worker}/tasks");
    shown.push(("nothing to do", show.answer(&rig.get(&poll).await)));
    let task = rig.task(json!([step("One", &[]), step("Two", &["One"])])).await;
    let head = rig.send(rig.http.head(rig.url(&poll))).await;
    assert_eq!((head.status, head.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("GET")));
    let taken = rig.get(&poll).await;
    shown.push(("poll", show.answer(&taken)));
    let subtask = taken.text("subtask_id");
    let log = json!({"log_line": "one\u{0}", "log_level": "info"});
    shown.push(("log", show.answer(&rig.post(&format!("/api/v1/subtasks/{subtask}/logs"), log).await)));
    let result = json!({"success": true, "output": "seven", "metadata": {"model": "m"}});
    let unknown = "0193e3c8-7c00-7000-8000-000000000001";
    shown.push(("unknown subtask", show.answer(&rig.post(&format!("{poll}/{unknown}/result"), result.clone()).await)));
    shown.push(("result", show.answer(&rig.post(&format!("{poll}/{subtask}/result"), result).await)));
    shown.push(("stored", show.json(&rig.get(&format!("/api/v1/subtasks/{subtask}")).await.json()["output"])));
    shown.push(("allocate", show.answer(&rig.post(&format!("/api/v1/tasks/{task}/allocate"), json!({})).await)));
    let second = rig.get(&poll).await.text("subtask_id");
    shown.push(("allocate", show.answer(&rig.post(&format!("/api/v1/tasks/{task}/allocate"), json!({})).await)));
    let failed = json!({"success": false, "output": null, "error": "boom"});
    shown.push(("failure", show.answer(&rig.post(&format!("{poll}/{second}/result"), failed).await)));
    let shown: Vec<String> = shown.into_iter().map(|(what, answer)| format!("# {what}\n{answer}")).collect();
    assert_snapshot!("older_agents", shown.join("\n\n"));
}

#[tokio::test]
async fn an_older_agent_works_over_its_line_without_leases() {
    let rig = Rig::start().await;
    let (worker, mut line) = rig.line("old", 1).await;
    line.send(json!({"type": "status", "data": {"status": "idle", "resources": {"cpu_percent": 1}}})).await;
    line.send(json!({"type": "pong", "worker_id": worker})).await;
    rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    line.send(
        json!({"type": "log", "data": {"subtask_id": assignment["subtask_id"], "level": "info", "message": "at it"}}),
    )
    .await;
    line.send(json!({"type": "result", "data": {"subtask_id": assignment["subtask_id"], "status": "completed", "result": {"a": 1}}})).await;
    let ack = line.next_of("result_ack").await;
    assert_eq!(ack, json!({"type": "result_ack", "subtask_id": assignment["subtask_id"], "accepted": true}));
}
