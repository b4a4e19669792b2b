//! Calls over HTTP: repetition, idempotency keys, errors.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use regatta_client::api::health::{DatabaseState, HealthStatus};
use regatta_client::api::subtask::AppendLog;
use regatta_client::api::task::{CreateTask, TasksQuery};
use regatta_client::api::worker::Poll;
use regatta_client::api::{LogLevel, TaskStatus};
use regatta_client::{Client, Error, Options, RetryPolicy};
use uuid::Uuid;

use crate::server::{client, client_with};

const CREATED: &str =
    r#"{"task_id":"0193e3c8-7c00-7000-8000-000000000001","status":"pending","message":"The task is queued."}"#;

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({"type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
        "detail": detail, "request_id": "r-1"});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn json(body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Answers with these one after the other, the last one again and again, and tells what it was asked.
fn script(path: &str, answers: Vec<fn() -> Response>) -> (Router, Receiver<(HeaderMap, String)>, Arc<AtomicU32>) {
    let (asked, receiver): (Sender<_>, _) = channel();
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let handler = move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        asked.send((parts.headers, String::from_utf8_lossy(&body).into_owned())).expect("the test listens");
        let turn = counter.fetch_add(1, Ordering::SeqCst) as usize;
        answers[turn.min(answers.len() - 1)]()
    };
    (Router::new().route(path, any(handler)), receiver, count)
}

#[tokio::test]
async fn a_submission_is_repeated_under_the_same_key() {
    let (routes, asked, count) = script(
        "/api/v1/tasks",
        vec![
            || problem(StatusCode::SERVICE_UNAVAILABLE, "busy"),
            || problem(StatusCode::TOO_MANY_REQUESTS, "too fast"),
            || (StatusCode::CREATED, json(CREATED)).into_response(),
        ],
    );
    let client = client_with(routes, Options { token: Some("rgu_0123".to_owned()), ..Options::default() }).await;
    let task = CreateTask::new("Count the words");
    let created = client.submit(&task).await.unwrap();
    assert_eq!(created.status, TaskStatus::Pending);
    assert_eq!(count.load(Ordering::SeqCst), 3);

    let asked: Vec<_> = asked.try_iter().collect();
    let keys: HashSet<_> = asked.iter().map(|(headers, _)| headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), 1);
    for (headers, body) in &asked {
        assert_eq!(headers["authorization"], "Bearer rgu_0123");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(serde_json::from_str::<CreateTask>(body).unwrap(), task);
    }
}

#[tokio::test]
async fn each_submission_has_a_key_of_its_own() {
    let (routes, asked, _) = script("/api/v1/tasks", vec![|| json(CREATED)]);
    let client = client(routes).await;
    let task = CreateTask::new("Count the words");
    client.submit(&task).await.unwrap();
    client.submit(&task).await.unwrap();
    client.submit_with_key(&task, "mine").await.unwrap();
    let keys: HashSet<_> = asked.try_iter().map(|(headers, _)| headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().any(|key| key == "mine"));
}

