//! What layers add to every answer, and the errors they make.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::json;

use crate::rig::{Answer, Rig, soon, step};
use crate::show::Show;

#[tokio::test]
async fn a_request_id_is_taken_or_made_and_stands_in_the_problem() {
    let rig = Rig::start().await;
    let url = rig.url("/api/v1/tasks/nothing");
    let given = rig.send(rig.http.get(&url).header("x-request-id", "mine-1")).await;
    assert_eq!(given.header("x-request-id"), Some("mine-1"));
    assert_eq!(given.text("request_id"), "mine-1");
    let long = rig.send(rig.http.get(&url).header("x-request-id", "x".repeat(129))).await;
    assert_eq!(long.header("x-request-id"), Some(long.text("request_id").as_str()));
    assert_eq!(long.text("request_id").len(), 36);
}

/// The stages of a `Server-Timing` header in microseconds, without the total, and the total.
fn stages(answer: &Answer) -> (Vec<(String, u64)>, u64) {
    let header = answer.header("server-timing").unwrap_or_else(|| panic!("no Server-Timing on {}", answer.status));
    let mut stages: Vec<(String, u64)> = header
        .split(", ")
        .map(|stage| {
            let (name, time) = stage.split_once(";dur=").unwrap();
            (name.to_owned(), (time.parse::<f64>().unwrap() * 1_000.0).round() as u64)
        })
        .collect();
    let (last, total) = stages.pop().unwrap();
    assert_eq!(last, "total");
    (stages, total)
}

#[tokio::test]
async fn server_timing_adds_up_on_every_answer() {
    let rig = Rig::start().await;
    let task = rig.task(json!([step("One", &[])])).await;
    let ids: Vec<String> = vec![task.clone(); 50];
    for answer in [
        rig.post("/api/v1/tasks", json!({"description": "Count the words"})).await,
        rig.get(&format!("/api/v1/tasks/{task}")).await,
        rig.get(&format!("/api/v1/tasks/{task}/progress")).await,
        rig.post("/api/v1/tasks/cancel", json!({"task_ids": ids})).await,
        rig.get("/api/v1/tasks?limit=0").await,
        rig.get("/nowhere").await,
        rig.get("/docs/").await,
    ] {
        let (stages, total) = stages(&answer);
        let sum: u64 = stages.iter().map(|(_, time)| time).sum();
        assert!(sum.abs_diff(total) <= 100.max(total / 20), "{stages:?} are {sum}, not {total}");
        for (name, _) in stages {
            let known = ["queue", "pool", "db", "commit", "cache", "ser", "app"];
            assert!(known.contains(&name.as_str()), "{name}");
        }
    }
    let (used, _) = stages(&rig.post("/api/v1/tasks", json!({"description": "Count the words"})).await);
    assert!(used.iter().any(|(name, _)| name == "commit"), "{used:?}");
}

#[tokio::test]
async fn an_etag_is_answered_with_304_until_the_body_changes() {
    let rig = Rig::start().await;
    let task = rig.task(json!([step("One", &[])])).await;
    let subtask = rig.get(&format!("/api/v1/tasks/{task}")).await.json()["subtasks"][0]["subtask_id"].clone();
    let subtask = subtask.as_str().unwrap();
    for path in [
        format!("/api/v1/tasks/{task}"),
        format!("/api/v1/tasks/{task}/progress"),
        format!("/api/v1/subtasks/{subtask}"),
    ] {
        let tag = rig.get(&path).await.header("etag").unwrap().to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        let again = rig.send(rig.http.get(rig.url(&path)).header("if-none-match", &tag)).await;
        again.is(StatusCode::NOT_MODIFIED);
        assert_eq!((again.bytes.len(), again.header("etag")), (0, Some(tag.as_str())));
    }
    // Nobody offers the tool yet, then somebody does: only what is worked out on reading changes.
    let path = format!("/api/v1/tasks/{task}");
    let before = rig.get(&path).await;
    rig.worker("w", 1).await;
    // The fleet hears of a worker a moment after its registration is answered.
    let tag = before.header("etag").unwrap();
    let after = soon("another body", async {
        loop {
            let again = rig.send(rig.http.get(rig.url(&path)).header("if-none-match", tag)).await;
            if again.status != StatusCode::NOT_MODIFIED {
                return again;
            }
        }
    })
    .await;
    after.is(StatusCode::OK);
    assert_ne!(before.json()["waiting_for"], after.json()["waiting_for"]);
}

#[tokio::test]
async fn what_is_over_a_kibibyte_is_compressed_when_asked() {
    let rig = Rig::start().await;
    let steps: Vec<_> = (0..40).map(|n| step(&format!("Step {n}"), &[])).collect();
    let task = rig.task(json!(steps)).await;
    let url = rig.url(&format!("/api/v1/tasks/{task}"));
    let plain = rig.send(rig.http.get(&url)).await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    for encoding in ["gzip", "br", "zstd"] {
        let packed = rig.send(rig.http.get(&url).header("accept-encoding", encoding)).await;
        assert_eq!(packed.header("content-encoding"), Some(encoding));
        assert_eq!(packed.header("vary"), Some("accept-encoding"));
        assert_eq!(packed.header("etag"), plain.header("etag"));
        assert!(
            packed.bytes.len() < plain.bytes.len() / 2,
            "{encoding}: {} of {}",
            packed.bytes.len(),
            plain.bytes.len()
        );
    }
    let small = rig.send(rig.http.get(rig.url("/api/v1/health")).header("accept-encoding", "gzip")).await;
    assert_eq!(small.header("content-encoding"), None);
}

