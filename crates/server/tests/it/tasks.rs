//! `/tasks`.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::rig::{Rig, step};
use crate::show::Show;

#[tokio::test]
async fn every_answer_about_a_task() {
    let rig = Rig::start().await;
    let mut show = Show::default();
    let mut shown = Vec::new();
    let created = rig
        .post("/api/v1/tasks", json!({
            "description": "Count the words of a folder", "task_type": "custom", "priority": "high", "privacy_level": "sensitive",
            "tool_preferences": ["ollama"], "requires": {"os": "linux"}, "requirements": {"exact": true}, "metadata": {"z": 1, "a": 2},
            "checkpoint_frequency": null, "subtasks": [step("Split", &[]),
                {"name": "Merge", "depends_on": ["Split"], "complexity": 5, "priority": -3, "requires": {"gpu": "a100"}}],
        }))
        .await;
    let task = created.text("task_id");
    let path = format!("/api/v1/tasks/{task}");
    shown.push(("create", show.answer(&created)));
    shown.push(("get", show.answer(&rig.get(&path).await)));
    shown.push(("list", show.answer(&rig.get("/api/v1/tasks").await)));
    shown.push(("progress", show.answer(&rig.get(&format!("{path}/progress")).await)));
    shown.push(("decompose", show.answer(&rig.post(&format!("{path}/decompose"), json!({})).await)));
    shown.push(("subtasks", show.answer(&rig.get(&format!("{path}/subtasks?limit=1")).await)));
    shown.push(("ready-subtasks", show.answer(&rig.get(&format!("{path}/ready-subtasks")).await)));
    shown.push(("events", show.answer(&rig.get(&format!("{path}/events")).await)));
    shown.push(("logs", show.answer(&rig.get(&format!("{path}/logs")).await)));
    shown.push(("retry too early", show.answer(&rig.post(&format!("{path}/retry"), json!({})).await)));
    shown.push(("delete too early", show.answer(&rig.delete(&path).await)));
    shown.push((
        "cancel",
        show.answer(&rig.post(&format!("{path}/cancel"), json!({"reason": "changed my mind"})).await),
    ));
    shown.push(("cancel again", show.answer(&rig.send(rig.http.post(rig.url(&format!("{path}/cancel")))).await)));
    shown.push(("cancelled", show.answer(&rig.get(&path).await)));
    shown.push(("retry", show.answer(&rig.post(&format!("{path}/retry"), json!({})).await)));
    rig.post(&format!("{path}/cancel"), json!({})).await;
    shown.push(("delete", show.answer(&rig.delete(&path).await)));
    shown.push(("gone", show.answer(&rig.get(&path).await)));
    let shown: Vec<String> = shown.into_iter().map(|(what, answer)| format!("# {what}\n{answer}")).collect();
    assert_snapshot!("task_answers", shown.join("\n\n"));
}

