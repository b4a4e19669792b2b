//! Locust's web API (2.47), for scripts that steer a run and read its figures.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, RawForm, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use regatta_load::Totals;
use regatta_load::report::csv;
use serde_json::{Value, json};

use super::lead::{Lead, Phase};
use super::settings::Asked;

type Shared = State<Arc<Lead>>;

pub fn routes() -> Router<Arc<Lead>> {
    Router::new()
        .route("/swarm", post(swarm))
        .route("/stop", get(stop).post(stop))
        .route("/stats/reset", get(reset).post(reset))
        .route("/stats/requests", get(|State(lead): Shared| async move { Json(lead.locust().await) }))
        .route("/stats/requests/csv", get(|lead: Shared| table(lead, "requests", csv::stats)))
        .route("/stats/failures/csv", get(|lead: Shared| table(lead, "failures", csv::failures)))
        .route("/exceptions/csv", get(|lead: Shared| table(lead, "exceptions", csv::exceptions)))
        .route("/stats/requests_full_history/csv", get(full_history))
        .route("/stats/requests_json", get(entries))
        .route("/stats/report", get(report))
        .route("/exceptions", get(exceptions))
        .route("/tasks", get(tasks))
        .route("/logs", get(logs))
        .route("/worker-count", get(|| async { Json(json!({ "user_count": 0, "worker_count": 0 })) }))
}

fn failed(message: &str, host: &str) -> Response {
    Json(json!({ "success": false, "message": message, "host": host })).into_response()
}

/// Starts a run, or changes the one that goes on, as Locust does.
async fn swarm(State(lead): Shared, RawForm(form): RawForm) -> Response {
    let mut asked = Asked::default();
    let mut classes: Vec<String> = Vec::new();
    for (name, value) in form_urlencoded::parse(&form) {
        let number = || value.trim().parse::<f64>().ok();
        match &*name {
            "user_count" => match value.trim().parse() {
                Ok(users) => asked.users = Some(users),
                Err(_) => return failed("user_count is a whole number", &lead.settings().host),
            },
            "spawn_rate" => match number() {
                Some(rate) => asked.spawn_rate = Some(rate),
                None => return failed("spawn_rate is a number", &lead.settings().host),
            },
            "host" => asked.host = Some(value.into_owned()),
            // A number is seconds, as Locust has it.
            "run_time" => asked.run_time = Some(number().map_or_else(|| json!(value), |seconds| json!(seconds))),
            "user_classes" => classes.push(value.into_owned()),
            "arrival_rate" => asked.arrival_rate = Some(json!(value)),
            "stages" => asked.stages = Some(json!(value)),
            "tags" => asked.tags.get_or_insert_default().extend(value.split_whitespace().map(str::to_owned)),
            "exclude_tags" => {
                asked.exclude_tags.get_or_insert_default().extend(value.split_whitespace().map(str::to_owned));
            }
            // Options that are ours to know, or Locust's own.
            _ => {}
        }
    }
    if !classes.is_empty() {
        let weight = |name: &String| lead.classes.iter().find(|class| class.name == *name).map(|class| class.weight);
        match classes.iter().map(|name| Some((name.clone(), weight(name)?))).collect::<Option<BTreeMap<_, _>>>() {
            Some(classes) => asked.classes = Some(classes),
            None => return failed("there is no such user class", &lead.settings().host),
        }
    }
    let settings = match lead.settings().with(asked) {
        Ok(settings) => settings,
        Err(why) => return failed(&why, &lead.settings().host),
    };
    let host = settings.host.clone();
    let done = match lead.phase() {
        Phase::Spawning | Phase::Running => lead.edit(&settings),
        _ => lead.start(settings).await,
    };
    match done {
        Ok(()) => Json(json!({ "success": true, "message": "Swarming started", "host": host })).into_response(),
        Err(why) => failed(&why, &host),
    }
}

async fn stop(State(lead): Shared) -> Json<Value> {
    lead.stop("stopped from the page");
    Json(json!({ "success": true, "message": "Test stopped" }))
}

async fn reset(State(lead): Shared) -> &'static str {
    lead.reset();
    "ok"
}

/// A file to be kept.
fn file(kind: &'static str, name: &str, content: Vec<u8>) -> Response {
    let headers = [(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename={name}"))];
    (headers, content).into_response()
}

fn stamped(what: &str, ending: &str) -> String {
    format!("{what}_{}.{ending}", jiff::Timestamp::now().strftime("%Y-%m-%d_%H-%M-%S"))
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "nothing was measured yet; start a run").into_response()
}

async fn table(
    State(lead): Shared,
    what: &'static str,
    write: fn(&mut dyn std::io::Write, &Totals) -> std::io::Result<()>,
) -> Response {
    // Before a run the header is all there is.
    let totals = lead.totals().await.unwrap_or_else(|| Totals::new(&[], &[]));
    let mut content = Vec::new();
    match write(&mut content, &totals) {
        Ok(()) => file("text/csv; charset=utf-8", &stamped(what, "csv"), content),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn full_history(State(lead): Shared) -> Response {
    match lead.full_history() {
        Some(content) => {
            file("text/csv; charset=utf-8", &stamped("requests_full_history", "csv"), content.into_bytes())
        }
        None => (
            StatusCode::NOT_FOUND,
            "Error: Server was not started with option to generate full history: --csv PREFIX --csv-full-history",
        )
            .into_response(),
    }
}

async fn entries(State(lead): Shared) -> Response {
    match lead.entries().await {
        Some(entries) => file("application/json", &stamped("requests", "json"), entries.to_string().into_bytes()),
        None => nothing(),
    }
}

async fn report(State(lead): Shared, Query(options): Query<BTreeMap<String, String>>) -> Response {
    match lead.report().await {
        Some(page) if options.get("download").is_some_and(|word| word == "1") => {
            file("text/html; charset=utf-8", &stamped("report", "html"), page.into_bytes())
        }
        Some(page) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        None => nothing(),
    }
}

async fn exceptions(State(lead): Shared) -> Json<Value> {
    let mut list = lead.exceptions().await;
    for exception in list.as_array_mut().into_iter().flatten() {
        let (count, message, place) =
            (exception["count"].take(), exception["message"].take(), exception["place"].take());
        *exception = json!({ "count": count, "msg": message, "traceback": place, "nodes": "local" });
    }
    Json(json!({ "exceptions": list }))
}

/// Locust's tree: tasks by name under their class.
async fn tasks(State(lead): Shared) -> Json<Value> {
    let ratio = lead.ratio();
    let tree = |share: &str| -> Value {
        let class = |class: &Value| {
            let tasks =
                class["tasks"].as_array().into_iter().flatten().map(|task| {
                    (task["name"].as_str().unwrap_or_default().to_owned(), json!({ "ratio": task[share] }))
                });
            let tasks: serde_json::Map<String, Value> = tasks.collect();
            let of = if share == "total" { class["total"].clone() } else { json!(1.0) };
            (class["name"].as_str().unwrap_or_default().to_owned(), json!({ "ratio": of, "tasks": tasks }))
        };
        ratio.as_array().into_iter().flatten().map(class).collect::<serde_json::Map<String, Value>>().into()
    };
    Json(json!({ "per_class": tree("ratio"), "total": tree("total") }))
}

async fn logs(State(lead): Shared) -> Json<Value> {
    let lines: Vec<Value> = lead.lines(0).iter().map(|line| line["message"].clone()).collect();
    Json(json!({ "master": lines, "workers": {} }))
}
