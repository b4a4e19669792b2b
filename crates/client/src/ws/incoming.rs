//! The reading half of a WebSocket: text frames, a limit on silence, and how it ended.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use super::closed::Closed;
use super::socket::broken;
use crate::{Error, Result};

/// A peer that is silent for this long is gone: the server pings every 30 s.
const SILENCE: Duration = Duration::from_secs(60);

/// How long to wait for the end of the closing handshake.
pub(crate) const CLOSING: Duration = Duration::from_secs(1);

/// Reads frames. RFC 6455 pings are answered as long as someone reads.
pub(crate) struct Incoming<S> {
    pub(crate) stream: S,
    heard: Instant,
    silence: Duration,
    closed: Arc<OnceLock<Closed>>,
}

impl<S> Incoming<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, heard: Instant::now(), silence: SILENCE, closed: Arc::new(OnceLock::new()) }
    }

    /// Where it will stand how the socket ended.
    pub(crate) fn closed(&self) -> &Arc<OnceLock<Closed>> {
        &self.closed
    }
}

impl<S: Stream<Item = std::result::Result<Message, WsError>> + Unpin> Incoming<S> {
    /// The next text frame; `None` when the socket is closed. Nothing is lost when the future is dropped.
    pub(crate) async fn text(&mut self) -> Option<Utf8Bytes> {
        while self.closed.get().is_none() {
            let closed = match timeout_at(self.heard + self.silence, self.stream.next()).await {
                Ok(Some(Ok(message))) => {
                    self.heard = Instant::now();
                    match message {
                        Message::Text(text) => return Some(text),
                        Message::Close(frame) => frame.map_or_else(Closed::without_code, |frame| Closed {
                            code: Some(frame.code.into()),
                            reason: frame.reason.as_str().to_owned(),
                        }),
                        // Pings are answered by the library with the next read; the API sends no binary frames.
                        _ => continue,
                    }
                }
                Ok(Some(Err(error))) => broken(&error),
                Ok(None) => Closed { code: None, reason: "the server went away".to_owned() },
                Err(_) => {
                    Closed { code: None, reason: format!("the server was silent for {} s", self.silence.as_secs()) }
                }
            };
            let said = closed.code.is_some();
            // Set by this task only.
            let _ = self.closed.set(closed);
            if said {
                // Reading on sends the answer to the close frame.
                let _ = timeout(CLOSING, async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
            }
        }
        None
    }
}

impl Closed {
    /// A close frame without a code: 1005 stands for that in RFC 6455.
    fn without_code() -> Self {
        Self { code: Some(1005), reason: String::new() }
    }
}

/// A frame of a known type; `None` for a type that this client does not know (a newer server's).
///
/// # Errors
/// [`Error::Protocol`] when it does not fit its type.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<Option<T>> {
    #[derive(Deserialize)]
    struct Tag {
        #[serde(rename = "type")]
        kind: String,
    }
    let error = match serde_json::from_str(text) {
        Ok(frame) => return Ok(Some(frame)),
        Err(error) => error.to_string(),
    };
    if let Ok(Tag { kind }) = serde_json::from_str(text)
        && error.starts_with(&format!("unknown variant `{kind}`"))
    {
        tracing::debug!(kind, "a frame of an unknown type is ignored");
        return Ok(None);
    }
    Err(Error::Protocol(format!("a frame of the server cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_api::frames::worker::ServerFrame;

    #[tokio::test]
    async fn a_silent_server_counts_as_gone() {
        let mut incoming =
            Incoming { silence: Duration::from_secs(1), ..Incoming::new(futures_util::stream::pending()) };
        assert_eq!(incoming.text().await, None);
        let closed = incoming.closed().get().unwrap();
        assert_eq!((closed.code, closed.reason.as_str()), (None, "the server was silent for 1 s"));
    }

    #[tokio::test]
    async fn a_close_frame_without_a_code_is_an_end_in_order() {
        let mut incoming = Incoming::new(futures_util::stream::iter([Ok(Message::Close(None))]));
        assert_eq!(incoming.text().await, None);
        assert_eq!(incoming.closed().get().unwrap().code, Some(1005));
    }

    #[test]
    fn an_unknown_type_is_ignored_and_a_bad_frame_is_not() {
        assert_eq!(parse::<ServerFrame>(r#"{"type":"news","data":{}}"#).unwrap(), None);
        assert_eq!(parse::<ServerFrame>(r#"{"type":"pong"}"#).unwrap(), Some(ServerFrame::Pong));
        for bad in ["pong", "{}", r#"{"type":"task_cancel","data":{"reason":"x"}}"#] {
            let error = parse::<ServerFrame>(bad).unwrap_err().to_string();
            assert!(error.contains("cannot be read"), "{bad}: {error}");
        }
    }
}
