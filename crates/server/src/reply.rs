//! Successful answers: JSON, written once, with the time that took.

use std::time::Instant;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use regatta_engine::timing::delayed;

use crate::problem::Failure;
use crate::request;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a handler returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// 200 with JSON.
pub(crate) struct Json<T>(pub(crate) T);

/// 201 with JSON.
pub(crate) struct Created<T>(pub(crate) T);

/// 200 with JSON and a weak `ETag`: one resource. The tag is a hash of the body, so it changes whenever the body
/// would, also by what is worked out on reading. `If-None-Match` is answered in [`crate::front`].
pub(crate) struct Tagged<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        write(StatusCode::OK, &self.0, false)
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        write(StatusCode::CREATED, &self.0, false)
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        write(StatusCode::OK, &self.0, true)
    }
}

/// An answer with this status.
pub(crate) fn with_status<T: Serialize>(status: StatusCode, body: &T) -> Response {
    write(status, body, false)
}

fn write<T: Serialize>(status: StatusCode, body: &T, tagged: bool) -> Response {
    let mut response = Written::new(body, tagged).into_response();
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    response
}

/// A 200 as it goes out; its bytes are shared.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) body: Bytes,
    tag: Option<HeaderValue>,
}

impl Written {
    /// Writes a body, and its tag where it is to have one.
    ///
    /// # Errors
    /// A 500 for what cannot be JSON.
    pub(crate) fn new<T: Serialize>(body: &T, tagged: bool) -> Result<Self> {
        let since = Instant::now();
        delayed("ser");
        let mut text = Vec::with_capacity(256);
        serde_json::to_writer(&mut text, body).map_err(|error| Failure::internal(&error))?;
        let tag = tagged.then(|| etag(&text)).flatten();
        request::book_serialising(since.elapsed());
        Ok(Self { body: text.into(), tag })
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body.into());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if let Some(tag) = self.tag {
            headers.insert(ETAG, tag);
        }
        response
    }
}

/// The weak tag of a body.
pub(crate) fn etag(body: &[u8]) -> Option<HeaderValue> {
    // By hand: formatting costs more than hashing a usual body.
    let hash = xxh3_64(body);
    let mut tag = *b"W/\"0000000000000000\"";
    for (digit, place) in tag[3..19].iter_mut().zip((0..16).rev()) {
        *digit = b"0123456789abcdef"[(hash >> (4 * place)) as usize & 15];
    }
    HeaderValue::from_bytes(&tag).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_bodys_hash() {
        for body in [&b""[..], b"{}", b"a longer body than the others"] {
            assert_eq!(etag(body).unwrap(), format!("W/\"{:016x}\"", xxh3_64(body)));
        }
    }
}
