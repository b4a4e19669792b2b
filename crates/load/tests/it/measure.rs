//! What is counted is what the server saw, and times are those the server took.

use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::HeaderMap;
use axum::routing::get;

use crate::server::{Counter, run, start, users};

const ONE: &str = r#"
[[users]]
name = "Reader"
[[users.tasks]]
get = "/x"
"#;

#[test]
fn every_request_is_counted_once_on_any_number_of_threads() {
    let counter = Counter::default();
    let seen = counter.clone();
    let host = start(Router::new().route("/x", get(move || async move { seen.add().to_string() })));
    let mut options = users(8, 1_500);
    // Everybody finishes, so that nothing is under way when it ends.
    options.stop_timeout = Duration::from_secs(60);
    let ran = run(ONE, host, options);
    assert_eq!(ran.totals.all.requests, counter.get());
    assert_eq!(ran.totals.all.response.count(), counter.get());
    assert_eq!(ran.totals.iterations, counter.get());
    assert!(ran.totals.errors.is_empty(), "{:?}", ran.totals.errors);
    // Every request belongs to one second, and seconds add up.
    let seconds: u64 = ran.totals.all.series.points().iter().map(|point| point.requests).sum();
    assert_eq!(seconds, counter.get());
    let bytes: u64 = (1..=counter.get()).map(|n| n.to_string().len() as u64).sum();
    assert_eq!(ran.totals.all.bytes, bytes);
}

#[test]
fn percentiles_are_those_of_known_delays() {
    // One of ten answers takes ten times as long.
    let counter = Counter::default();
    let host = start(Router::new().route(
        "/x",
        get(move || async move {
            let slow = counter.add().is_multiple_of(10);
            tokio::time::sleep(Duration::from_millis(if slow { 200 } else { 20 })).await;
        }),
    ));
    let ran = run(ONE, host, users(4, 3_000));
    let times = &ran.totals.all.response;
    let [median, p80, p95] = times.quantiles([0.5, 0.8, 0.95]).map(|micros| micros as f64 / 1_000.0);
    // Ratios, not times: a busy machine makes all of them longer.
    assert!(p95 / median > 2.0, "{median} {p80} {p95}");
    assert!(p80 / median < p95 / p80, "{median} {p80} {p95}");
    // Never shorter than what the server waited.
    assert!(times.min() >= 20_000 && times.quantile(0.95) >= 200_000, "{median} {p95}");
    assert_eq!(times.quantile(1.0), times.max());
}

#[test]
fn server_timing_is_collected() {
    let host = start(Router::new().route(
        "/x",
        get(|| async {
            let mut headers = HeaderMap::new();
            headers.insert("server-timing", "db;dur=3.5, total;dur=5".parse().unwrap());
            headers
        }),
    ));
    let ran = run(ONE, host, users(1, 300));
    let stages = &ran.totals.all.stages;
    let count = ran.totals.all.requests;
    assert!(count > 0);
    assert_eq!((stages["db"].count, stages["total"].count), (count, count));
    assert!((stages["db"].sum / count as f64 - 3.5).abs() < 1e-6);
}

#[test]
fn answers_in_chunks_compressed_and_redirected() {
    use axum::body::Body;
    use axum::http::header::{CONTENT_ENCODING, LOCATION};
    use axum::response::{IntoResponse, Redirect};

    let zipped = {
        use std::io::Write;
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        zip.write_all(br#"{"id": "zipped"}"#).unwrap();
        zip.finish().unwrap()
    };
    let routes = Router::new()
        .route(
            "/chunks",
            get(|| async {
                let pieces = [r#"{"id":"#, r#" "chunked"}"#].map(Ok::<_, std::convert::Infallible>);
                Body::from_stream(futures_util::stream::iter(pieces))
            }),
        )
        .route("/zip", get(move || async move { ([(CONTENT_ENCODING, "gzip")], zipped) }))
        .route("/old", get(|| async { Redirect::temporary("new?x=1") }))
        .route(
            "/new",
            get(|Query(query): Query<Vec<(String, String)>>| async move { format!("{{\"id\": \"{}\"}}", query[0].1) }),
        )
        .route(
            "/form",
            axum::routing::post(|| async {
                (axum::http::StatusCode::SEE_OTHER, [(LOCATION, "/new?x=2")]).into_response()
            }),
        )
        .route("/loop", get(|| async { Redirect::to("/loop") }));
    let host = start(routes);
    let text = r#"
redirects = 3
[[users]]
name = "Reader"
wait = { constant = "50ms" }
[[users.tasks]]
steps = [
    { get = "/chunks", expect = { json = { "$.id" = "chunked" } } },
    { get = "/zip", expect = { json = { "$.id" = "zipped" } } },
    { get = "/old", expect = { json = { "$.id" = "1" } } },
    { post = "/form", json = { a = 1 }, expect = { status = 200, json = { "$.id" = "2" } } },
    { get = "/loop" },
]
"#;
    let ran = run(text, host, users(2, 500));
    let errors = ran.totals.errors_by_count();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((errors[0].1, &*errors[0].0.name), ("more than 3 redirects", "/loop"));
    let names: Vec<&str> = ran.totals.sorted().iter().map(|entry| &*entry.id.name).collect();
    assert_eq!(names, ["/chunks", "/form", "/loop", "/old", "/zip"]);
}
