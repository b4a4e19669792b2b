//! `/subtasks`.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::json;

use crate::rig::{Rig, step};
use crate::show::Show;

#[tokio::test]
async fn every_answer_about_a_subtask() {
    let rig = Rig::start().await;
    let mut show = Show::default();
    let mut shown = Vec::new();
    let (_, mut line) = rig.line("w", 1).await;
    rig.task(
        json!([{"name": "One", "tool": "command", "input": {"argv": ["false"]}, "max_attempts": 1, "requires": null},
        step("Two", &["One"])]),
    )
    .await;
    let assignment = line.assignment().await;
    let path = format!("/api/v1/subtasks/{}", assignment["subtask_id"].as_str().unwrap());
    let lease = &assignment["lease"];
    shown.push(("assignment", show.json(&assignment)));
    shown.push(("running", show.answer(&rig.get(&path).await)));
    let log = json!({"level": "warning", "message": "a\u{0}b", "metadata": {"k": "\u{0}"}, "lease": lease});
    shown.push(("log", show.answer(&rig.post(&format!("{path}/log"), log).await)));
    let progress = json!({"progress": 40, "message": "counting", "lease": lease});
    shown.push(("progress", show.answer(&rig.post(&format!("{path}/progress"), progress).await)));
    let no_lease = json!({"status": "failed", "error": "boom"});
    shown.push((
        "result without lease",
        show.answer(&rig.post(&format!("{path}/result"), json!({"status": "completed", "lease": "x"})).await),
    ));
    let failed = json!({"status": "failed", "error": "boom", "exit_code": 1, "execution_time": 0.25, "lease": lease});
    shown.push(("result", show.answer(&rig.post(&format!("{path}/result"), failed.clone()).await)));
    shown.push(("result again", show.answer(&rig.post(&format!("{path}/result"), failed).await)));
    shown.push(("result late", show.answer(&rig.post(&format!("{path}/result"), no_lease).await)));
    shown.push((
        "progress late",
        show.answer(&rig.post(&format!("{path}/progress"), json!({"progress": 50, "lease": lease})).await),
    ));
    shown.push((
        "log late",
        show.answer(
            &rig.post(&format!("{path}/log"), json!({"level": "info", "message": "late", "lease": lease})).await,
        ),
    ));
    shown.push(("failed", show.answer(&rig.get(&path).await)));
    let task = assignment["task_id"].as_str().unwrap();
    shown.push(("its logs", show.answer(&rig.get(&format!("/api/v1/tasks/{task}/logs")).await)));
    let shown: Vec<String> = shown.into_iter().map(|(what, answer)| format!("# {what}\n{answer}")).collect();
    assert_snapshot!("subtask_answers", shown.join("\n\n"));
}

#[tokio::test]
async fn the_lease_that_completed_may_say_so_again() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    let path = format!("/api/v1/subtasks/{}/result", assignment["subtask_id"].as_str().unwrap());
    let body = json!({"status": "completed", "result": {"words": 7, "nul": "\u{0}"}, "lease": assignment["lease"]});
    rig.post(&path, body.clone()).await.is(StatusCode::OK);
    let again = rig.post(&path, body).await.is(StatusCode::OK).json();
    assert_eq!(
        (&again["status"], &again["progress"], &again["newly_allocated"]),
        (&json!("completed"), &json!(100), &json!(0))
    );
    let stored = rig.get(path.trim_end_matches("/result")).await.json();
    assert_eq!(stored["output"], json!({"words": 7, "nul": "\u{fffd}"}));
}

#[tokio::test]
async fn sizes_over_their_limit_are_named() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    let path = format!("/api/v1/subtasks/{}", assignment["subtask_id"].as_str().unwrap());
    let mut show = Show::default();
    let result =
        json!({"status": "completed", "result": {"text": "x".repeat(1024 * 1024)}, "lease": assignment["lease"]});
    let log = json!({"level": "info", "message": "x".repeat(64 * 1024 + 1)});
    let shown = format!(
        "# result\n{}\n\n# log\n{}",
        show.answer(&rig.post(&format!("{path}/result"), result).await),
        show.answer(&rig.post(&format!("{path}/log"), log).await)
    );
    assert_snapshot!("too_large", shown);
    let fits = json!({"level": "info", "message": "x".repeat(64 * 1024)});
    rig.post(&format!("{path}/log"), fits).await.is(StatusCode::CREATED);
}