#[tokio::test]
async fn errors_that_layers_make_are_problems_too() {
    let rig = Rig::start().await;
    let put = rig.send(rig.http.put(rig.url("/api/v1/tasks")).json(&json!({}))).await;
    let plain = rig.send(rig.http.post(rig.url("/api/v1/tasks")).body("{}")).await;
    let form = rig.http.post(rig.url("/api/v1/tasks")).header("content-type", "application/x-www-form-urlencoded");
    let shown = [
        ("missing path", rig.get("/api/v1/nothing").await),
        ("outside the api", rig.get("/nothing").await),
        ("method", put),
        ("method of a resource", rig.send(rig.http.patch(rig.url("/api/v1/subtasks/x"))).await),
        ("no content type", plain),
        ("another content type", rig.send(form.body("a=b")).await),
        ("no handshake", rig.get("/api/v1/ws").await),
        ("no file of the page", rig.get("/docs/nothing.js").await),
    ]
    .map(|(what, answer)| format!("# {what}\n{}", Show::default().answer(&answer)));
    assert_snapshot!("problems_of_layers", shown.join("\n\n"));
    // What a problem names as its type can be read.
    for answer in [rig.get("/nothing").await, rig.post("/api/v1/tasks", json!({})).await] {
        let page = rig.get(&answer.text("type")).await;
        assert!(page.is(StatusCode::OK).contains(&answer.text("title")));
    }
}

#[tokio::test]
async fn too_many_long_bodies_at_once_are_refused() {
    let limits = regatta_server::Limits { body_bytes: 100_000, ..Default::default() };
    let rig = Rig::with(regatta_server::Options { limits, ..Default::default() }, Default::default()).await;
    let task = |length: usize| json!({"description": "Count the words", "metadata": {"text": "x".repeat(length)}});
    rig.post("/api/v1/tasks", task(90_000)).await.is(StatusCode::CREATED);
    rig.post("/api/v1/tasks", task(110_000)).await.is(StatusCode::SERVICE_UNAVAILABLE);
    rig.post("/api/v1/tasks", task(90_000)).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn an_overload_is_answered_and_spares_what_is_vital() {
    let limits = regatta_server::Limits { concurrent_requests: 0, ..Default::default() };
    let options = regatta_server::Options { limits, ..Default::default() };
    let rig = Rig::with(options, Default::default()).await;
    let refused = rig.get("/api/v1/tasks").await;
    assert_snapshot!("overloaded", Show::default().answer(&refused));
    // What keeps the fleet alive is let in.
    let worker = rig.worker("w", 1).await;
    let beat =
        rig.post(&format!("/api/v1/workers/{worker}/heartbeat"), json!({"status": "online", "resources": {}})).await;
    beat.is(StatusCode::OK);
    rig.get("/api/v1/health").await.is(StatusCode::OK);
}

#[tokio::test]
async fn the_page_is_served_from_the_binary_and_loads_nothing_from_elsewhere() {
    let rig = Rig::start().await;
    let page = rig.get("/docs").await;
    page.is(StatusCode::OK);
    let text = String::from_utf8(page.bytes.clone()).unwrap();
    assert!(text.contains("swagger-ui") && !text.contains("https://"), "{text}");
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let script = rig.get("/docs/swagger-ui-bundle.js").await;
    assert_eq!(script.is(StatusCode::OK).header("cache-control"), Some("public, max-age=604800"));
    assert!(rig.get("/docs/swagger-initializer.js").await.contains("/openapi.json"));
    assert!(rig.get("/docs/swagger-initializer.js").await.contains("\"validatorUrl\": \"none\""));
}

#[tokio::test]
async fn every_answer_tells_browsers_what_it_is() {
    let rig = Rig::start().await;
    for path in ["/api/v1/tasks", "/api/v1/health", "/metrics", "/nothing", "/docs/", "/openapi.json"] {
        let answer = rig.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.starts_with("default-src"), "{path}: {policy}");
        assert_eq!(answer.header("strict-transport-security"), None, "{path}");
    }
}

#[tokio::test]
async fn the_console_is_served_at_its_own_addresses() {
    let rig = Rig::start().await;
    for path in ["/", "/tasks", "/tasks/01a2200a-df3f-72a7-859f-a4b42a498000", "/workers", "/workers/x"] {
        let page = rig.get(path).await;
        assert!(page.is(StatusCode::OK).contains("<title>Regatta</title>"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-cache"), "{path}");
    }
    rig.get("/assets/nothing.js").await.is(StatusCode::NOT_FOUND);
    rig.get("/nothing").await.is(StatusCode::NOT_FOUND);
}
