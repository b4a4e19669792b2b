//! What the page asks for.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::lead::Lead;
use super::settings::Asked;

type Shared = State<Arc<Lead>>;

/// `login` says whether somebody must sign in, and can sign out.
pub fn routes(login: bool) -> Router<Arc<Lead>> {
    Router::new()
        .route("/api/load/options", get(move |lead: Shared| options(lead, login)))
        .route("/api/load/now", get(|State(lead): Shared| async move { Json(lead.now().await) }))
        .route("/api/load/history", get(history))
        .route("/api/load/ratio", get(|State(lead): Shared| async move { Json(lead.ratio()) }))
        .route("/api/load/logs", get(logs))
        .route("/api/load/start", post(start))
        .route("/api/load/edit", post(edit))
        .route("/api/load/stop", post(stop))
        .route("/api/load/reset", post(reset))
}

/// A sentence, and whether it went so.
pub fn said(result: Result<&str, String>) -> Response {
    match result {
        Ok(message) => Json(json!({ "message": message })).into_response(),
        Err(detail) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": detail }))).into_response(),
    }
}

async fn options(State(lead): Shared, login: bool) -> Json<Value> {
    let settings = lead.settings();
    let classes: Vec<Value> = lead
        .classes
        .iter()
        .map(|class| json!({ "name": class.name, "weight": class.weight, "on": settings.classes.contains_key(&class.name) }))
        .collect();
    Json(json!({ "classes": classes, "tags": lead.tags, "settings": settings, "login": login }))
}

async fn history(State(lead): Shared, Query(pairs): Query<Vec<(String, String)>>) -> Json<Value> {
    let ids: Vec<String> = pairs.iter().filter(|(key, _)| key == "id").map(|(_, id)| id.clone()).collect();
    let since = pairs.iter().find(|(key, _)| key == "since").and_then(|(_, at)| at.parse::<f64>().ok());
    Json(lead.history(&ids, since.map(|at| at as i64)))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn logs(State(lead): Shared, Query(After { after }): Query<After>) -> Json<Value> {
    Json(json!({ "lines": lead.lines(after) }))
}

/// A body as JSON; an empty one says nothing.
fn asked(body: &[u8]) -> Result<Asked, String> {
    if body.is_empty() {
        return Ok(Asked::default());
    }
    serde_json::from_slice(body).map_err(|error| format!("what was sent cannot be read: {error}"))
}

async fn start(State(lead): Shared, body: bytes::Bytes) -> Response {
    let settings = asked(&body).and_then(|asked| lead.settings().with(asked));
    said(match settings {
        Ok(settings) => lead.start(settings).await.map(|()| "the run has begun"),
        Err(why) => Err(why),
    })
}

async fn edit(State(lead): Shared, body: bytes::Bytes) -> Response {
    let settings = asked(&body).and_then(|asked| lead.settings().with(asked));
    said(settings.and_then(|settings| lead.edit(&settings)).map(|()| "the run goes on so"))
}

async fn stop(State(lead): Shared) -> Response {
    lead.stop("stopped from the page");
    said(Ok("the run is stopping"))
}

async fn reset(State(lead): Shared) -> Response {
    lead.reset();
    said(Ok("what was measured is forgotten"))
}
