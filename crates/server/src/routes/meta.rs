//! What has no prefix: `/metrics`, `/openapi.json` and the page to try it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use utoipa_swagger_ui::Config;

use crate::app::App;
use crate::metrics;
use crate::problem::{Failure, Kind};
use crate::problem_pages;
use crate::reply::{self, Result};

/// The page's files change only with the version of the server.
const LONG: HeaderValue = HeaderValue::from_static("public, max-age=604800");
/// Nothing is loaded from elsewhere, and the browser sees to it.
const OWN_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
);

/// Figures for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "meta", responses(
    (status = 200, description = "The text format of Prometheus", body = String, content_type = "text/plain"),
))]
pub(crate) async fn prometheus(State(app): State<App>) -> Result<Response> {
    let text = metrics::render(&app).await?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], text).into_response())
}

/// What a kind of problem means: the page at its `type`.
pub(crate) async fn problem(Path(slug): Path<String>) -> Result<String> {
    problem_pages::page(&slug).ok_or_else(|| Failure::new(Kind::NotFound, "There is no such kind of problem."))
}

/// The document, written once.
#[derive(Clone)]
pub(crate) struct Document {
    text: Bytes,
    tag: Option<HeaderValue>,
}

impl Document {
    pub(crate) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        let text: Bytes = serde_json::to_vec_pretty(document).unwrap_or_default().into();
        Self { tag: reply::etag(&text), text }
    }

    /// Answers `/openapi.json`.
    pub(crate) fn answer(&self) -> Response {
        let mut response = Response::new(self.text.clone().into());
        response.headers_mut().insert(CONTENT_TYPE, reply::JSON);
        if let Some(tag) = &self.tag {
            response.headers_mut().insert(ETAG, tag.clone());
        }
        response
    }
}

/// `/docs`: the slash matters, the page's files are relative to it.
pub(crate) async fn to_docs() -> Redirect {
    Redirect::permanent("/docs/")
}

/// The files of the page.
pub(crate) async fn docs(tail: Option<Path<String>>) -> Result<Response> {
    let tail = tail.map_or_else(String::new, |Path(tail)| tail);
    let config = Config::new(["/openapi.json"])
        // Otherwise the page asks a validator on the internet.
        .validator_url("none")
        .try_it_out_enabled(true);
    let file = utoipa_swagger_ui::serve(&tail, Arc::new(config)).map_err(|error| Failure::internal(&error))?;
    let Some(file) = file else {
        return Err(Failure::new(Kind::NotFound, "There is no such file; the page begins at /docs/."));
    };
    let mut response = Response::new(Bytes::from(file.bytes.into_owned()).into());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_str(&file.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CONTENT_SECURITY_POLICY, OWN_ONLY);
    // The page itself and its settings are looked at again; what they name keeps.
    if !(tail.is_empty() || tail == "index.html" || tail == "swagger-initializer.js") {
        headers.insert(CACHE_CONTROL, LONG);
    }
    Ok(response)
}
