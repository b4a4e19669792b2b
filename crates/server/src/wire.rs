//! A connection's bytes on their way in and out: counted for its [`Pace`], and the answers that hyper makes by itself
//! turned into problems.
//!
//! What is no request that can be read never reaches a route: hyper answers it with a bare head and closes. These are
//! all of them: 400 for a request line or header that is none, 414 for a target over 65,534 bytes, 431 for more than
//! 100 headers or a head that outgrows its buffer (some 400 KiB). There is no hook for them, so they are known by their
//! form as they are written: a 4xx without our request id and without a body, alone in its write. They are not counted
//! in the metrics, having neither method nor route.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use regatta_api::problem::CONTENT_TYPE as PROBLEM;
use regatta_engine::timing::Stages;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pace::Pace;
use crate::problem::{Failure, Kind};
use crate::request_id;
use crate::timing::header;

/// A bare answer is shorter.
const LONGEST_BARE: usize = 256;
/// How much is still read of a peer that was refused, so that the answer is not lost with a reset connection.
const LEFT_OVER: usize = 4 << 20;

/// See the module.
pub(crate) struct Wire<S> {
    stream: S,
    pace: Arc<Pace>,
    /// What is left to write of the problem that stands for a bare answer.
    problem: Option<Bytes>,
    /// How much is still to be thrown away before the connection is closed.
    left_over: usize,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace, problem: None, left_over: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pace.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Writes the problem that stands for a bare answer, if there is one; ready when it is out.
    fn poll_problem(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(problem) = &mut self.problem {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, problem))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            problem.advance(written);
            if problem.is_empty() {
                self.problem = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether this write is a bare answer, which is then written as a problem; ready when that is out.
    fn poll_bare(&mut self, cx: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<bool>> {
        let Some(status) = bare(text) else { return Poll::Ready(Ok(false)) };
        // A write that was not ready comes again with the same text.
        if self.left_over == 0 {
            self.left_over = LEFT_OVER;
            self.problem = Some(answer(status, text));
        }
        ready!(self.poll_problem(cx))?;
        Poll::Ready(Ok(true))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        if ready!(self.poll_bare(cx, text))? {
            return Poll::Ready(Ok(text.len()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, text))?;
        self.pace.wrote();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        texts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [text] = texts
            && ready!(self.poll_bare(cx, text))?
        {
            return Poll::Ready(Ok(text.len()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, texts))?;
        self.pace.wrote();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        while self.left_over > 0 {
            let mut space = [0; 4 * 1_024];
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.left_over = self.left_over.saturating_sub(buffer.filled().len());
                }
                // It is gone, which is all that was waited for.
                Ok(()) | Err(_) => self.left_over = 0,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of a bare answer. Every answer of ours carries a request id.
fn bare(text: &[u8]) -> Option<StatusCode> {
    // The first test is the one that ordinary answers fail.
    if text.get(9) != Some(&b'4') || text.len() > LONGEST_BARE || !text.starts_with(b"HTTP/1.") {
        return None;
    }
    let head = std::str::from_utf8(text).ok()?.strip_suffix("\r\n\r\n")?;
    if head.contains("\r\n\r\n") || head.contains(request_id::X_REQUEST_ID.as_str()) {
        return None;
    }
    StatusCode::from_bytes(text.get(9..12)?).ok()
}

/// The problem that stands for a bare answer.
fn answer(status: StatusCode, bare: &[u8]) -> Bytes {
    let failure = match status {
        StatusCode::URI_TOO_LONG => Failure::new(
            Kind::UriTooLong,
            "The path with its query is longer than 65534 bytes; send what is long in the body.",
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Failure::new(
            Kind::HeadersTooLarge,
            "The headers are more than 100, or too large for the server's buffer; send fewer and shorter ones.",
        ),
        StatusCode::BAD_REQUEST => Failure::new(
            Kind::BadRequest,
            "The request line or a header is none that HTTP/1.1 knows (RFC 9112); send the request with an HTTP client.",
        ),
        other => Failure::of_status(other),
    };
    let id = request_id::of(&HeaderMap::new());
    let id = id.to_str().unwrap_or_default();
    tracing::info!(request_id = id, status = status.as_u16(), "answered what is no request");
    let body = serde_json::to_string(&failure.into_problem(id.to_owned())).unwrap_or_default();
    let timing = header(Stages::default(), Duration::ZERO, Duration::ZERO);
    let date = std::str::from_utf8(bare).unwrap_or_default().lines().find(|line| line.starts_with("date: "));
    let date = date.map_or_else(String::new, |date| format!("{date}\r\n"));
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {}\r\nx-request-id: {id}\r\nserver-timing: {}\r\n\
         cache-control: no-cache\r\nconnection: close\r\n{date}\r\n{body}",
        body.len(),
        timing.to_str().unwrap_or_default(),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_answers_are_taken_for_such() {
        let bare_one = b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        assert_eq!(bare(bare_one), Some(StatusCode::URI_TOO_LONG));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nx\r\n\r\n",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(bare(other.as_bytes()), None, "{other}");
        }
        let text = String::from_utf8(answer(StatusCode::URI_TOO_LONG, bare_one).to_vec()).unwrap();
        assert!(text.contains("\r\ndate: now\r\n") && text.contains("\"status\":414"), "{text}");
    }
}
