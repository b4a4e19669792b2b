//! Accepting connections, and ending: what is under way finishes, what waits is answered, sockets are told to come back.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use regatta_engine::Engine;
use regatta_engine::tokens::Tokens;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::answers::Answers;
use crate::app::{App, Phase, Shared};
use crate::front::Peer;
use crate::identity;
use crate::listen::ListenError;
use crate::metrics::{self, Requests};
use crate::options::Options;
use crate::overload::Places;
use crate::pace::{Bounds, Pace};
use crate::router;
use crate::tls::{self, Tls};
use crate::wire::Wire;

/// Between two looks at what the histograms have gathered, so that they do not grow while nobody scrapes.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How long sockets may take to finish what was begun and to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// After the system could not accept, for example for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A server that has its addresses. Made by [`Options::build`].
pub struct Service {
    app: App,
    options: Options,
    sockets: Vec<std::net::TcpListener>,
    tls: Option<TlsAcceptor>,
    phase: watch::Sender<Phase>,
}

/// For those who talk to a server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    addresses: Vec<SocketAddr>,
    access: Access,
    scheme: &'static str,
}

/// Who may call a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever is on this machine: it listens only on loopback addresses and asks nobody.
    Loopback,
    /// Everyone who reaches it ([`Options::insecure_no_auth`]).
    Open,
    /// Who shows a token.
    Tokens,
}

impl Handle {
    /// Where it listens; with port 0 the ports it got.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who may call it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Its URL for who is on this machine, without a slash at the end: as `localhost` where it is that (an address that
    /// means all of them is), else by its first address.
    pub fn url(&self) -> String {
        let Some(first) = self.addresses.first() else { return String::new() };
        let scheme = self.scheme;
        if first.ip().is_unspecified() {
            return format!("{scheme}://localhost:{}", first.port());
        }
        let both =
            self.addresses.iter().any(|other| other.is_ipv6() != first.is_ipv6() && other.port() == first.port());
        if both { format!("{scheme}://localhost:{}", first.port()) } else { format!("{scheme}://{first}") }
    }
}

