//! What is left of a request's body when its call was refused before it was read.
//!
//! A connection that is closed while its peer still sends is reset, and the peer may never see the answer. So what
//! still comes is taken and thrown away for a while, whoever refused: a layer, an id, a limit.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

/// For how long, and how much, is taken.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST: usize = 2 << 30;
/// What is shorter has arrived with its headers, and hyper takes it by itself.
const SHORT: u64 = 16 * 1_024;

/// A body of which nothing is left behind.
struct Taken(Body);

/// Sees to the body of a request, where that is long enough to matter.
pub(crate) fn watch(request: Request) -> Request {
    let headers = request.headers();
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let long = length.is_some_and(|length| length > SHORT) || headers.contains_key(TRANSFER_ENCODING);
    // Who waits for leave to send (RFC 9110, 10.1.1) is refused by the answer alone.
    if !long || headers.contains_key(EXPECT) {
        return request;
    }
    request.map(|body| Body::new(Taken(body)))
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        // Without a runtime the connection is gone anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(PATIENCE, throw_away(std::mem::take(&mut self.0))));
        }
    }
}

async fn throw_away(mut body: Body) {
    let mut left = MOST;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}
