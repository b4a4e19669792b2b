//! What web pages of other places try with a server on loopback that asks for no credentials.

use http::StatusCode;
use serde_json::json;

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_points_its_own_name_here_is_refused() {
    // DNS rebinding: to the browser the page and the server have one origin, and the Host is the page's.
    let rig = Rig::start().await;
    let port = rig.handle.addresses()[0].port();
    for host in [format!("rebound.example:{port}"), "rebound.example".to_owned(), format!("127.0.0.1.nip.io:{port}")] {
        for path in ["/api/v1/tasks", "/api/v1/health", "/openapi.json", "/nothing"] {
            let answer = rig.send(rig.http.get(rig.url(path)).header("Host", &host)).await;
            assert!(answer.is(StatusCode::FORBIDDEN).contains("localhost"), "{host} {path}");
        }
        let (status, _) = rig.try_socket("/api/v1/ws", &[("host", &host)]).await.err().unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_posts_a_form_is_refused() {
    let rig = Rig::start().await;
    let body = json!({"description": "Run what the page wants", "task_type": "custom"}).to_string();
    // Simple requests, which a browser sends without asking first (Fetch standard, CORS-safelisted content types).
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"]
    {
        for origin in ["http://elsewhere.example", "https://localhost", "null"] {
            let post = rig.http.post(rig.url("/api/v1/tasks")).header("Content-Type", kind).header("Origin", origin);
            rig.send(post.body(body.clone())).await.is(StatusCode::FORBIDDEN);
        }
    }
    // And a browser that names no origin cannot say that it is JSON.
    let post = rig.http.post(rig.url("/api/v1/tasks")).header("Content-Type", "text/plain").body(body);
    rig.send(post).await.is(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(rig.get("/api/v1/tasks").await.json()["total"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_from_a_foreign_page_is_refused() {
    let rig = Rig::start().await;
    let task = rig.task(json!([crate::rig::step("a", &[])])).await;
    let worker = rig.worker("m", 1).await;
    let own = rig.handle.url();
    for path in [format!("/api/v1/ws/tasks/{task}/logs"), format!("/api/v1/workers/{worker}/ws"), "/api/v1/ws".into()] {
        for origin in ["http://elsewhere.example", "null", "http://localhost:1"] {
            let (status, _) = rig.try_socket(&path, &[("origin", origin)]).await.err().unwrap();
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {origin}");
        }
        assert!(rig.try_socket(&path, &[("origin", &own)]).await.is_ok(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_elsewhere_is_told_that_it_may_read() {
    let rig = Rig::start().await;
    let asked = rig.http.get(rig.url("/api/v1/tasks")).header("Origin", "http://elsewhere.example");
    assert_eq!(rig.send(asked).await.header("access-control-allow-origin"), None);
    let preflight = rig
        .http
        .request(http::Method::OPTIONS, rig.url("/api/v1/tasks"))
        .header("Origin", "http://elsewhere.example")
        .header("Access-Control-Request-Method", "POST");
    let answer = rig.send(preflight).await;
    assert!(!answer.status.is_success() && answer.header("access-control-allow-origin").is_none(), "{answer:?}");
}
