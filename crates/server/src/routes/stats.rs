//! `/stats`: the overview.

use axum::extract::State;
use regatta_api::stats::Stats;

use crate::app::App;
use crate::convert::stats::stats as convert;
use crate::identity::Identity;
use crate::reply::{Json, Result};

/// What an overview needs, in one cheap call
#[utoipa::path(get, path = "/api/v1/stats", tag = "health", responses((status = 200, description = "The overview", body = Stats)))]
pub(crate) async fn stats(State(app): State<App>, _caller: Identity) -> Result<Json<Stats>> {
    Ok(Json(convert(&app.engine.stats().await?)))
}
