//! One WebSocket, in two halves that do not wait for each other: the reading half sees signs of life and silence, the
//! writing half pings and is held up by nobody but its own peer.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::request::Parts;
use regatta_api::frames::ErrorData;
use regatta_api::limits::{CLOSE_RESTART, FRAME_BYTES};
use regatta_engine::tokens::LiveToken;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::app::App;
use crate::body::{self, Check};
use crate::convert::events::text;
use crate::identity::{Identity, PROTOCOL};
use crate::problem::{Failure, Kind};
use crate::request;

/// How often a peer is pinged.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(30);
/// A peer that was silent for this long is gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);
/// The library's default of 128 KiB would eat the memory of a thousand connections.
const BUFFER: usize = 4 * 1_024;
/// A frame over the limit is still read whole up to here, so that its sender can be told instead of cut off.
const READ_LIMIT: usize = FRAME_BYTES + 6 * 1_024 * 1_024;
/// How long the peer's half of a closing handshake is waited for.
const GOODBYE: Duration = Duration::from_secs(2);
/// RFC 6455, 7.4.1: a message is too big to process.
const CLOSE_TOO_BIG: u16 = 1009;

/// A request to open a WebSocket. What is no such request is a 426.
pub(crate) struct Upgrade(WebSocketUpgrade);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        WebSocketUpgrade::from_request_parts(parts, state).await.map(Self).map_err(|error| {
            Failure::new(
                Kind::UpgradeRequired,
                format!("This path is a WebSocket; connect with a client for these ({error})."),
            )
        })
    }
}

impl Upgrade {
    /// Answers 101 and runs `serve` on the open socket.
    pub(crate) fn open<F>(
        self,
        app: &App,
        caller: Identity,
        serve: impl FnOnce(Incoming, Outgoing) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Counted, so that a drain waits for it.
        let open = app.sockets.subscribe();
        let context = request::afterwards();
        self.0
            // A browser that offers subprotocols takes only an answer that names one of them.
            .protocols([PROTOCOL])
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_frame_size(READ_LIMIT)
            .max_message_size(READ_LIMIT)
            .on_upgrade(move |socket| {
                // On the heap before it is wrapped: each wrapper would have room for a session of its own.
                let session = Box::pin(async move {
                    let (incoming, outgoing) = split(socket, caller.token);
                    serve(incoming, outgoing).await;
                    drop(open);
                });
                context.run(session).map(drop)
            })
    }
}

fn split(socket: WebSocket, token: Option<LiveToken>) -> (Incoming, Outgoing) {
    let (sink, stream) = socket.split();
    let mut pings = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    (Incoming { stream, heard: Instant::now(), token }, Outgoing { sink, pings })
}

/// What a peer did.
#[derive(Debug)]
pub(crate) enum Input {
    /// It sent a frame.
    Frame(Utf8Bytes),
    /// It sent a frame that cannot be read; this is to be said to it.
    Refused(&'static str),
    /// It sent a frame over the limit; the connection cannot go on.
    TooLarge,
    /// It pinged or answered a ping.
    Sign,
    /// Nothing was heard of it for [`SILENCE`].
    Silent,
    /// It is gone.
    Closed,
    /// The token it was opened with was revoked.
    Revoked,
}

/// The reading half.
pub(crate) struct Incoming {
    stream: SplitStream<WebSocket>,
    heard: Instant,
    token: Option<LiveToken>,
}

impl Incoming {
    /// What the peer does next. Safe to cancel: nothing is lost.
    pub(crate) async fn next(&mut self) -> Input {
        let next = tokio::time::timeout_at(self.heard + SILENCE, self.stream.next());
        let read = match &self.token {
            None => next.await,
            Some(token) => tokio::select! {
                biased;
                () = token.revoked() => return Input::Revoked,
                read = next => read,
            },
        };
        let Ok(read) = read else { return Input::Silent };
        let input = match read {
            Some(Ok(Message::Text(text))) if text.len() > FRAME_BYTES => Input::TooLarge,
            Some(Ok(Message::Text(text))) => Input::Frame(text),
            Some(Ok(Message::Binary(_))) => Input::Refused("Binary frames are not read; send JSON in text frames."),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Input::Sign,
            Some(Ok(Message::Close(_))) | None => return Input::Closed,
            Some(Err(error)) => {
                tracing::debug!(%error, "a WebSocket broke");
                // The library has no typed error for it through axum.
                return if error.to_string().contains("too long") { Input::TooLarge } else { Input::Closed };
            }
        };
        self.heard = Instant::now();
        input
    }

    /// Counts a sign of life that came another way.
    pub(crate) fn heard_at(&mut self, ago: Duration) {
        self.heard = Instant::now().checked_sub(ago).unwrap_or(self.heard).max(self.heard);
    }
}

/// The peer is gone, or takes nothing any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone;

/// The writing half.
pub(crate) struct Outgoing {
    sink: SplitSink<WebSocket, Message>,
    pings: Interval,
}

impl Outgoing {
    /// Sends the text of a frame, which was written before.
    pub(crate) async fn send(&mut self, text: Bytes) -> Result<(), Gone> {
        self.message(Message::Text(as_text(text)?)).await
    }

