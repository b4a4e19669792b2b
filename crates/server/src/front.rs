//! The one layer in front of every route: request id, guard, identity, overload, timing, metrics, log, compression.
//!
//! One layer instead of ten, because each costs an allocation or two per request. It is laid around the routes and
//! not around the router, so that it knows the pattern that matched.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use regatta_api::problem::CONTENT_TYPE as PROBLEM;
use regatta_engine::timing::{self, Stages};
use tower::{Layer, Service};

use crate::app::App;
use crate::compress::{self, compress};
use crate::guard;
use crate::host;
use crate::identity::{Access, Identity, Shown};
use crate::leftover;
use crate::overload::{Permit, Share};
use crate::policy::{self, Permission};
use crate::problem::Failure;
use crate::request::Context;
use crate::request_id::{self, X_REQUEST_ID};
use crate::timing::{SERVER_TIMING, header};

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// What every answer tells browsers: it is what it says it is, belongs into no frame and no page of another place, runs
/// and loads nothing (the docs page says what it loads), and its address is told to nobody.
const PROTECTION: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];
/// For a year, whoever spoke TLS with this name does not speak plain HTTP with it.
const YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What the layer must know of the routes behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// To which share they belong.
    pub(crate) share: Share,
    /// Whether a foreign origin is refused for GET too: it changes something, or opens a WebSocket.
    pub(crate) guard_get: bool,
    /// Whether no route of it asks who calls.
    pub(crate) public: bool,
    /// Whether they are WebSockets, which may show their token otherwise than in a header.
    pub(crate) socket: bool,
}

/// Where a connection comes from, as an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Kind {
    /// Ordinary calls.
    pub(crate) const ORDINARY: Self = Self { share: Share::Ordinary, guard_get: false, public: false, socket: false };
    /// Calls of workers that keep the fleet alive.
    pub(crate) const VITAL: Self = Self { share: Share::Vital, guard_get: false, public: false, socket: false };
    /// Health, metrics and documents.
    pub(crate) const PUBLIC: Self = Self { share: Share::Vital, guard_get: false, public: true, socket: false };
    /// WebSockets: opening one costs little, and what follows has its own bounds.
    pub(crate) const SOCKET: Self = Self { share: Share::Vital, guard_get: true, public: false, socket: true };
    /// A GET that changes something.
    pub(crate) const CHANGING_GET: Self =
        Self { share: Share::Ordinary, guard_get: true, public: false, socket: false };
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) app: App,
    pub(crate) kind: Kind,
}

impl<S> Layer<S> for Front {
    type Service = Fronted<S>;
    fn layer(&self, inner: S) -> Fronted<S> {
        Fronted { front: self.clone(), inner }
    }
}

/// A route with the layer in front.
#[derive(Clone)]
pub(crate) struct Fronted<S> {
    front: Front,
    inner: S,
}

impl<S> Service<Request> for Fronted<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that was polled ready is the one to use.
        let fresh = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, fresh);
        let id = request_id::of(request.headers());
        Box::pin(serve(self.front.clone(), ready, request, id).map(Ok))
    }
}

/// What is needed of a request after it was handed on.
struct Asked {
    since: Instant,
    method: Method,
    route: Option<MatchedPath>,
    encodings: Option<HeaderValue>,
    if_none_match: Option<HeaderValue>,
}

async fn serve<S>(front: Front, mut inner: S, request: Request, id: HeaderValue) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let Front { app, kind } = front;
    let asked = Asked {
        since: Instant::now(),
        method: request.method().clone(),
        route: request.extensions().get::<MatchedPath>().cloned(),
        encodings: request.headers().get(ACCEPT_ENCODING).cloned(),
        if_none_match: request.headers().get(IF_NONE_MATCH).cloned(),
    };
    let route = asked.route.as_ref().map_or("unmatched", MatchedPath::as_str);
    // A body cannot be shared between threads, so it waits beside.
    let (parts, body) = request.into_parts();
    let entered = admit(&app, kind, &parts, asked.route.as_ref().map(MatchedPath::as_str), &id).await;
    let request = leftover::watch(Request::from_parts(parts, body));
    let (response, ser, stages) = match entered {
        Err(failure) => {
            let context = Context::new(id.clone(), None, None);
            let (response, ser) = context.run(async { failure.into_response() }).await;
            (response, ser, Stages::default())
        }
        Ok((identity, permit)) => {
            // On the heap before it is wrapped: each wrapper copies what it wraps, and this is a kilobyte.
            let call = Box::pin(AssertUnwindSafe(inner.call(request)).catch_unwind());
            let ((response, stages), ser) = Context::new(id.clone(), identity, permit)
                .run(timing::collect(async {
                    match call.await {
                        Ok(Ok(response)) => as_problem(response),
                        Ok(Err(never)) => match never {},
                        Err(panic) => Failure::internal(&panic_text(&*panic)).into_response(),
                    }
                }))
                .await;
            (response, ser, stages)
        }
    };
    let mut response = finish(response, &asked).await;
    let took = asked.since.elapsed();
    let status = response.status();
    let headers = response.headers_mut();
    // Room for all that follow at once.
    headers.reserve(3 + PROTECTION.len());
    headers.insert(X_REQUEST_ID, id.clone());
    headers.insert(SERVER_TIMING, header(stages, ser, took));
    headers.entry(CACHE_CONTROL).or_insert(NO_CACHE);
    if status != StatusCode::SWITCHING_PROTOCOLS {
        for (name, value) in &PROTECTION {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if app.scheme == "https" {
            headers.insert(STRICT_TRANSPORT_SECURITY, YEAR);
        }
    }
    app.requests.count(&asked.method, route, status, took);
    log(&asked.method, route, status, took, &id);
    response
}

