//! `/ws`: everything that happens, by topic.

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::rig::{Rig, soon, step};
use crate::show::Show;

#[tokio::test]
async fn every_frame_of_the_watchers() {
    let rig = Rig::start().await;
    let mut show = Show::default();
    let mut shown = Vec::new();
    let mut socket = rig.socket("/api/v1/ws").await;
    for action in [
        json!({"action": "subscribe", "type": "workers"}),
        json!({"action": "ping"}),
        json!({"action": "subscribe", "type": "task"}),
        json!({"action": "subscribe", "type": "tasks", "from_seq": 1}),
        json!({"action": "subscribe", "type": "weather"}),
        json!({"action": "subscribe", "type": "worker", "worker_id": "0193e3c8-7c00-7000-8000-000000000000"}),
        json!({"type": "tasks"}),
    ] {
        socket.send(action.clone()).await;
        shown.push(format!("{}\n{}", show.json(&action), show.json(&socket.next().await)));
    }
    let worker = rig.worker("w", 1).await;
    shown.push(format!("# registered\n{}", show.json(&socket.next().await)));
    rig.post(&format!("/api/v1/workers/{worker}/unregister"), json!({})).await;
    shown.push(format!("# unregistered\n{}", show.json(&socket.next().await)));
    rig.delete(&format!("/api/v1/workers/{worker}")).await;
    shown.push(format!("# removed\n{}", show.json(&socket.next().await)));
    socket.send(json!({"action": "unsubscribe", "type": "workers"})).await;
    shown.push(show.json(&socket.next().await));
    assert_snapshot!("watch_frames", shown.join("\n\n"));
}

#[tokio::test]
async fn a_task_is_watched_from_any_number_and_the_list_sees_only_tasks() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    let mut lists = rig.socket("/api/v1/ws").await;
    lists.send(json!({"action": "subscribe", "type": "tasks"})).await;
    assert_eq!(lists.next().await["type"], "subscribed");
    let task = rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    let mut one = rig.socket("/api/v1/ws").await;
    one.send(json!({"action": "subscribe", "type": "task", "task_id": task, "from_seq": 1})).await;
    one.send(json!({"action": "subscribe", "type": "tasks"})).await;
    line.send(json!({"type": "log", "data": {"subtask_id": assignment["subtask_id"], "lease": assignment["lease"], "level": "info",
        "message": "at it"}}))
        .await;
    line.complete(&assignment, json!({})).await;

    let events =
        rig.get(&format!("/api/v1/tasks/{task}/events?limit=1000")).await.json()["events"].as_array().unwrap().clone();
    let mut seen: Vec<Value> = Vec::new();
    while seen.len() < events.len() {
        let frame = one.next().await;
        if frame["type"] != "subscribed" {
            seen.push(frame);
        }
    }
    assert_eq!(seen, events);
    let updates: Vec<Value> = events.iter().filter(|event| event["type"] == "task_update").cloned().collect();
    for update in &updates {
        let mut live = lists.next().await;
        // Only who is told at once is told what it waits for.
        live["data"].as_object_mut().unwrap().remove("waiting_for");
        assert_eq!(&live, update);
    }
    assert_eq!(updates.last().unwrap()["data"]["status"], "completed");
}

