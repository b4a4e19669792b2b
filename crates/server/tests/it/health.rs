//! `/health`, `/stats`, `/metrics`.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::json;

use crate::rig::{Rig, soon, step};
use crate::show::Show;

#[tokio::test]
async fn health_says_what_the_contract_says() {
    let rig = Rig::start().await;
    let health = rig.get("/api/v1/health").await;
    assert_eq!(
        health.is(StatusCode::OK).json(),
        json!({"status": "healthy", "database": "connected", "redis": "embedded"})
    );
    assert_eq!(rig.get("/api/v1/health/live").await.json(), json!({"status": "alive"}));
    assert_eq!(rig.get("/api/v1/health/ready").await.json(), json!({"status": "ready"}));
    let detailed = rig.get("/api/v1/health/detailed").await;
    assert!(detailed.json()["pools"].as_array().is_some_and(|pools| !pools.is_empty()), "{}", detailed.json());
    let mut detailed = detailed.json();
    detailed["pools"] = json!("[pools]");
    assert_snapshot!("health_detailed", Show::default().json(&detailed));
}

#[tokio::test]
async fn a_database_that_is_closed_makes_it_unhealthy() {
    let rig = Rig::start().await;
    rig.engine.store().close().await;
    let health = rig.get("/api/v1/health").await;
    assert_eq!(
        health.is(StatusCode::SERVICE_UNAVAILABLE).json(),
        json!({"status": "unhealthy", "database": "disconnected", "redis": "embedded"})
    );
    assert_eq!(rig.get("/api/v1/health/ready").await.json(), json!({"status": "unavailable"}));
    rig.get("/api/v1/health/live").await.is(StatusCode::OK);
    let refused = rig.post("/api/v1/tasks", json!({"description": "Count the words"})).await;
    assert_snapshot!("unavailable", Show::default().answer(&refused));
}

#[tokio::test]
async fn stats_and_metrics_count_what_is_there() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    rig.task(json!([step("One", &[]), step("Two", &["One"])])).await;
    rig.task(json!([{"name": "Alone", "tool": "gemini_cli"}])).await;
    let first = line.assignment().await;
    line.complete(&first, json!({})).await;
    line.assignment().await;
    // Figures follow the answers they are about by a moment.
    let stats = soon("both claims in the figures", async {
        loop {
            let stats = rig.get("/api/v1/stats").await.json();
            if stats["latency"]["queue"]["count"] == 2 {
                return stats;
            }
        }
    })
    .await;
    assert_snapshot!("stats", Show::default().json(&stats));
    let metrics = rig.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    for line in
        ["route=\"/api/v1/tasks\",status=\"201\"} 2", "regatta_tasks{status=\"in_progress\"} 2", "regatta_store_up 1"]
    {
        assert!(metrics.contains(line), "{line} in {}", String::from_utf8_lossy(&metrics.bytes));
    }
    rig.get("/api/v1/tasks/0193e3c8-7c00-7000-8000-000000000000").await.is(StatusCode::NOT_FOUND);
    rig.get("/api/v1/nowhere/0193e3c8").await.is(StatusCode::NOT_FOUND);
    let metrics = rig.get("/metrics").await;
    assert!(metrics.contains("route=\"unmatched\",status=\"404\""));
    assert!(!metrics.contains("0193e3c8"), "a raw URL became a label");
}
