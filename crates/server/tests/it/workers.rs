//! `/workers`.

use http::StatusCode;
use serde_json::json;

use crate::rig::Rig;

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
    let answer = rig
        .post("/api/v1/workers/register", json!({"machine_id": "", "machine_name": "é".repeat(101), "slots": 1025}))
        .await;
    assert_eq!(answer.fields(), ["system_info"]);
    let body = json!({"machine_id": "", "machine_name": "é".repeat(101), "slots": 1025, "system_info": {}});
    assert_eq!(rig.post("/api/v1/workers/register", body).await.fields(), ["machine_id", "machine_name", "slots"]);
    assert_eq!(rig.engine.stats().await.unwrap().slots, 0);
}
