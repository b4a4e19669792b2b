//! `/workers/{id}/ws`: the worker's line.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::rig::{Rig, soon, step};
use crate::show::Show;

#[tokio::test]
async fn every_frame_of_a_line() {
    let rig = Rig::start().await;
    let mut show = Show::default();
    let mut shown = Vec::new();
    let worker = rig.worker("w", 2).await;
    let mut line = rig.socket(&format!("/api/v1/workers/{worker}/ws")).await;
    shown.push(("first", show.json(&line.next().await)));
    line.send(json!({"type": "ping"})).await;
    shown.push(("ping", show.json(&line.next().await)));
    line.send(json!({"type": "resume", "running": []})).await;
    shown.push(("resume", show.json(&line.next().await)));
    let task = rig.task(json!([step("One", &[])])).await;
    let frame = line.next().await;
    let assignment = frame["data"].clone();
    shown.push(("assignment", show.json(&frame)));
    let about = json!({"subtask_id": assignment["subtask_id"], "lease": assignment["lease"]});
    let with = |more: Value| {
        let mut data = about.clone();
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    line.send(json!({"type": "ack", "subtask_id": assignment["subtask_id"], "lease": assignment["lease"]})).await;
    line.send(json!({"type": "log", "data": with(json!({"level": "info", "message": "at it"}))})).await;
    line.send(json!({"type": "progress", "data": with(json!({"progress": 50}))})).await;
    line.send(json!({"type": "status", "data": {"status": "online", "running": [about]}})).await;
    let stale = json!({"subtask_id": assignment["subtask_id"], "status": "completed", "lease": "x"});
    line.send(json!({"type": "result", "data": stale})).await;
    shown.push(("stale result", show.json(&line.next().await)));
    line.send(json!({"type": "resume", "running": [about, {"subtask_id": task, "lease": "nothing"}]})).await;
    shown.push(("resume with one that is none", show.json(&line.next().await)));
    line.send(json!({"type": "result", "data": with(json!({"status": "completed", "result": {"z": 1, "a": 2}}))}))
        .await;
    shown.push(("result", show.json(&line.next().await)));
    for (what, text) in [
        ("no json", "{"),
        ("no object", "[1]"),
        ("no type", "{}"),
        ("unknown type", r#"{"type": "dance"}"#),
        ("missing field", r#"{"type": "ack", "subtask_id": "0193e3c8-7c00-7000-8000-000000000001"}"#),
        (
            "wrong range",
            r#"{"type": "progress", "data": {"subtask_id": "0193e3c8-7c00-7000-8000-000000000001", "progress": 101}}"#,
        ),
        (
            "unknown subtask",
            r#"{"type": "log", "data": {"subtask_id": "0193e3c8-7c00-7000-8000-000000000001", "level": "info", "message": "m"}}"#,
        ),
        (
            "unknown subtask acknowledged",
            r#"{"type": "ack", "subtask_id": "0193e3c8-7c00-7000-8000-000000000001", "lease": "x"}"#,
        ),
        (
            "unknown subtask rejected",
            r#"{"type": "task_rejected", "subtask_id": "0193e3c8-7c00-7000-8000-000000000001", "reason": "r"}"#,
        ),
        (
            "unknown subtask's progress",
            r#"{"type": "progress", "data": {"subtask_id": "0193e3c8-7c00-7000-8000-000000000001", "progress": 1}}"#,
        ),
        (
            "unknown subtask's result",
            r#"{"type": "result", "data": {"subtask_id": "0193e3c8-7c00-7000-8000-000000000001", "status": "completed"}}"#,
        ),
    ] {
        line.send_text(text).await;
        shown.push((what, show.json(&line.next().await)));
    }
    let other = rig.task(json!([step("Two", &[])])).await;
    let second = line.assignment().await;
    rig.post(&format!("/api/v1/tasks/{other}/cancel"), json!({"reason": "changed my mind"})).await;
    shown.push(("cancel", show.json(&line.next().await)));
    let third = rig.task(json!([step("Three", &[])])).await;
    let assignment = line.assignment().await;
    line.send(json!({"type": "task_rejected", "subtask_id": assignment["subtask_id"], "reason": "no such tool"})).await;
    soon("a rejection", async {
        while rig.get(&format!("/api/v1/tasks/{third}/progress")).await.json()["subtasks"]["running"] != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let subtask = rig.get(&format!("/api/v1/subtasks/{}", assignment["subtask_id"].as_str().unwrap())).await.json();
    shown.push(("rejected", show.json(&subtask["attempts"])));
    assert_ne!(second["lease"], assignment["lease"]);
    let shown: Vec<String> = shown.into_iter().map(|(what, frame)| format!("# {what}\n{frame}")).collect();
    assert_snapshot!("line_frames", shown.join("\n\n"));
}

#[tokio::test]
async fn the_newest_line_wins_and_an_unregistered_worker_has_none() {
    let rig = Rig::start().await;
    let (worker, mut first) = rig.line("w", 1).await;
    let path = format!("/api/v1/workers/{worker}/ws");
    let mut second = rig.socket(&path).await;
    assert_eq!(second.next().await["type"], "connected");
    assert_eq!(first.closed().await, Some(4001));
    // A registration begins a session; the line of the one before is over.
    rig.worker("w", 1).await;
    assert_eq!(second.closed().await, Some(4001));
    let mut third = rig.socket(&path).await;
    assert_eq!(third.next().await["type"], "connected");
    rig.post(&format!("/api/v1/workers/{worker}/unregister"), json!({})).await.is(StatusCode::OK);
    assert_eq!(third.closed().await, Some(4002));
    match rig.try_socket(&path, &[]).await {
        Err((status, body)) => {
            assert_eq!((status, &body["type"]), (StatusCode::CONFLICT, &json!("/problems/conflict")))
        }
        Ok(_) => panic!("an unregistered worker has a line"),
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_answered_and_ends_the_line() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    // Under the limit of frames and over that of results: refused for good, the line goes on.
    rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    let ack = line.complete(&assignment, json!({"text": "x".repeat(2 * 1024 * 1024)})).await;
    assert_eq!(ack["accepted"], false);
    assert!(ack["detail"].as_str().unwrap().contains("1048576"), "{ack}");
    line.send_text(&format!("{{\"type\": \"ping\", \"x\": \"{}\"}}", "x".repeat(10 * 1024 * 1024))).await;
    let error = line.next_of("error").await;
    assert!(error["data"]["message"].as_str().unwrap().contains("10485760"), "{error}");
    assert_eq!(line.closed().await, Some(1009));
}

#[tokio::test]
async fn many_frames_are_worked_on_in_their_order() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    let task = rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    for n in 0..600 {
        line.send(json!({"type": "log", "data": {"subtask_id": assignment["subtask_id"], "lease": assignment["lease"],
            "level": "info", "message": n.to_string()}}))
            .await;
    }
    assert_eq!(line.complete(&assignment, json!({})).await["accepted"], true);
    let page = rig.get(&format!("/api/v1/tasks/{task}/logs?limit=1000")).await.json();
    let logs = page["logs"].as_array().unwrap();
    let messages: Vec<&str> = logs.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(logs.iter().all(|line| line.get("stale").is_none()), "a line came after the result that followed it");
}