    /// Takes the text of a frame without sending it yet; [`Outgoing::flush`] sends what was taken.
    pub(crate) async fn feed(&mut self, text: Bytes) -> Result<(), Gone> {
        let text = as_text(text)?;
        within(self.sink.feed(Message::Text(text))).await
    }

    /// Sends what was taken.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        within(self.sink.flush()).await
    }

    /// Writes a frame and sends it.
    pub(crate) async fn write<T: Serialize>(&mut self, frame: &T) -> Result<(), Gone> {
        self.send(text(frame)).await
    }

    /// Says that a frame did not fit.
    pub(crate) async fn error(&mut self, message: &str) -> Result<(), Gone> {
        self.send(error_frame(message)).await
    }

    /// Returns when a ping is due.
    pub(crate) async fn ping_due(&mut self) {
        self.pings.tick().await;
    }

    /// Pings the peer.
    pub(crate) async fn ping(&mut self) -> Result<(), Gone> {
        self.message(Message::Ping(Bytes::new())).await
    }

    /// Says goodbye.
    pub(crate) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        // Whoever is gone need not be told.
        let _ = self.message(Message::Close(Some(frame))).await;
    }

    /// Sends what is left to send, such as the answer to a goodbye.
    async fn end(&mut self) {
        let _ = tokio::time::timeout(GOODBYE, self.sink.close()).await;
    }

    async fn message(&mut self, message: Message) -> Result<(), Gone> {
        within(self.sink.send(message)).await
    }
}

/// Nothing is waited for longer than a peer may be silent.
async fn within(write: impl Future<Output = Result<(), axum::Error>>) -> Result<(), Gone> {
    match tokio::time::timeout(SILENCE, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

fn as_text(text: Bytes) -> Result<Utf8Bytes, Gone> {
    // What serde_json writes is UTF-8.
    Utf8Bytes::try_from(text).map_err(|_| Gone)
}

/// A frame that says what is wrong with one that was sent.
pub(crate) fn error_frame(message: &str) -> Bytes {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "error")]
    struct Frame {
        data: ErrorData,
    }
    text(&Frame { data: ErrorData { message: message.to_owned() } })
}

/// Why a socket is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer is gone.
    Gone,
    /// The server drains.
    Draining,
    /// A frame was over the limit.
    TooLarge,
    /// Nothing was heard of the peer.
    Silent,
    /// For a reason with a code of its own.
    Code(u16, &'static str),
}

impl End {
    /// The token was revoked. RFC 6455, 7.4.1: 1008 is a violation of policy.
    pub(crate) const REVOKED: Self = Self::Code(1008, "the token was revoked");
}

/// Closes a socket as its end asks, and waits a moment for the peer to close its half.
pub(crate) async fn finish(end: End, mut incoming: Incoming, mut outgoing: Outgoing) {
    let (code, reason) = match end {
        // A peer that said goodbye gets its half of the handshake; one that just went gets nothing.
        End::Gone => return outgoing.end().await,
        End::Draining => (CLOSE_RESTART, "this node drains; connect again"),
        End::TooLarge => {
            let _ =
                outgoing.error(&format!("The frame is larger than the limit of {FRAME_BYTES} bytes; send less.")).await;
            (CLOSE_TOO_BIG, "a frame was too large")
        }
        End::Silent => (1001, "nothing was heard for 60 s"),
        End::Code(code, reason) => (code, reason),
    };
    outgoing.close(code, reason).await;
    let _ = tokio::time::timeout(GOODBYE, async {
        while !matches!(incoming.next().await, Input::Closed | Input::Silent | Input::Revoked) {}
    })
    .await;
}

/// What a watcher sent: an action, or what is wrong with its frame.
pub(crate) type Asked<A> = Result<A, String>;

/// Actions that may wait while the writing half is busy.
pub(crate) const ACTIONS: usize = 16;

/// Reads a watcher's actions until its end.
pub(crate) async fn read_actions<A: Check>(incoming: &mut Incoming, actions: mpsc::Sender<Asked<A>>) -> End {
    loop {
        let asked = match incoming.next().await {
            Input::Frame(text) => body::parse::<A>(text.as_bytes()).map_err(|failure| failure.sentence()),
            Input::Refused(why) => Err(why.to_owned()),
            Input::Sign => continue,
            Input::TooLarge => return End::TooLarge,
            Input::Silent => return End::Silent,
            Input::Closed => return End::Gone,
            Input::Revoked => return End::REVOKED,
        };
        if actions.send(asked).await.is_err() {
            return End::Gone;
        }
    }
}
