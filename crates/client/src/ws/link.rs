//! A watcher's connection that comes back: connecting again with backoff after it broke.
//!
//! What to say after connecting, and where to go on, is the business of the watchers themselves.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::incoming::Incoming;
use super::socket::{Socket, connect, message};
use crate::retry::Retries;
use crate::{Client, Error, Result};

/// A connection that comes back. All its state is here, so that a dropped future loses none of it.
pub(super) struct Link {
    client: Client,
    socket: Option<Incoming<Socket>>,
    /// Counts since the connection was lost, until something is heard again: a server that accepts and closes at once
    /// does not make us spin.
    retries: Option<Retries>,
    /// When the next attempt to connect is due.
    due: Option<Instant>,
    /// The attempt that is under way.
    connecting: Option<BoxFuture<'static, Result<Socket>>>,
    /// Why the last attempt failed.
    failed: Option<Error>,
    /// Connected, and nothing said yet.
    fresh: bool,
}

impl Link {
    /// Connects for the first time, as patient as a call.
    ///
    /// # Errors
    /// The last attempt's, see [`connect`].
    pub(super) async fn open(client: &Client, path: &str, query: &str) -> Result<Self> {
        let mut link = Self {
            client: client.clone(),
            socket: None,
            retries: Some(client.inner.retry.start()),
            due: Some(Instant::now()),
            connecting: None,
            failed: None,
            fresh: false,
        };
        link.restore(path, query).await?;
        Ok(link)
    }

    /// Makes sure that there is a connection.
    ///
    /// # Errors
    /// When connecting failed for longer than the policy allows, or cannot succeed; a next call begins anew.
    pub(super) async fn restore(&mut self, path: &str, query: &str) -> Result<()> {
        while self.socket.is_none() {
            let due = self.next_attempt()?;
            sleep_until(due).await;
            // Kept outside this future: a caller that looks in often must not begin to connect again each time.
            let connecting = self.connecting.get_or_insert_with(|| {
                let (client, path, query) = (self.client.clone(), path.to_owned(), query.to_owned());
                async move { connect(&client.inner, &path, &query).await }.boxed()
            });
            let outcome = connecting.await;
            self.connecting = None;
            self.due = None;
            match outcome {
                Ok(socket) => {
                    self.socket = Some(Incoming::new(socket));
                    self.fresh = true;
                }
                Err(error) => {
                    let may_pass = error.is_unreachable() || matches!(error.status(), Some(429 | 503));
                    if !may_pass {
                        self.retries = None;
                        return Err(error);
                    }
                    tracing::debug!(%error, "connecting again");
                    self.failed = Some(error);
                }
            }
        }
        Ok(())
    }

    /// When to connect next. Even the first attempt after a loss waits a little: a restarted server has many watchers.
    fn next_attempt(&mut self) -> Result<Instant> {
        if let Some(due) = self.due {
            return Ok(due);
        }
        let retries = self.retries.get_or_insert_with(|| self.client.inner.reconnect.start());
        if let Some(pause) = retries.pause(None) {
            return Ok(*self.due.insert(Instant::now() + pause));
        }
        self.retries = None;
        Err(self.failed.take().unwrap_or_else(|| Error::Unreachable {
            url: self.client.server().to_owned(),
            reason: "the connection breaks again and again".to_owned(),
        }))
    }

    /// Whether there is a connection, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether the connection is new and [`Link::settle`] was not called since.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Says that what has to be said on a new connection was said.
    pub(super) fn settle(&mut self) {
        self.fresh = false;
    }

    /// The next text frame; `None` when the connection is lost. Nothing is lost when the future is dropped.
    pub(super) async fn text(&mut self) -> Option<Utf8Bytes> {
        let socket = self.socket.as_mut()?;
        let text = socket.text().await;
        if text.is_some() {
            self.retries = None;
            self.failed = None;
        } else {
            if let Some(closed) = socket.closed().get() {
                tracing::debug!(%closed, "the watcher's connection is lost");
            }
            self.socket = None;
        }
        text
    }

    /// Sends a frame. When the connection is lost by it, the next read notices: what has to be said is said anew then.
    ///
    /// # Errors
    /// When the frame cannot be sent over any connection.
    pub(super) async fn send(&mut self, frame: &impl Serialize) -> Result<()> {
        let message = message(frame)?;
        if let Some(socket) = &mut self.socket
            && let Err(error) = socket.stream.send(message).await
        {
            tracing::debug!(%error, "the watcher's connection is lost");
            self.socket = None;
        }
        Ok(())
    }
}
