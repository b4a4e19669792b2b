//! Bad input: a clear error each, and nothing changed.

use futures_util::stream;
use http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::rig::{Rig, soon, step};
use crate::show::Show;

/// What is sent as a task's body, and the fields that must be named.
#[tokio::test]
async fn bodies_that_do_not_fit() {
    let rig = Rig::start().await;
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let task = |fields: &str| format!(r#"{{"description": "Count the words"{fields}}}"#);
    let many: Vec<Value> = (0..30).map(|_| json!({"name": "", "complexity": 0})).collect();
    let table: Vec<(Vec<u8>, &[&str])> = vec![
        (b"".to_vec(), &["body"]),
        (b"{".to_vec(), &["body"]),
        (b"[]".to_vec(), &["body"]),
        (b"\"text\"".to_vec(), &["body"]),
        (b"{\"priority\": \"low\"} x".to_vec(), &["body"]),
        (task(r#"} {"#).into_bytes(), &["body"]),
        (task(r#", "subtasks": [["One"]]"#).into_bytes(), &["subtasks[0]"]),
        (b"{\"description\": \"\xff\xfe\"}".to_vec(), &["body"]),
        (b"{\"description\": \"Count \xed\xa0\x80 words\"}".to_vec(), &["body"]),
        (task(&format!(r#", "metadata": {{"a": {deep}}}"#)).into_bytes(), &["body"]),
        (br#"{"description": "Count the words", "description": "Count the lines"}"#.to_vec(), &["description"]),
        (b"{}".to_vec(), &["description"]),
        (br#"{"description": null}"#.to_vec(), &["description"]),
        (br#"{"description": 7, "priority": "soon", "start": "yes"}"#.to_vec(), &["description", "priority", "start"]),
        (br#"{"description": "123456789"}"#.to_vec(), &["description"]),
        (format!(r#"{{"description": "{}"}}"#, "é".repeat(10_001)).into_bytes(), &["description"]),
        (task(r#", "metadata": [1]"#).into_bytes(), &["metadata"]),
        (task(r#", "start_at": "tomorrow""#).into_bytes(), &["start_at"]),
        (task(r#", "requires": {"os": 1}"#).into_bytes(), &["requires.os"]),
        (
            task(r#", "tool_preferences": ["a\u0000"], "metadata": {"k": {"\u0000": 1}}"#).into_bytes(),
            &["tool_preferences[0]", "metadata.k"],
        ),
        (task(r#", "subtasks": []"#).into_bytes(), &["subtasks"]),
        (task(r#", "subtasks": [{"name": "a", "colour": 1}]"#).into_bytes(), &["subtasks[0].colour"]),
        (task(r#", "subtasks": [{"description": "no name"}]"#).into_bytes(), &["subtasks[0].name"]),
        (
            task(r#", "subtasks": [{"name": "", "complexity": 6, "timeout_seconds": 0, "max_attempts": 0}]"#)
                .into_bytes(),
            &["subtasks[0].name", "subtasks[0].complexity", "subtasks[0].timeout_seconds", "subtasks[0].max_attempts"],
        ),
        (task(r#", "subtasks": [{"name": "a"}, {"name": "a"}]"#).into_bytes(), &["subtasks[1].name"]),
        (task(r#", "subtasks": [{"name": "a", "depends_on": ["b"]}]"#).into_bytes(), &["subtasks[0].depends_on"]),
        (
            task(r#", "subtasks": [{"name": "a", "depends_on": ["b"]}, {"name": "b", "depends_on": ["a"]}]"#)
                .into_bytes(),
            &["subtasks"],
        ),
        (task(r#", "subtasks": [{"name": "a", "tool": "command"}]"#).into_bytes(), &["subtasks[0].input"]),
    ];
    let mut shown = Vec::new();
    for (body, fields) in table {
        let text: String = String::from_utf8_lossy(&body).chars().take(120).collect();
        let request = rig.http.post(rig.url("/api/v1/tasks")).header("content-type", "application/json").body(body);
        let answer = rig.send(request).await;
        assert_eq!(answer.fields(), fields, "{text}: {}", answer.json());
        shown.push(format!("{text}\n{}", Show::default().json(&answer.json()["errors"])));
    }
    assert_snapshot!("bodies_that_do_not_fit", shown.join("\n\n"));
    // Of very many faults a page is named.
    let answer = rig.post("/api/v1/tasks", json!({"description": "Count the words", "subtasks": many})).await;
    assert_eq!(answer.fields().len(), 20);
    assert_eq!(rig.get("/api/v1/tasks").await.json()["total"], 0);
    let exact = json!({"description": "🚣".repeat(10_000)});
    rig.post("/api/v1/tasks", exact).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn ids_that_are_none_or_of_another_kind() {
    let rig = Rig::start().await;
    let task = rig.task(json!([step("One", &[])])).await;
    let subtask = rig.get(&format!("/api/v1/tasks/{task}")).await.json()["subtasks"][0]["subtask_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let worker = rig.worker("w", 1).await;
    let unknown = "0193e3c8-7c00-7000-8000-000000000000";
    let result = json!({"status": "completed"});
    for id in [unknown, &subtask, &worker, "x", "%00", "%ff", "..%2f"] {
        rig.get(&format!("/api/v1/tasks/{id}")).await.is(StatusCode::NOT_FOUND);
        rig.get(&format!("/api/v1/tasks/{id}/progress")).await.is(StatusCode::NOT_FOUND);
        rig.get(&format!("/api/v1/tasks/{id}/logs")).await.is(StatusCode::NOT_FOUND);
        rig.get(&format!("/api/v1/tasks/{id}/events")).await.is(StatusCode::NOT_FOUND);
        rig.get(&format!("/api/v1/tasks/{id}/subtasks")).await.is(StatusCode::NOT_FOUND);
        rig.get(&format!("/api/v1/tasks/{id}/ready-subtasks")).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/tasks/{id}/cancel"), json!({})).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/tasks/{id}/retry"), json!({})).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/tasks/{id}/decompose"), json!({})).await.is(StatusCode::NOT_FOUND);
        rig.delete(&format!("/api/v1/tasks/{id}")).await.is(StatusCode::NOT_FOUND);
    }
    for id in [unknown, &task, &worker, "x"] {
        rig.get(&format!("/api/v1/subtasks/{id}")).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/subtasks/{id}/result"), result.clone()).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/subtasks/{id}/log"), json!({"level": "info", "message": "m"}))
            .await
            .is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/subtasks/{id}/progress"), json!({"progress": 1})).await.is(StatusCode::NOT_FOUND);
    }
    for id in [unknown, &task, &subtask, "x"] {
        rig.get(&format!("/api/v1/workers/{id}")).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/workers/{id}/heartbeat"), json!({"status": "online", "resources": {}}))
            .await
            .is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/workers/{id}/unregister"), json!({})).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/workers/{id}/drain"), json!({})).await.is(StatusCode::NOT_FOUND);
        rig.post(&format!("/api/v1/workers/{id}/poll"), json!({"slots": 1})).await.is(StatusCode::NOT_FOUND);
        rig.get(&format!("/api/v1/workers/{id}/tasks")).await.is(StatusCode::NOT_FOUND);
        rig.delete(&format!("/api/v1/workers/{id}")).await.is(StatusCode::NOT_FOUND);
        for path in [format!("/api/v1/workers/{id}/ws"), format!("/api/v1/ws/tasks/{id}/logs")] {
            if path.contains(&task) && path.ends_with("logs") {
                continue;
            }
            match rig.try_socket(&path, &[]).await {
                Err((status, body)) => {
                    assert_eq!((status, &body["type"]), (StatusCode::NOT_FOUND, &json!("/problems/not-found")))
                }
                Ok(_) => panic!("{path} was opened"),
            }
        }
    }
    assert_eq!(rig.get(&format!("/api/v1/tasks/{task}")).await.json()["status"], "in_progress");
}

#[tokio::test]
async fn other_calls_with_wrong_fields() {
    let rig = Rig::start().await;
    let worker = rig.worker("w", 1).await;
    let task = rig.task(json!([step("One", &[])])).await;
    let subtask = rig.get(&format!("/api/v1/tasks/{task}")).await.json()["subtasks"][0]["subtask_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let table: Vec<(String, Value, &[&str])> = vec![
        (
            format!("/api/v1/workers/{worker}/heartbeat"),
            json!({"status": "asleep", "resources": []}),
            &["status", "resources"],
        ),
        (
            format!("/api/v1/workers/{worker}/heartbeat"),
            json!({"status": "online", "resources": {"cpu_percent": "x"}}),
            &["resources"],
        ),
        (format!("/api/v1/workers/{worker}/poll"), json!({"slots": 0, "wait_seconds": 61}), &["slots", "wait_seconds"]),
        (format!("/api/v1/workers/{worker}/poll"), json!({"slots": 1.5}), &["slots"]),
        ("/api/v1/workers/register".to_owned(), json!({}), &["machine_id", "machine_name", "system_info"]),
        (
            "/api/v1/workers/register".to_owned(),
            json!({"machine_id": "m", "slots": "x", "running": [{}]}),
            &["slots", "machine_name", "system_info", "running[0].subtask_id", "running[0].lease"],
        ),
        (
            format!("/api/v1/workers/{worker}/heartbeat"),
            json!({"current_task": 1}),
            &["current_task", "status", "resources"],
        ),
        (
            format!("/api/v1/workers/{worker}/heartbeat"),
            json!({"status": "idle", "resources": {}, "running": [[subtask, "x"]]}),
            &["running[0]"],
        ),
        (format!("/api/v1/subtasks/{subtask}/log"), json!({}), &["level", "message"]),
        ("/api/v1/tasks/batch".to_owned(), json!({"tasks": [["Count the words"]]}), &["tasks[0]"]),
        (format!("/api/v1/subtasks/{subtask}/result"), json!({"status": "cancelled"}), &["status"]),
        (
            format!("/api/v1/subtasks/{subtask}/result"),
            json!({"status": "failed", "execution_time": -1}),
            &["execution_time"],
        ),
        (format!("/api/v1/subtasks/{subtask}/result"), json!({"status": "failed", "result": "text"}), &["result"]),
        (format!("/api/v1/subtasks/{subtask}/progress"), json!({"progress": 101}), &["progress"]),
        (format!("/api/v1/subtasks/{subtask}/log"), json!({"level": "loud", "message": 1}), &["level", "message"]),
        (format!("/api/v1/tasks/{task}/cancel"), json!({"reason": 1}), &["reason"]),
        (format!("/api/v1/tasks/{task}/cancel"), json!({"reason": "\u{0}"}), &["reason"]),
    ];
    for (path, body, fields) in table {
        let answer = rig.post(&path, body.clone()).await;
        assert_eq!(answer.fields(), fields, "{path} {body}: {}", answer.json());
    }
    for query in ["wait_seconds=61", "wait_seconds=x", "wait_seconds="] {
        assert_eq!(rig.get(&format!("/api/v1/tasks/{task}?{query}")).await.fields(), ["wait_seconds"]);
    }
    assert_eq!(rig.get("/api/v1/workers?label=gpu&status=x").await.fields(), ["label", "status"]);
    match rig.try_socket(&format!("/api/v1/ws/tasks/{task}/logs?from_seq=-1"), &[]).await {
        Err((status, body)) => {
            assert_eq!((status, &body["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("from_seq")))
        }
        Ok(_) => panic!("a socket was opened"),
    }
    assert_eq!(rig.get(&format!("/api/v1/tasks/{task}")).await.json()["status"], "in_progress");
}

#[tokio::test]
async fn a_plan_may_have_ten_thousand_steps_and_no_more() {
    let rig = Rig::start().await;
    let steps = |count: usize| -> Vec<Value> { (0..count).map(|n| json!({"name": n.to_string()})).collect() };
    let task = rig.task(json!(steps(10_000))).await;
    assert_eq!(rig.get(&format!("/api/v1/tasks/{task}/progress")).await.json()["subtasks"]["total"], 10_000);
    assert_eq!(rig.get(&format!("/api/v1/tasks/{task}")).await.json()["subtasks"].as_array().unwrap().len(), 10_000);
    let refused = rig.post("/api/v1/tasks", json!({"description": "Count the words", "subtasks": steps(10_001)})).await;
    assert_snapshot!("too_many_steps", Show::default().answer(&refused));
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_announced_or_not() {
    let rig = Rig::start().await;
    let url = rig.url("/api/v1/tasks");
    let chunk = vec![b' '; 1024 * 1024];
    // Announced: 9 MiB.
    let announced = rig.http.post(&url).header("content-type", "application/json").body(chunk.repeat(9));
    let announced = rig.send(announced).await;
    // Not announced: 64 MiB in chunks. The answer comes although the sender goes on.
    let chunks = stream::iter((0..64).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    let body = reqwest::Body::wrap(http_body_util::StreamBody::new(futures_util::StreamExt::map(chunks, |chunk| {
        chunk.map(|chunk| hyper::body::Frame::data(bytes::Bytes::from(chunk)))
    })));
    let chunked = rig.send(rig.http.post(&url).header("content-type", "application/json").body(body)).await;
    let mut show = Show::default();
    let shown = format!("# announced\n{}\n\n# in chunks\n{}", show.answer(&announced), show.answer(&chunked));
    assert_snapshot!("body_too_large", shown);
    // Refused before it was read: the answer comes all the same.
    for (path, kind, status) in [
        ("/api/v1/tasks", "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("/api/v1/nothing", "application/json", StatusCode::NOT_FOUND),
    ] {
        let unread = rig.http.post(rig.url(path)).header("content-type", kind).body(vec![b' '; 64 * 1024 * 1024]);
        rig.send(unread).await.is(status);
    }
    // The limit itself fits.
    let head = r#"{"description": "Count the words", "metadata": {"text": ""#;
    let tail = r#""}}"#;
    let fits = format!("{head}{}{tail}", "x".repeat(8 * 1024 * 1024 - head.len() - tail.len()));
    let request = rig.http.post(&url).header("content-type", "application/json").body(fits);
    soon("a large task", rig.send(request)).await.is(StatusCode::CREATED);
}