#[tokio::test]
async fn frames_say_what_a_row_waits_for() {
    let rig = Rig::start().await;
    let mut lists = rig.socket("/api/v1/ws").await;
    lists.send(json!({"action": "subscribe", "type": "tasks"})).await;
    assert_eq!(lists.next().await["type"], "subscribed");
    let steps = json!([step("One", &[]), {"name": "Two", "depends_on": ["One"], "tool": "none_has_it"}]);
    let body = json!({"description": "Count the words", "subtasks": steps, "start": false});
    let task = rig.post("/api/v1/tasks", body).await.text("task_id");
    let pending = lists.next_of("task_update").await["data"].clone();
    assert_eq!(pending, rig.get("/api/v1/tasks").await.json()["tasks"][0]);
    assert!(pending["waiting_for"].as_str().unwrap().contains("/decompose"), "{pending}");

    rig.post(&format!("/api/v1/tasks/{task}/decompose"), json!({})).await.is(StatusCode::OK);
    let planned = lists.next_of("task_update").await["data"].clone();
    assert!(planned["waiting_for"].as_str().unwrap().contains("no online worker offers command"), "{planned}");
    assert_eq!(planned, rig.get("/api/v1/tasks").await.json()["tasks"][0]);

    lists.send(json!({"action": "subscribe", "type": "task", "task_id": task})).await;
    let (_, mut line) = rig.line("w", 1).await;
    let assignment = line.assignment().await;
    line.complete(&assignment, json!({})).await;
    let (mut of_task, mut of_subtask) = (Value::Null, Value::Null);
    while of_task["progress"] != 50 || of_subtask["status"] != "queued" {
        let frame = lists.next().await;
        match frame["type"].as_str().unwrap() {
            "task_update" => of_task = frame["data"].clone(),
            "subtask_update" => of_subtask = frame["data"].clone(),
            _ => {}
        }
    }
    let mut row = rig.get(&format!("/api/v1/tasks/{task}")).await.json()["subtasks"][1].clone();
    row["task_id"] = json!(task);
    assert_eq!(of_subtask, row);
    assert!(
        of_subtask["waiting_for"].as_str().unwrap().contains("no online worker offers none_has_it"),
        "{of_subtask}"
    );
    assert_eq!(of_task["waiting_for"], of_subtask["waiting_for"]);
    assert_eq!(of_task, rig.get("/api/v1/tasks").await.json()["tasks"][0]);
}

#[tokio::test]
async fn who_is_too_slow_is_told_and_goes_on_from_the_newest() {
    let options = regatta_server::Options {
        limits: regatta_server::Limits { socket_queue: 4, ..Default::default() },
        ..Default::default()
    };
    let rig = Rig::with(options, Default::default()).await;
    let mut slow = rig.socket("/api/v1/ws").await;
    slow.send(json!({"action": "subscribe", "type": "tasks"})).await;
    assert_eq!(slow.next().await["type"], "subscribed");
    // It does not read; what it is sent fills the buffers of the connection, then its queue.
    let description = "é".repeat(200);
    let batch: Vec<Value> = (0..500).map(|_| json!({"description": description, "start": false})).collect();
    for _ in 0..60 {
        rig.post("/api/v1/tasks/batch", json!({"tasks": batch})).await.is(http::StatusCode::CREATED);
    }
    let lagged = soon("a lag", slow.next_of("lagged")).await;
    assert!(lagged["missed"].as_u64().unwrap() > 0, "{lagged}");
    assert_eq!(slow.next().await, json!({"type": "resync"}));
    slow.send(json!({"action": "ping"})).await;
    slow.next_of("pong").await;
}

#[tokio::test]
async fn a_goodbye_is_answered_and_a_ping_too() {
    let rig = Rig::start().await;
    let task = rig.task(json!([step("One", &[])])).await;
    let worker = rig.worker("w", 1).await;
    for path in
        ["/api/v1/ws".to_owned(), format!("/api/v1/ws/tasks/{task}/logs"), format!("/api/v1/workers/{worker}/ws")]
    {
        let mut socket = rig.socket(&path).await;
        soon("a ping", socket.inner.send(Message::Ping("p".into()))).await.unwrap();
        loop {
            match soon("a pong", socket.inner.next()).await {
                Some(Ok(Message::Pong(payload))) => break assert_eq!(payload, "p"),
                Some(Ok(_)) => {}
                other => panic!("{path}: {other:?}"),
            }
        }
        soon("a binary frame", socket.inner.send(Message::binary(vec![1]))).await.unwrap();
        let error = socket.next_of("error").await;
        assert!(error["data"]["message"].as_str().unwrap().contains("text frames"), "{error}");
        soon("a goodbye", socket.inner.send(Message::Close(None))).await.unwrap();
        loop {
            match soon("its answer", socket.inner.next()).await {
                Some(Ok(Message::Close(_))) => break,
                Some(Ok(_)) => {}
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}