/// Whether the request may come in, as whom, and its place among those that are served.
async fn admit(
    app: &App,
    kind: Kind,
    request: &Parts,
    route: Option<&str>,
    id: &HeaderValue,
) -> Result<(Option<Identity>, Option<Permit>), Failure> {
    let (uri, headers) = (&request.uri, &request.headers);
    host::check(request.version, headers)?;
    match &app.access {
        Access::Loopback(_) => guard::check_host(uri, headers)?,
        // It may be called by any name.
        Access::Open(_) => {}
        Access::Tokens { .. } => {
            // On the heap: where nobody is asked, a request need not carry room for it.
            let asked = Context::new(id.clone(), None, None).run(ask(app, kind, request, route));
            let (caller, _) = Box::pin(asked).await;
            let caller = caller?;
            return Ok((caller, app.places.enter(kind.share)?));
        }
    }
    if kind.guard_get || !guard::is_safe(&request.method) {
        guard::check_origin(app.scheme, uri, headers)?;
    }
    let identity = match &app.access {
        Access::Loopback(identity) | Access::Open(identity) if !kind.public => Some(identity.clone()),
        _ => None,
    };
    Ok((identity, app.places.enter(kind.share)?))
}

/// Who calls, by the token, where the route asks for one.
async fn ask(app: &App, kind: Kind, request: &Parts, route: Option<&str>) -> Result<Option<Identity>, Failure> {
    let needed = policy::permission(&request.method, route);
    if needed == Some(Permission::Public) {
        return Ok(None);
    }
    // No browser adds a token by itself, so there is nothing that a page of another place could make it do.
    let (uri, headers) = (&request.uri, &request.headers);
    let peer = request.extensions.get::<Peer>().map(|peer| peer.0);
    let caller = app.access.identify(Shown { headers, uri, socket: kind.socket, peer }).await?;
    policy::authorize(app, &caller, needed, uri).await?;
    Ok(Some(caller))
}

/// Errors that a layer beneath made become problems too.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_problem(response.headers()) {
        return response;
    }
    // The answers of our own routes that are no problems, such as an unhealthy `/health`, are JSON.
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == crate::reply::JSON) {
        return response;
    }
    let (parts, _) = response.into_parts();
    let mut problem = Failure::of_status(status).into_response();
    *problem.status_mut() = status;
    for (name, value) in &parts.headers {
        if *name != CONTENT_TYPE && *name != CONTENT_LENGTH && !problem.headers().contains_key(name) {
            problem.headers_mut().insert(name.clone(), value.clone());
        }
    }
    problem
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM)
}

/// 304 where the caller has the answer already, and compression.
async fn finish(mut response: Response, asked: &Asked) -> Response {
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    if let (true, StatusCode::OK, Some(wanted), Some(tag)) =
        (reads, response.status(), &asked.if_none_match, response.headers().get(ETAG))
        && has_tag(wanted, tag)
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
        return response;
    }
    if asked.method == Method::HEAD || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let worth_it = compress::is_worth_it(&mut response);
    match &asked.encodings {
        // Rarely asked for by programs, and large.
        Some(accepted) if worth_it => Box::pin(compress(response, accepted)).await,
        _ => response,
    }
}

/// Weak comparison (RFC 9110, 8.8.3.2) with a list of tags.
fn has_tag(wanted: &HeaderValue, tag: &HeaderValue) -> bool {
    fn opaque(tag: &str) -> &str {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag)
    }
    let (Ok(wanted), Ok(tag)) = (wanted.to_str(), tag.to_str()) else { return false };
    wanted.split(',').any(|one| one.trim() == "*" || opaque(one) == opaque(tag))
}

fn log(method: &Method, route: &str, status: StatusCode, took: Duration, id: &HeaderValue) {
    let (status, milliseconds) = (status.as_u16(), took.as_micros() as f64 / 1_000.0);
    let request_id = Visible(id);
    match status {
        500.. => tracing::warn!(%method, route, status, milliseconds, %request_id, "answered"),
        400.. => tracing::info!(%method, route, status, milliseconds, %request_id, "answered"),
        _ => tracing::debug!(%method, route, status, milliseconds, %request_id, "answered"),
    }
}

/// A header's value in a log line.
struct Visible<'a>(&'a HeaderValue);

impl std::fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("without a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let tag = HeaderValue::from_static("W/\"a\"");
        for wanted in ["W/\"a\"", "\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(has_tag(&HeaderValue::from_str(wanted).unwrap(), &tag), "{wanted}");
        }
        for wanted in ["\"b\"", "a", ""] {
            assert!(!has_tag(&HeaderValue::from_str(wanted).unwrap(), &tag), "{wanted}");
        }
    }
}
