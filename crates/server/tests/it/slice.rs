//! The thin slice: submit, lease over the line, result, task completed.

use http::StatusCode;
use serde_json::json;

use crate::rig::{Rig, step};

#[tokio::test]
async fn a_task_goes_the_whole_way_over_a_line() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    let task = rig.task(json!([step("Split", &[]), step("Merge", &["Split"])])).await;

    let first = line.assignment().await;
    assert_eq!((&first["name"], &first["task_id"], &first["context"]), (&json!("Split"), &json!(task), &json!({})));
    assert_eq!(line.complete(&first, json!({"parts": 2})).await["accepted"], true);
    let second = line.assignment().await;
    assert_eq!(second["context"], json!({"Split": {"parts": 2}}));
    assert_eq!(line.complete(&second, json!({"words": 7})).await["accepted"], true);

    let ended = rig.get(&format!("/api/v1/tasks/{task}?wait_seconds=60")).await;
    ended.is(StatusCode::OK);
    assert_eq!((&ended.json()["status"], &ended.json()["progress"]), (&json!("completed"), &json!(100)));
    let subtask = rig.get(&format!("/api/v1/subtasks/{}", second["subtask_id"].as_str().unwrap())).await;
    assert_eq!(subtask.json()["output"], json!({"words": 7}));
}

#[tokio::test]
async fn a_worker_without_a_socket_polls() {
    let rig = Rig::start().await;
    let worker = rig.worker("w", 2).await;
    let task = rig.task(json!([step("One", &[])])).await;
    let polled = rig.post(&format!("/api/v1/workers/{worker}/poll"), json!({"slots": 2, "wait_seconds": 60})).await;
    let assignment = polled.is(StatusCode::OK).json()["assignments"][0].clone();
    let subtask = assignment["subtask_id"].as_str().unwrap();
    let reported = rig
        .post(
            &format!("/api/v1/subtasks/{subtask}/result"),
            json!({"status": "completed", "result": {"ok": 1}, "lease": assignment["lease"]}),
        )
        .await;
    assert_eq!(reported.is(StatusCode::OK).json()["progress"], 100);
    assert_eq!(rig.get(&format!("/api/v1/tasks/{task}/progress")).await.json()["status"], "completed");
}