#[tokio::test]
async fn a_pause_longer_than_the_policy_is_not_begun() {
    let (routes, _asked, count) = script(
        "/api/v1/stats",
        vec![|| {
            let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, "Try again in an hour.");
            answer.headers_mut().insert(header::RETRY_AFTER, "3600".parse().expect("a header"));
            answer
        }],
    );
    let error = client(routes).await.stats().await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(error.to_string(), "Try again in an hour. (request r-1; the server's log has more)");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_repeated_unless_that_is_harmless() {
    let (routes, _asked, count) =
        script("/api/v1/subtasks/{id}/log", vec![|| problem(StatusCode::SERVICE_UNAVAILABLE, "busy")]);
    let client = client(routes).await;
    let line =
        AppendLog { level: LogLevel::Info, message: "m".to_owned(), metadata: None, lease: None, worker_id: None };
    let error = client.append_log(Uuid::nil(), &line).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_by_every_call() {
    let (routes, _asked, count) = script(
        "/api/v1/workers/{id}/poll",
        vec![|| problem(StatusCode::TOO_MANY_REQUESTS, "too fast"), || json(r#"{"assignments":[]}"#)],
    );
    let poll = Poll { slots: 1, wait_seconds: 0 };
    let polled = client(routes).await.poll(Uuid::nil(), &poll).await.unwrap();
    assert!(polled.assignments.is_empty());
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_problem_is_read_with_its_fields() {
    let routes = Router::new().route(
        "/api/v1/tasks",
        post(|| async {
            let body = r#"{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"Correct the named fields.","request_id":"r-2","errors":[{"field":"description","message":"must have 10 to 10000 characters, has 1"}]}"#;
            (StatusCode::UNPROCESSABLE_ENTITY, body)
        }),
    );
    let error = client(routes).await.submit(&CreateTask::new("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "Correct the named fields.\n  description: must have 10 to 10000 characters, has 1");
    let problem = error.problem().unwrap();
    assert_eq!((problem.status, problem.request_id.as_str()), (422, "r-2"));
}

#[tokio::test]
async fn an_error_page_of_something_else_is_a_problem_too() {
    let routes =
        Router::new().route("/api/v1/stats", get(|| async { (StatusCode::BAD_GATEWAY, "<html>no upstream</html>") }));
    let error = client(routes).await.stats().await.unwrap_err();
    assert_eq!(error.status(), Some(502));
    assert!(error.to_string().contains("<html>no upstream"), "{error}");

    let routes = Router::new().route("/api/v1/stats", get(|| async { "hello" }));
    let error = client(routes).await.stats().await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    assert!(error.to_string().contains("GET /api/v1/stats"), "{error}");
}

#[tokio::test]
async fn an_unreachable_server_is_named_with_what_to_do() {
    // Bound and not listening: the port is ours, and refuses.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let client =
        Client::new(Options { server: format!("127.0.0.1:{port}"), retry: RetryPolicy::none(), ..Options::default() })
            .unwrap();
    let calls = [client.stats().await.unwrap_err(), client.worker_line(Uuid::nil()).await.err().unwrap()];
    for error in calls {
        assert!(error.is_unreachable());
        let text = error.to_string();
        assert!(text.contains(&format!("http://127.0.0.1:{port}")), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
        assert!(text.contains("regatta up"), "{text}");
    }
}

/// An address that refuses, as long as the socket is kept.
fn refusing() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// A server with these routes, by its address.
async fn serving(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_does_not_answer_or_is_leaving() {
    let (_socket, away) = refusing();
    let (leaving, _asked, left) =
        script("/api/v1/tasks", vec![|| problem(StatusCode::SERVICE_UNAVAILABLE, "The server is stopping.")]);
    let (good, asked, count) = script("/api/v1/tasks", vec![|| json(CREATED)]);
    let servers = format!("{away}, {},{}", serving(leaving).await, serving(good).await);
    let client = Client::new(Options { server: servers.clone(), ..Options::default() }).unwrap();
    for _ in 0..3 {
        client.submit(&CreateTask::new("Count the words")).await.unwrap();
    }
    assert_eq!((left.load(Ordering::SeqCst), count.load(Ordering::SeqCst)), (1, 3), "one that answers is kept to");
    assert_eq!(asked.try_iter().count(), 3);

    // Without repetitions the call fails, and the next one goes to the next server.
    let client = Client::new(Options { server: servers, retry: RetryPolicy::none(), ..Options::default() }).unwrap();
    let task = CreateTask::new("Count the words");
    assert!(matches!(client.submit(&task).await.unwrap_err(), Error::Unreachable { .. }));
    assert_eq!(client.submit(&task).await.unwrap_err().status(), Some(503));
    client.submit(&task).await.unwrap();
}

#[tokio::test]
async fn all_servers_away_is_told_of_one_of_them() {
    let ((_one, first), (_two, second)) = (refusing(), refusing());
    let retry = RetryPolicy::within(Duration::from_millis(300));
    let client = Client::new(Options { server: format!("{first},{second}"), retry, ..Options::default() }).unwrap();
    let error = client.stats().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_comes_up_later_is_reached() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let client = Client::new(Options {
        server: address.to_string(),
        retry: RetryPolicy::within(Duration::from_secs(60)),
        ..Options::default()
    })
    .unwrap();
    let asks = tokio::spawn(async move { client.submit(&CreateTask::new("Count the words")).await });
    // Time enough for a first attempt, which is refused; without one the test still holds.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let listener = socket.listen(16).unwrap();
    let routes = Router::new().route("/api/v1/tasks", post(|| async { json(CREATED) }));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    asks.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let routes = Router::new().route(
        "/api/v1/stats",
        get(|| async {
            std::future::pending::<()>().await;
        }),
    );
    let client = client_with(
        routes,
        Options { timeout: Duration::from_millis(50), retry: RetryPolicy::none(), ..Options::default() },
    )
    .await;
    let error = client.stats().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(error.to_string().starts_with("GET /api/v1/stats was not answered within 0.05 s"), "{error}");
}

#[tokio::test]
async fn an_unhealthy_platform_is_an_answer() {
    let (routes, _asked, count) = script(
        "/api/v1/health",
        vec![|| {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                json(r#"{"status":"unhealthy","database":"disconnected","redis":"embedded"}"#),
            )
                .into_response()
        }],
    );
    let health = client(routes).await.health().await.unwrap();
    assert_eq!((health.status, health.database), (HealthStatus::Unhealthy, DatabaseState::Disconnected));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_removal_whose_answer_was_lost_is_done() {
    let (routes, _asked, _) = script(
        "/api/v1/tasks/{id}",
        vec![|| problem(StatusCode::SERVICE_UNAVAILABLE, "busy"), || problem(StatusCode::NOT_FOUND, "no such task")],
    );
    client(routes).await.remove_task(Uuid::nil()).await.unwrap();

    let routes =
        Router::new().route("/api/v1/tasks/{id}", delete(|| async { problem(StatusCode::NOT_FOUND, "no such task") }));
    let error = client(routes).await.remove_task(Uuid::nil()).await.unwrap_err();
    assert_eq!(error.status(), Some(404));
}

#[tokio::test]
async fn paths_and_queries_arrive_as_they_are_meant() {
    let (asked, receiver) = channel();
    let routes = Router::new()
        .route(
            "/api/v1/tasks",
            get(move |Query(query): Query<std::collections::BTreeMap<String, String>>| async move {
                asked.send(query).expect("the test listens");
                json(r#"{"tasks":[],"total":0,"limit":7,"offset":0}"#)
            }),
        )
        .route(
            "/api/v1/tasks/{id}/cancel",
            post(|Path(id): Path<Uuid>, body: String| async move {
                assert_eq!(body, r#"{"reason":"enough"}"#);
                format!(r#"{{"task_id":"{id}","status":"cancelled","message":""}}"#)
            }),
        );
    let client = client(routes).await;
    let list = client
        .tasks(&TasksQuery {
            status: Some(TaskStatus::InProgress),
            search: Some("a&b = ä".to_owned()),
            limit: Some(7),
            ..TasksQuery::default()
        })
        .await
        .unwrap();
    assert_eq!(list.page.limit, 7);
    let query: Vec<_> = receiver.recv().unwrap().into_iter().collect();
    let expected = [("limit", "7"), ("search", "a&b = ä"), ("status", "in_progress")];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let id = Uuid::now_v7();
    let changed = client.cancel(id, Some("enough")).await.unwrap();
    assert_eq!((changed.task_id, changed.status), (id, TaskStatus::Cancelled));
}
