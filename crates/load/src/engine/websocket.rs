//! What a user does over its WebSocket, and what is counted of it.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::client::{Call, Client, before};
use super::follow::{Place, connect};
use crate::http::exchange::{Want, exchange};
use crate::http::fault::Fault;
use crate::http::request::Method;
use crate::ws::{Message, Socket, handshake};

/// For users in Rust. A user has one WebSocket at a time; it stays open between its tasks.
impl Client {
    /// Opens a WebSocket; counted under `name`, which should not differ from call to call. One that is open is dropped.
    ///
    /// # Errors
    /// Why there is none; it is counted as a failure already.
    pub async fn open_socket(&mut self, path: &str, name: &str) -> Result<(), String> {
        let call = self.talk(name, "WS");
        self.open(path, &[], call).await
    }

    /// Sends a text over it. Counted, under `name`, only when it fails.
    ///
    /// # Errors
    /// When it is not open, or breaks.
    pub async fn send_text(&mut self, text: &str, name: &str) -> Result<(), String> {
        let call = self.talk(name, "WSS");
        self.send(text, call).await
    }

    /// Waits for a message that fits; others are passed over. Counted under `name`, from when something was last sent,
    /// a request or a text, to the arrival of the message.
    ///
    /// # Errors
    /// When none comes; it is counted as a failure already.
    pub async fn receive_message(
        &mut self,
        name: &str,
        mut fits: impl FnMut(&Message) -> bool,
    ) -> Result<Message, String> {
        let call = self.talk(name, "WSR");
        let mut found = None;
        let fits = |message: &Message| fits(message).then_some(());
        self.receive(call, fits, |message, ()| {
            found = Some(message.clone());
            Ok(())
        })
        .await?;
        found.ok_or_else(|| Fault::NoSocket.to_string())
    }

    /// Closes it, if it is open.
    pub async fn close_socket(&mut self) {
        self.close(self.shard.plan.limits.timeout).await;
    }

    fn talk(&mut self, name: &str, method: &'static str) -> Call {
        let limits = self.shard.plan.limits;
        let want = Want { method: Method::Get, head: true, body: true, most: limits.max_answer };
        Call { id: self.id(name, method), want, timeout: limits.timeout, record: true }
    }

    /// Opens the user's WebSocket; one that is open is dropped. Counted as a request of method `WS`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(&mut self, path: &str, headers: &[(String, String)], call: Call) -> Result<(), String> {
        let intended = self.intended.take();
        let key = handshake::key();
        let mut bytes = Vec::new();
        handshake::write(&self.shard.plan.host, path, headers, &key, &mut bytes);
        self.socket = None;
        let sent = Instant::now();
        self.triggered = Some(sent);
        let Self { shard, address, timer, .. } = self;
        let place = Place { target: &shard.plan.host, addresses: &shard.addresses };
        let work = async {
            let mut connection = connect(shard, place, address, false).await?;
            let answer = exchange(&mut connection, &bytes, call.want, &shard.buffer).await?;
            Ok((connection, answer))
        };
        let outcome = before(timer, sent + call.timeout, call.timeout, pin!(work)).await;
        let outcome = outcome.map_err(|fault| fault.to_string()).and_then(|(connection, answer)| {
            handshake::check(&answer, &key)?;
            self.socket = Some(Box::new(Socket::new(connection, answer.body, call.want.most)));
            Ok(())
        });
        self.count(call, intended, sent, Instant::now(), 0, outcome.clone());
        outcome
    }

    /// Sends a text over the WebSocket. Counted, as a request of method `WSS`, only when it fails.
    ///
    /// # Errors
    /// When it is not open, or breaks.
    pub(super) async fn send(&mut self, text: &str, call: Call) -> Result<(), String> {
        let sent = Instant::now();
        self.triggered = Some(sent);
        let Self { shard, timer, socket, .. } = self;
        let work = async { socket.as_mut().ok_or(Fault::NoSocket)?.send(text, &shard.buffer).await };
        let outcome =
            before(timer, sent + call.timeout, call.timeout, pin!(work)).await.map_err(|fault| fault.to_string());
        if outcome.is_err() {
            self.count(call, None, sent, Instant::now(), 0, outcome.clone());
        }
        outcome
    }

    /// Waits for a message over the WebSocket that `fits`; others are passed over. Counted as a request of method
    /// `WSR` that began when something was last sent and ended when the message came.
    ///
    /// # Errors
    /// When none comes, or what `judge` says of it.
    pub(super) async fn receive<T>(
        &mut self,
        call: Call,
        mut fits: impl FnMut(&Message) -> Option<T>,
        judge: impl FnOnce(&Message, T) -> Result<(), String>,
    ) -> Result<(), String> {
        let intended = self.intended.take();
        let now = Instant::now();
        let sent = self.triggered.unwrap_or(now);
        let Self { shard, timer, socket, .. } = self;
        let work = async {
            let socket = socket.as_mut().ok_or(Fault::NoSocket)?;
            loop {
                let message = socket.receive(&shard.buffer).await?;
                if let Some(found) = fits(&message) {
                    return Ok((message, found));
                }
            }
        };
        let outcome = before(timer, now + call.timeout, call.timeout, pin!(work)).await;
        let (done, bytes, outcome) = match outcome {
            // What came before it was asked for has waited for nothing.
            Ok((message, found)) => (message.at.max(sent), message.body.len() as u64, judge(&message, found)),
            Err(Fault::Timeout(time)) => {
                (Instant::now(), 0, Err(format!("no such message within {} s", time.as_secs_f64())))
            }
            Err(fault) => (Instant::now(), 0, Err(fault.to_string())),
        };
        self.count(call, intended, sent, done, bytes, outcome.clone());
        outcome
    }

    /// Closes the WebSocket, if it is open. Nothing of it is counted.
    pub(super) async fn close(&mut self, timeout: Duration) {
        let Self { shard, timer, socket, .. } = self;
        let Some(mut socket) = socket.take() else { return };
        // A server that does not answer the goodbye is left as it is.
        let _ = before(timer, Instant::now() + timeout, timeout, pin!(socket.close(&shard.buffer))).await;
    }
}
