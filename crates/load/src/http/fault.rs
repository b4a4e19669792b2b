//! What can go wrong between a request and its answer. The texts are grouped and counted, so they hold nothing that
//! differs from request to request.

use std::io;
use std::time::Duration;

/// No answer, or none that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The connection could not be made.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection could not be secured.
    #[error("TLS: {0}")]
    Tls(String),
    /// The answer did not come, or did not end, in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The connection ended before the answer did.
    #[error("the server closed the connection {}", if *.0 { "in the middle of the answer" } else { "without an answer" })]
    Closed(bool),
    /// What came is no HTTP.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// The answer is larger than what one may hold.
    #[error("the answer is larger than {} bytes, which is all one may hold (max_answer)", .0)]
    TooLarge(u64),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(String),
    /// The server ended a WebSocket, and the code it gave (RFC 6455, section 7.4).
    #[error("the server closed the WebSocket{}", .0.map(|code| format!(" ({code})")).unwrap_or_default())]
    SocketClosed(Option<u16>),
    /// The server broke off in the words of HTTP/2.
    #[error("HTTP/2: {0}")]
    Http2(String),
    /// A step needs a WebSocket, and there is none.
    #[error("no WebSocket is open: a step `ws` opens one")]
    NoSocket,
    /// More redirects than are followed.
    #[error("more than {0} redirects")]
    Redirects(u32),
}

impl Fault {
    /// A fault of the connection, by its kind: the system's texts carry numbers that say nothing.
    pub fn io(error: &io::Error) -> Self {
        Self::Io(kind(error))
    }

    /// A connection that was not made.
    pub fn connect(error: &io::Error) -> Self {
        Self::Connect(kind(error))
    }
}

fn kind(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset by the server".into(),
        io::ErrorKind::BrokenPipe => "the server closed it while we were sending".into(),
        io::ErrorKind::TimedOut => "timed out".into(),
        io::ErrorKind::AddrNotAvailable => "no local port is free".into(),
        _ => match error.raw_os_error() {
            // EMFILE, ENFILE
            Some(24 | 23) => "too few file descriptors (ulimit -n)".into(),
            _ => error.to_string(),
        },
    }
}
