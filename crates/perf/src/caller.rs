//! A call that is measured: over the load engine's own codec, on a kept connection, from the moment it is sent to the
//! last byte of its answer, with what the server says of it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regatta_client::api::PREFIX;
use regatta_load::http::connection::Connection;
use regatta_load::http::exchange::{Buffer, Want, buffer, exchange};
use regatta_load::http::fault::Fault;
use regatta_load::http::head::header;
use regatta_load::http::request::{self, Method, Parts};
use regatta_load::http::target::Target;
use regatta_load::http::tls;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No answer of the platform is larger.
const MOST: u64 = 64 << 20;
/// A call without an answer by then has failed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Makes calls. Calls made at once have a connection each; what was used is kept for the next.
#[derive(Debug)]
pub struct Caller {
    target: Target,
    addresses: Vec<SocketAddr>,
    tls: Option<Arc<ClientConfig>>,
    token: Option<String>,
    idle: RefCell<Vec<Connection>>,
    buffer: Buffer,
}

/// Why there is no caller.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The address, the token or the certificates cannot be used.
    #[error("{0}")]
    Options(String),
    /// Nobody answers there.
    #[error("no server answers at {url} ({reason})")]
    Unreachable {
        /// The address.
        url: String,
        /// What the system says.
        reason: String,
    },
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    /// After the prefix `/api/v1`.
    path: String,
    /// What it is called in reports: the path with its ids left out.
    pub name: &'static str,
    body: Option<Vec<u8>>,
    key: Option<String>,
}

impl Call {
    /// GETs a path after the API's prefix.
    pub fn get(name: &'static str, path: impl Into<String>) -> Self {
        Self { method: Method::Get, path: path.into(), name, body: None, key: None }
    }

    /// POSTs to a path after the API's prefix.
    pub fn post(name: &'static str, path: impl Into<String>) -> Self {
        Self { method: Method::Post, path: path.into(), name, body: None, key: None }
    }

    /// DELETEs a path after the API's prefix.
    pub fn delete(name: &'static str, path: impl Into<String>) -> Self {
        Self { method: Method::Delete, path: path.into(), name, body: None, key: None }
    }

    /// With this body.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        // The bodies are our own types, which can all be written.
        self.body = serde_json::to_vec(body).ok();
        self
    }

    /// Under this idempotency key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// As it is shown.
    pub fn title(&self) -> String {
        format!("{} {}", self.method.as_str(), self.name)
    }
}

/// An answer and how it came.
#[derive(Debug, Clone)]
pub struct Reply {
    /// When the call was begun.
    pub sent: Instant,
    /// When its last byte was there.
    pub done: Instant,
    /// The status.
    pub status: u16,
    /// The id under which the server's log has it.
    pub request_id: Option<String>,
    /// `Server-Timing`, as it came.
    pub timing: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none, or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("the answer cannot be read: {error}"))
    }

    /// Whether the server says that it used a stage.
    pub fn used(&self, stage: &str) -> bool {
        crate::blame::stages(self.timing.as_deref().unwrap_or_default()).any(|(name, _)| name == stage)
    }
}

impl Caller {
    /// A caller of the server at this address.
    ///
    /// # Errors
    /// When the address cannot be used, or nobody answers there.
    pub async fn new(url: &str, token: Option<&str>, trust: Option<&Path>) -> Result<Self, CallerError> {
        let target: Target = url
            .parse()
            .map_err(|error: regatta_load::http::target::BadTarget| CallerError::Options(error.to_string()))?;
        let tls = if target.tls { Some(tls::config(trust).map_err(CallerError::Options)?) } else { None };
        let unreachable = |reason: String| CallerError::Unreachable { url: target.to_string(), reason };
        let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((target.host.as_str(), target.port))
            .await
            .map_err(|error| unreachable(error.to_string()))?
            .collect();
        let caller = Self {
            target: target.clone(),
            addresses: addresses.clone(),
            tls,
            token: token.map(str::to_owned),
            idle: RefCell::new(Vec::new()),
            buffer: buffer(),
        };
        let opened = tokio::time::timeout(TIMEOUT, caller.open()).await;
        match opened {
            Ok(Ok((connection, index))) => {
                caller.idle.borrow_mut().push(connection);
                // The one that answers is asked first from here on.
                addresses.rotate_left(index);
                Ok(Self { addresses, ..caller })
            }
            Ok(Err(fault)) => Err(unreachable(fault.to_string())),
            Err(_) => Err(unreachable("it does not accept a connection".to_owned())),
        }
    }

    async fn open(&self) -> Result<(Connection, usize), Fault> {
        let security = match &self.tls {
            Some(config) => Some((config, tls::name(&self.target)?)),
            None => None,
        };
        Connection::open(&self.addresses, 0, security).await
    }

    /// Makes a call. Any status is an answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn call(&self, call: &Call) -> Result<Reply, String> {
        let sent = Instant::now();
        match tokio::time::timeout(TIMEOUT, self.exchanged(call, sent)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err(Fault::Timeout(TIMEOUT).to_string()),
        }
    }

    async fn exchanged(&self, call: &Call, sent: Instant) -> Result<Reply, Fault> {
        let mut headers = Vec::new();
        if let Some(token) = &self.token {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        if let Some(key) = &call.key {
            headers.push(("Idempotency-Key".to_owned(), key.clone()));
        }
        let path = format!("{PREFIX}{}", call.path);
        let body = call.body.as_deref().map(|body| ("application/json", body));
        let mut bytes = Vec::new();
        request::write(&self.target, &Parts { method: call.method, path: &path, headers: &headers, body }, &mut bytes);
        let want = Want { method: call.method, head: true, body: true, most: MOST };
        loop {
            let kept = self.idle.borrow_mut().pop();
            let mut connection = match kept.filter(|connection| !connection.is_stale()) {
                Some(connection) => connection,
                None => self.open().await?.0,
            };
            let was_used = connection.used;
            delayed_by_the_generator();
            match exchange(&mut connection, &bytes, want, &self.buffer).await {
                Ok(answer) => {
                    let done = Instant::now();
                    if answer.head.keep_alive {
                        self.idle.borrow_mut().push(connection);
                    }
                    return Ok(Reply {
                        sent,
                        done,
                        status: answer.head.status,
                        request_id: header(&answer.raw_head, "x-request-id"),
                        timing: answer.head.timing,
                        body: answer.body,
                    });
                }
                // A server may close an idle connection at the moment in which we use it (RFC 9112, section 9.5).
                Err(Fault::Closed(false) | Fault::Io(_)) if was_used && call.method.is_idempotent() => {}
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// What a test of [`crate::blame`] asks for: that our own thread is late.
fn delayed_by_the_generator() {
    #[cfg(debug_assertions)]
    if let Some(pause) = std::env::var("REGATTA_TEST_DELAY").ok().and_then(|text| {
        let (place, ms) = text.split_once('=')?;
        (place == "generator").then(|| ms.parse().ok()).flatten()
    }) {
        std::thread::sleep(Duration::from_millis(pause));
    }
}
