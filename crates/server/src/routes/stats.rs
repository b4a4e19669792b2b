//! `/stats`: the overview.

use axum::extract::State;
use axum::response::Response;
use regatta_api::stats::Stats;

use crate::answers::{Asked, Question};
use crate::app::App;
use crate::convert::stats::stats as convert;
use crate::identity::Identity;
use crate::reply::Result;

/// What an overview needs, in one cheap call
#[utoipa::path(get, path = "/api/v1/stats", tag = "health", responses((status = 200, description = "The overview", body = Stats)))]
pub(crate) async fn stats(State(app): State<App>, _caller: Identity) -> Result<Response> {
    let open = match app.answers.ask(&app.engine, Question::Stats).await? {
        Asked::Known(answer) => return Ok(answer),
        Asked::Open(open) => open,
    };
    open.answer(&convert(&app.engine.stats().await?))
}
