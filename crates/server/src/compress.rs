//! Compression of what is over 1 KiB, when the caller asks for it.

use std::convert::Infallible;
use std::future::ready;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderValue, Request};
use tower::{ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::Compression;

/// What is smaller is not worth it.
const SMALL: u64 = 1_024;

/// Whether an answer is worth compressing; one that is says that it depends on what was accepted.
pub(crate) fn is_worth_it(response: &mut Response) -> bool {
    let size = response.body().size_hint().lower();
    let worth = size > SMALL && !response.headers().contains_key(CONTENT_ENCODING);
    if worth {
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    worth
}

/// Compresses an answer.
pub(crate) async fn compress(response: Response, accepted: &HeaderValue) -> Response {
    // The layer of tower-http around a service that has its answer already: whoever asks for nothing pays nothing.
    let mut request = Request::new(());
    request.headers_mut().insert(ACCEPT_ENCODING, accepted.clone());
    let mut response = Some(response);
    let service = service_fn(move |_request: Request<()>| {
        ready(Ok::<_, Infallible>(response.take().unwrap_or_else(|| Response::new(Body::empty()))))
    });
    match Compression::new(service).quality(CompressionLevel::Fastest).oneshot(request).await {
        Ok(compressed) => {
            let mut compressed = compressed.map(Body::new);
            compressed.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
            compressed
        }
        Err(never) => match never {},
    }
}
