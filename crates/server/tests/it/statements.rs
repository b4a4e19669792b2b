//! How many statements a call takes: as many for a long list as for a short one.

use http::StatusCode;
use serde_json::{Value, json};

use crate::rig::{Rig, step};

/// Every call that reads, with the statements it took on a server that holds `rows` of everything.
async fn counts(rows: usize, kept: usize) -> Vec<(String, u64)> {
    // The loops read too, so they rest.
    let still = regatta_engine::Options {
        poll_milliseconds: 3_600_000,
        sweep_milliseconds: 3_600_000,
        ..regatta_engine::Options::default()
    };
    // What is kept is not read.
    let limits = regatta_server::Limits { kept_answer_bytes: kept, ..regatta_server::Limits::default() };
    let rig = Rig::with(regatta_server::Options { limits, ..regatta_server::Options::default() }, still).await;
    let steps: Vec<Value> = (0..rows).map(|n| step(&n.to_string(), &[])).collect();
    let task = rig.task(json!(steps)).await;
    let path = format!("/api/v1/tasks/{task}");
    let subtask = rig.get(&path).await.json()["subtasks"][0]["subtask_id"].as_str().unwrap().to_owned();
    let mut worker = String::new();
    for n in 0..rows {
        worker = rig.worker(&n.to_string(), 1).await;
        rig.task(json!([step("One", &[])])).await;
        let line = json!({"level": "info", "message": "at it"});
        rig.post(&format!("/api/v1/subtasks/{subtask}/log"), line).await.is(StatusCode::CREATED);
    }
    let calls = [
        ("tasks", "/api/v1/tasks?limit=100".to_owned()),
        ("tasks with a filter", "/api/v1/tasks?limit=100&status=in_progress&task_type=custom&search=words".to_owned()),
        ("task", path.clone()),
        ("progress", format!("{path}/progress")),
        ("subtasks", format!("{path}/subtasks?limit=100")),
        ("ready-subtasks", format!("{path}/ready-subtasks?limit=100")),
        ("logs", format!("{path}/logs?limit=1000")),
        ("events", format!("{path}/events?limit=1000")),
        ("subtask", format!("/api/v1/subtasks/{subtask}")),
        ("workers", "/api/v1/workers?limit=100".to_owned()),
        ("worker", format!("/api/v1/workers/{worker}")),
        ("stats", "/api/v1/stats".to_owned()),
    ];
    let mut counts = Vec::new();
    for (what, path) in calls {
        // Once before, since what is new to the engine is read once.
        rig.get(&path).await.is(StatusCode::OK);
        let before = rig.store.read_statements();
        rig.get(&path).await.is(StatusCode::OK);
        counts.push((what.to_owned(), rig.store.read_statements() - before));
    }
    counts
}

#[tokio::test]
async fn no_call_takes_more_statements_for_more_rows() {
    let (few, many) = (counts(2, 0).await, counts(60, 0).await);
    assert_eq!(few, many);
    assert!(many.iter().all(|(_, count)| *count <= 6), "{many:?}");
    // Counters come from the cache.
    assert!(many.contains(&("progress".to_owned(), 0)), "{many:?}");
}

#[tokio::test]
async fn what_was_answered_and_stands_takes_none() {
    let kept: Vec<String> =
        counts(2, 1 << 20).await.into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect();
    assert_eq!(kept, ["tasks", "tasks with a filter", "task", "progress", "workers", "stats"]);
}
