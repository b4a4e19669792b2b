//! How the server is set up.

use regatta_engine::Engine;
use serde::{Deserialize, Serialize};

use crate::listen::{self, ListenError};
use crate::service::{Handle, Service};
use crate::tls::Tls;

/// The server's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where to listen: `localhost:8000` is IPv4 and IPv6, port 0 any free port.
    pub listen: Vec<String>,
    /// With which certificate it speaks TLS; without one it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Whether everyone who reaches it may do everything, though it listens beyond loopback: for agents that know no
    /// tokens, on a network where everyone is trusted.
    pub insecure_no_auth: bool,
    /// How much it takes on at once.
    pub limits: Limits,
    /// How long `/health/ready` says that it drains before connections are refused, in seconds: what a load
    /// balancer needs to notice.
    pub drain_delay_seconds: u32,
    /// How long requests may take to finish when draining, in seconds.
    pub drain_seconds: u32,
    /// How long the head of a request may take from its first byte to its last, in seconds; then the connection is cut.
    pub head_seconds: u32,
    /// How long the body of a request may take, in seconds; a long one has a second more for each 16 KiB that came.
    pub body_seconds: u32,
    /// How long a connection is kept without a request, in seconds. Workers that do not keep a WebSocket come back every
    /// 30 s, and should find it open.
    pub keep_alive_seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: vec!["localhost:8000".to_owned()],
            tls: None,
            insecure_no_auth: false,
            limits: Limits::default(),
            drain_delay_seconds: 0,
            drain_seconds: 10,
            head_seconds: 15,
            body_seconds: 30,
            keep_alive_seconds: 120,
        }
    }
}

/// How much a server takes on at once; what is beyond gets a 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests that are worked on.
    pub concurrent_requests: usize,
    /// Requests that wait for something to happen: polls and `wait_seconds`.
    pub waiting_requests: usize,
    /// Bytes of long request bodies that are read at once.
    pub body_bytes: usize,
    /// Tasks one watching WebSocket may subscribe to.
    pub topics_per_socket: usize,
    /// Notices that may wait for one watching WebSocket before it lags.
    pub socket_queue: usize,
    /// Bytes of answers that are kept to be given again while nothing of them has changed; 0 keeps none.
    pub kept_answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_requests: 4_096,
            waiting_requests: 16_384,
            body_bytes: 256 * 1_024 * 1_024,
            topics_per_socket: 1_024,
            socket_queue: 1_024,
            kept_answer_bytes: 4 * 1_024 * 1_024,
        }
    }
}

impl Options {
    /// Takes the addresses; from here on connections are accepted by the system and wait for [`Service::run`].
    ///
    /// # Errors
    /// When an address is taken, or is none.
    pub fn bind(self) -> Result<Bound, ListenError> {
        let sockets = listen::bind(&self.listen)?;
        Ok(Bound { options: self, sockets })
    }

    /// [`Options::bind`] and [`Bound::build`] in one.
    ///
    /// # Errors
    /// Those of both.
    pub fn build(self, engine: Engine) -> Result<(Service, Handle), ListenError> {
        self.bind()?.build(engine)
    }
}

/// A server that has its addresses and waits for its engine: who cannot listen need not open a database.
#[derive(Debug)]
pub struct Bound {
    options: Options,
    sockets: Vec<std::net::TcpListener>,
}

impl Bound {
    /// The server over this engine.
    ///
    /// # Errors
    /// When its certificate cannot be used.
    pub fn build(self, engine: Engine) -> Result<(Service, Handle), ListenError> {
        Service::new(self.options, engine, self.sockets)
    }
}