#[tokio::test]
async fn a_task_that_waits_is_planned_once_however_often_it_is_asked() {
    let rig = Rig::start().await;
    let body = json!({"description": "Count the words", "task_type": "code_review", "start": false});
    let task = rig.post("/api/v1/tasks", body).await.text("task_id");
    let path = format!("/api/v1/tasks/{task}");
    let waiting = rig.get(&path).await.json();
    assert_eq!((&waiting["status"], waiting["subtasks"].as_array().unwrap().len()), (&json!("pending"), 0));
    assert!(waiting["waiting_for"].as_str().unwrap().contains("/decompose"));
    let decompose = format!("{path}/decompose");
    let asked: Vec<_> = (0..10).map(|_| rig.send(rig.http.post(rig.url(&decompose)))).collect();
    let plans: Vec<Value> =
        futures_util::future::join_all(asked).await.iter().map(|plan| plan.json()["subtasks"].clone()).collect();
    let ids = |plan: &Value| -> Vec<String> {
        plan.as_array().unwrap().iter().map(|row| row["subtask_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&plans[0]).len(), 3);
    assert!(plans.iter().all(|plan| ids(plan) == ids(&plans[0])));
    assert_eq!(rig.get(&path).await.json()["subtasks"].as_array().unwrap().len(), 3);
    // Cancelled since: it does not go on with its plan.
    rig.post(&format!("{path}/cancel"), json!({})).await.is(StatusCode::OK);
    rig.post(&decompose, json!({})).await.is(StatusCode::CONFLICT);
    assert_eq!(rig.get(&path).await.json()["subtasks"].as_array().unwrap().len(), 3);
    // Cancelled before it was planned: never planned again.
    let body = json!({"description": "Count the words", "start": false});
    let other = rig.post("/api/v1/tasks", body).await.text("task_id");
    rig.post(&format!("/api/v1/tasks/{other}/cancel"), json!({})).await.is(StatusCode::OK);
    rig.post(&format!("/api/v1/tasks/{other}/decompose"), json!({})).await.is(StatusCode::CONFLICT);
}

#[tokio::test]
async fn pages_follow_one_another_by_cursor_and_by_offset() {
    let rig = Rig::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(rig.task(json!([step("One", &[])])).await);
    }
    made.reverse();
    let ids = |page: &Value| -> Vec<String> {
        page["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap().to_owned()).collect()
    };
    let first = rig.get("/api/v1/tasks?limit=2").await.json();
    assert_eq!((ids(&first).as_slice(), &first["total"], &first["offset"]), (&made[..2], &json!(5), &json!(0)));
    let cursor = first["next_cursor"].as_str().unwrap();
    // What comes in meanwhile does not move the pages.
    rig.task(json!([step("One", &[])])).await;
    let second = rig.get(&format!("/api/v1/tasks?limit=2&cursor={cursor}")).await.json();
    assert_eq!((ids(&second).as_slice(), second.get("total"), second.get("offset")), (&made[2..4], None, None));
    let last =
        rig.get(&format!("/api/v1/tasks?limit=2&cursor={}", second["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((ids(&last).as_slice(), last.get("next_cursor")), (&made[4..], None));
    let offset = rig.get("/api/v1/tasks?limit=3&offset=4").await.json();
    assert_eq!((ids(&offset).as_slice(), offset.get("next_cursor")), (&made[3..], None));

    for (query, fields) in [
        ("limit=0", vec!["limit"]),
        ("limit=101&offset=-1", vec!["limit", "offset"]),
        (&format!("offset=0&cursor={cursor}"), vec!["cursor"]),
        ("cursor=", vec!["cursor"]),
        ("cursor=0-00000000", vec!["cursor"]),
        ("status=paused&task_type=x&limit=x", vec!["limit", "status", "task_type"]),
        ("limit=1&limit=2", vec!["limit"]),
        ("search=%00", vec!["search"]),
    ] {
        assert_eq!(rig.get(&format!("/api/v1/tasks?{query}")).await.fields(), fields, "{query}");
    }
    let workers_cursor = {
        rig.worker("a", 1).await;
        rig.worker("b", 1).await;
        rig.get("/api/v1/workers?limit=1").await.text("next_cursor")
    };
    assert_eq!(rig.get(&format!("/api/v1/tasks?cursor={workers_cursor}")).await.fields(), ["cursor"]);
}

#[tokio::test]
async fn subtasks_are_paged_in_the_order_of_the_plan() {
    let rig = Rig::start().await;
    let steps: Vec<Value> = (0..7).map(|n| step(&format!("{n}"), &[])).collect();
    let task = rig.task(json!(steps)).await;
    let path = format!("/api/v1/tasks/{task}/subtasks?limit=3");
    let names = |page: &Value| -> String {
        page["subtasks"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
    };
    let mut page = rig.get(&path).await.json();
    assert_eq!((names(&page).as_str(), &page["total"]), ("012", &json!(7)));
    let mut seen = names(&page);
    while let Some(cursor) = page["next_cursor"].as_str() {
        page = rig.get(&format!("{path}&cursor={cursor}")).await.json();
        seen.push_str(&names(&page));
    }
    assert_eq!(seen, "0123456");
    assert_eq!(names(&rig.get(&format!("{path}&offset=5")).await.json()), "56");
    assert_eq!(names(&rig.get(&format!("{path}&offset=700000")).await.json()), "");
    let ready = rig.get(&format!("/api/v1/tasks/{task}/ready-subtasks?limit=2&offset=1")).await.json();
    assert_eq!((ready["ready_subtasks"].as_array().unwrap().len(), &ready["total_ready"]), (2, &json!(7)));
}

#[tokio::test]
async fn a_key_makes_a_task_once() {
    let rig = Rig::start().await;
    let send = |path: &'static str, key: &str, body: &str| {
        let request =
            rig.http.post(rig.url(path)).header("idempotency-key", key).header("content-type", "application/json");
        rig.send(request.body(body.to_owned()))
    };
    let first = send("/api/v1/tasks", "k", r#"{"description": "Count the words", "priority": "low"}"#).await;
    let again = send("/api/v1/tasks", "k", r#"{ "priority":"low",   "description":"Count the words" }"#).await;
    assert_eq!((again.status, &again.bytes), (StatusCode::CREATED, &first.bytes));
    // The same request, however much of it is spelled out.
    for body in [
        r#"{"description": "Count the words", "priority": "low", "metadata": null, "start_at": null, "unknown": 1}"#,
        r#"{"description": "Count the words", "priority": "low", "start": true, "task_type": "develop_feature"}"#,
    ] {
        let again = send("/api/v1/tasks", "k", body).await;
        assert_eq!((again.status, &again.bytes), (StatusCode::CREATED, &first.bytes), "{body}");
    }
    let other = send("/api/v1/tasks", "k", r#"{"description": "Count the words", "priority": "high"}"#).await;
    assert_snapshot!("key_with_another_body", Show::default().answer(&other));
    send("/api/v1/tasks/batch", "k", r#"{"tasks": [{"description": "Count the words"}]}"#)
        .await
        .is(StatusCode::CONFLICT);
    let body = r#"{"tasks": [{"description": "Count the words"}, {"description": "Count the lines"}]}"#;
    let both = futures_util::future::join_all((0..8).map(|_| send("/api/v1/tasks/batch", "b", body))).await;
    assert!(both.iter().all(|answer| answer.status == StatusCode::CREATED && answer.bytes == both[0].bytes));
    assert_eq!(rig.get("/api/v1/tasks").await.json()["total"], 3);
    let long = "x".repeat(256);
    assert_eq!(
        send("/api/v1/tasks", &long, r#"{"description": "Count the words"}"#).await.fields(),
        ["Idempotency-Key"]
    );
}

#[tokio::test]
async fn logs_and_events_are_read_by_number() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    let task = rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    let subtask = assignment["subtask_id"].as_str().unwrap();
    for n in 0..5 {
        let body = json!({"level": "info", "message": format!("line {n}"), "metadata": {"n": n}});
        rig.post(&format!("/api/v1/subtasks/{subtask}/log"), body).await.is(StatusCode::CREATED);
    }
    let events = rig.get(&format!("/api/v1/tasks/{task}/events?limit=1000")).await.json();
    let numbers: Vec<u64> =
        events["events"].as_array().unwrap().iter().map(|event| event["_seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(events.get("next_after_seq"), None);
    assert_snapshot!("events_of_a_task", Show::default().json(&events));

    let mut messages = Vec::new();
    let mut after = 0;
    loop {
        let page = rig.get(&format!("/api/v1/tasks/{task}/logs?limit=2&after_seq={after}")).await.json();
        assert!(page["logs"].as_array().unwrap().len() <= 2);
        messages
            .extend(page["logs"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()));
        match page["next_after_seq"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(messages, ["line 0", "line 1", "line 2", "line 3", "line 4"]);
    assert_eq!(
        rig.get(&format!("/api/v1/tasks/{task}/events?limit=1001&after_seq=-1")).await.fields(),
        ["after_seq", "limit"]
    );
}