impl Service {
    pub(crate) fn new(
        options: Options,
        engine: Engine,
        sockets: Vec<std::net::TcpListener>,
    ) -> Result<(Self, Handle), ListenError> {
        let addresses = sockets
            .iter()
            .map(|socket| {
                socket.local_addr().map_err(|error| ListenError::Refused { address: ([0, 0, 0, 0], 0).into(), error })
            })
            .collect::<Result<Vec<SocketAddr>, _>>()?;
        let beyond_loopback = addresses.iter().any(|address| !address.ip().to_canonical().is_loopback());
        let access = match (beyond_loopback, options.insecure_no_auth) {
            (false, _) => Access::Loopback,
            (true, true) => Access::Open,
            (true, false) => Access::Tokens,
        };
        let tls = options.tls.as_ref().map(Tls::acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (phase, draining) = watch::channel(Phase::Up);
        let app = App::new(Shared {
            started_at: engine.now(),
            access: match access {
                Access::Loopback => identity::Access::loopback(),
                Access::Open => identity::Access::open(),
                Access::Tokens => identity::Access::tokens(Tokens::new(engine.store().clone())),
            },
            scheme,
            engine,
            places: Places::new(&options.limits),
            limits: options.limits.clone(),
            body_time: Duration::from_secs(options.body_seconds.into()),
            requests: Requests::default(),
            prometheus: metrics::install(),
            started: Instant::now(),
            answers: Answers::new(options.limits.kept_answer_bytes),
            store_health: Mutex::new(None),
            draining,
            sockets: watch::channel(()).0,
        });
        Ok((Self { app, options, sockets, tls, phase }, Handle { addresses, access, scheme }))
    }

    /// Serves until `drain` is done, then finishes what is under way.
    ///
    /// # Errors
    /// When an address that was taken cannot be used after all.
    pub async fn run(self, drain: impl Future<Output = ()>) -> io::Result<()> {
        let Self { app, options, sockets, tls, phase } = self;
        let router = router::build(&app).with_state::<()>(());
        // A receiver lives in every connection, so that the last one to go is noticed.
        let connections = watch::channel(()).0;
        let bounds = Bounds {
            head: Duration::from_secs(options.head_seconds.into()),
            rest: Duration::from_secs(options.keep_alive_seconds.into()),
        };
        let mut loops = JoinSet::new();
        for socket in sockets {
            let listener = TcpListener::from_std(socket)?;
            let door = Door { tls: tls.clone(), router: router.clone(), app: app.clone(), bounds };
            loops.spawn(accept(listener, door, connections.clone()));
        }
        loops.spawn(upkeep(app.clone()));
        if matches!(app.access, identity::Access::Tokens { .. }) {
            loops.spawn(keep_tokens_fresh(app.clone()));
        }
        drain.await;

        phase.send_replace(Phase::Announced);
        tokio::time::sleep(Duration::from_secs(options.drain_delay_seconds.into())).await;
        phase.send_replace(Phase::Draining);
        // The listeners go with their loops: new connections are refused from here on.
        loops.shutdown().await;
        let finish = Duration::from_secs(options.drain_seconds.into());
        if tokio::time::timeout(finish, connections.closed()).await.is_err() {
            tracing::warn!(seconds = options.drain_seconds, "requests that did not finish in time are cut off");
        }
        if tokio::time::timeout(GOODBYE, app.sockets.closed()).await.is_err() {
            tracing::warn!(open = app.sockets.receiver_count(), "WebSockets that did not close in time are cut off");
        }
        Ok(())
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Door {
    tls: Option<TlsAcceptor>,
    router: Router,
    app: App,
    bounds: Bounds,
}

async fn accept(listener: TcpListener, door: Door, connections: watch::Sender<()>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // The connection that failed is gone; if the system is short of something, a moment helps.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        // Answers are written whole: waiting for more to send with them would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection went away at once");
            continue;
        }
        // Where nobody is asked who calls, nobody needs to know from where.
        let peer = matches!(door.app.access, identity::Access::Tokens { .. }).then_some(Peer(peer.ip()));
        let (door, open) = (door.clone(), connections.subscribe());
        match &door.tls {
            None => drop(tokio::spawn(converse(door, stream, peer, open))),
            Some(_) => drop(tokio::spawn(converse_safely(door, stream, peer, open))),
        }
    }
}

/// Answers the requests of one connection, over TLS.
async fn converse_safely(door: Door, stream: TcpStream, peer: Option<Peer>, open: watch::Receiver<()>) {
    let Some(acceptor) = &door.tls else { return };
    let shaken = tokio::select! {
        shaken = tls::handshake(acceptor, stream) => shaken,
        () = door.app.until_draining() => None,
    };
    if let Some(stream) = shaken {
        // On the heap, so that the memory of a handshake is not kept as long as the connection.
        Box::pin(converse(door, stream, peer, open)).await;
    }
}

/// Answers the requests of one connection.
async fn converse(
    door: Door,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Option<Peer>,
    open: watch::Receiver<()>,
) {
    let Door { router, app, bounds, .. } = door;
    let pace = Arc::new(Pace::new());
    let (router, paced) = (TowerToHyperService::new(router), pace.clone());
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        paced.asked();
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (answer, paced) = (router.call(request), paced.clone());
        async move {
            let answer = answer.await;
            paced.answered();
            answer
        }
    });
    let wire = TokioIo::new(Wire::new(stream, pace.clone()));
    let connection = http1::Builder::new().serve_connection(wire, service).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        slow = pace.too_slow(bounds) => {
            tracing::debug!(?slow, "a connection is closed");
            Ok(())
        }
        () = app.until_draining() => {
            // The request under way is answered; an idle connection closes at once.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(open);
}

async fn keep_tokens_fresh(app: App) {
    if let identity::Access::Tokens { tokens, .. } = &app.access {
        tokens.keep_fresh().await;
    }
}

async fn upkeep(app: App) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP);
    loop {
        ticks.tick().await;
        app.prometheus.run_upkeep();
    }
}

// The router answers everything, also what goes wrong.
const _: fn() = || {
    fn infallible<S: tower::Service<axum::extract::Request, Error = Infallible>>() {}
    infallible::<Router>();
};
