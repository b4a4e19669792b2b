//! Starting, guarding and ending.

use http::StatusCode;
use serde_json::json;

use crate::rig::{Rig, soon, step};

#[tokio::test]
async fn a_drain_answers_what_waits_and_tells_sockets_to_come_back() {
    let mut rig = Rig::start().await;
    let (worker, mut line) = rig.line("w", 1).await;
    let task = rig.task(json!([{"name": "One", "tool": "none_has_it"}])).await;
    let mut logs = rig.socket(&format!("/api/v1/ws/tasks/{task}/logs")).await;
    let mut all = rig.socket("/api/v1/ws").await;
    logs.next_of("subscribed").await;
    let (path, other) = (format!("/api/v1/tasks/{task}?wait_seconds=60"), format!("/api/v1/workers/{worker}/poll"));
    let waiting = rig.get(&path);
    let polling = rig.post(&other, json!({"slots": 1, "wait_seconds": 60}));
    let draining = async {
        // Both are under way once the server counts them.
        soon("waiting calls", async {
            while !rig.get("/metrics").await.contains("regatta_http_requests_waiting 2") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(rig.get("/api/v1/health/ready").await.status, StatusCode::OK);
        rig.drain();
    };
    let (waited, polled, ()) = tokio::join!(waiting, polling, draining);
    assert_eq!(waited.is(StatusCode::OK).json()["status"], "in_progress");
    assert_eq!(polled.is(StatusCode::OK).json(), json!({"assignments": []}));
    assert_eq!((line.closed().await, logs.closed().await, all.closed().await), (Some(1012), Some(1012), Some(1012)));
    rig.ended().await;
    assert!(rig.http.get(rig.url("/api/v1/health")).send().await.is_err());
}

#[tokio::test]
async fn readiness_fails_first() {
    let options = regatta_server::Options { drain_delay_seconds: 1, ..Default::default() };
    let mut rig = Rig::with(options, Default::default()).await;
    rig.drain();
    soon("unreadiness", async {
        while rig.get("/api/v1/health/ready").await.status == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It still serves.
    let ready = rig.get("/api/v1/health/ready").await;
    assert_eq!(ready.is(StatusCode::SERVICE_UNAVAILABLE).json(), json!({"status": "draining"}));
    rig.task(json!([step("One", &[])])).await;
    rig.ended().await;
}

#[tokio::test]
async fn pages_of_other_places_are_refused() {
    let rig = Rig::start().await;
    let url = rig.url("/api/v1/tasks");
    let foreign_host = rig.send(rig.http.get(&url).header("host", "example.com")).await;
    foreign_host.is(StatusCode::FORBIDDEN);
    assert_eq!(foreign_host.header("content-type"), Some("application/problem+json"));
    let body = json!({"description": "Count the words"});
    for (origin, status) in [
        ("null".to_owned(), StatusCode::FORBIDDEN),
        ("http://example.com".to_owned(), StatusCode::FORBIDDEN),
        (rig.handle.url(), StatusCode::CREATED),
    ] {
        rig.send(rig.http.post(&url).json(&body).header("origin", &origin)).await.is(status);
        // What changes nothing is not guarded.
        rig.send(rig.http.get(&url).header("origin", &origin)).await.is(StatusCode::OK);
        let socket = rig.try_socket("/api/v1/ws", &[("origin", &origin)]).await;
        match (status, socket) {
            (StatusCode::CREATED, Ok(_)) => {}
            (expected, Err((status, body))) => {
                assert_eq!((status, &body["type"]), (expected, &json!("/problems/forbidden")));
            }
            _ => panic!("a socket was opened from {origin}"),
        }
    }
    // A GET that leases work is a change.
    let worker = rig.worker("w", 1).await;
    let poll = rig.http.get(rig.url(&format!("/api/v1/workers/{worker}/tasks"))).header("origin", "null");
    rig.send(poll).await.is(StatusCode::FORBIDDEN);
}
