//! `/workers`.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::json;

use crate::rig::{Rig, step};
use crate::show::Show;

#[tokio::test]
async fn every_answer_about_a_worker() {
    let rig = Rig::start().await;
    let mut show = Show::default();
    let mut shown = Vec::new();
    let body = json!({"machine_id": "m-1", "machine_name": "Atlas", "system_info": {"os": "linux", "cores": 8}, "tools": ["command"],
        "labels": {"gpu": "a100"}, "slots": 2, "reserved": null, "local_tools": ["my_model"], "agent_version": "0.9"});
    let registered = rig.post("/api/v1/workers/register", body.clone()).await;
    let path = format!("/api/v1/workers/{}", registered.text("worker_id"));
    shown.push(("register", show.answer(&registered)));
    shown.push(("register again", show.answer(&rig.post("/api/v1/workers/register", body).await)));
    let beat = json!({"status": "idle", "resources": {"cpu_percent": 12.5, "memory_percent": 40, "disk_percent": null, "gpu": 3, "x": "y"},
        "current_task": "building", "running": []});
    shown.push(("heartbeat", show.answer(&rig.post(&format!("{path}/heartbeat"), beat).await)));
    let task = rig.task(json!([step("One", &[])])).await;
    shown.push(("poll", show.answer(&rig.post(&format!("{path}/poll"), json!({"slots": 1})).await)));
    shown.push(("poll again", show.answer(&rig.post(&format!("{path}/poll"), json!({"slots": 1})).await)));
    shown.push(("get", show.answer(&rig.get(&path).await)));
    shown.push(("list", show.answer(&rig.get("/api/v1/workers?status=idle&tool=command&label=gpu=a100").await)));
    shown.push(("list of others", show.answer(&rig.get("/api/v1/workers?status=online").await)));
    shown.push(("drain", show.answer(&rig.post(&format!("{path}/drain"), json!({})).await)));
    shown.push(("undrain", show.answer(&rig.post(&format!("{path}/undrain"), json!({})).await)));
    shown.push(("delete too early", show.answer(&rig.delete(&path).await)));
    shown.push(("unregister", show.answer(&rig.post(&format!("{path}/unregister"), json!({})).await)));
    shown.push(("poll too late", show.answer(&rig.post(&format!("{path}/poll"), json!({"slots": 1})).await)));
    shown.push(("its task", show.json(&rig.get(&format!("/api/v1/tasks/{task}/progress")).await.json())));
    shown.push(("delete", show.answer(&rig.delete(&path).await)));
    shown.push(("gone", show.answer(&rig.get(&path).await)));
    let shown: Vec<String> = shown.into_iter().map(|(what, answer)| format!("# {what}\n{answer}")).collect();
    assert_snapshot!("worker_answers", shown.join("\n\n"));
}

#[tokio::test]
async fn a_worker_is_taken_off_the_list_only_when_offline() {
    let rig = Rig::start().await;
    let worker = rig.worker("w", 1).await;
    let path = format!("/api/v1/workers/{worker}");
    rig.delete(&path).await.is(StatusCode::CONFLICT);
    rig.post(&format!("{path}/unregister"), json!({})).await.is(StatusCode::OK);
    let beat = json!({"status": "online", "resources": {}});
    rig.post(&format!("{path}/heartbeat"), beat).await.is(StatusCode::CONFLICT);
    assert_eq!(rig.get(&path).await.json()["status"], "offline");
    rig.delete(&path).await.is(StatusCode::NO_CONTENT);
    rig.get(&path).await.is(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_limits_of_a_registration_are_named() {
    let rig = Rig::start().await;
    let body = json!({"machine_id": "", "machine_name": "é".repeat(101), "slots": 1025, "system_info": {}});
    assert_eq!(rig.post("/api/v1/workers/register", body).await.fields(), ["machine_id", "machine_name", "slots"]);
    assert_eq!(rig.engine.stats().await.unwrap().slots, 0);
}
