//! Accepting connections, and ending: what is under way finishes, what waits is answered, sockets are told to come back.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use regatta_engine::Engine;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answers::Answers;
use crate::app::{App, Phase, Shared};
use crate::identity::Access;
use crate::listen::ListenError;
use crate::metrics::{self, Requests};
use crate::options::Options;
use crate::overload::Places;
use crate::pace::{Bounds, Pace};
use crate::router;
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
    phase: watch::Sender<Phase>,
}

/// For those who talk to a server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    addresses: Vec<SocketAddr>,
}

impl Handle {
    /// Where it listens; with port 0 the ports it got.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its URL, without a slash at the end: as `localhost` where it is that, else by its first address.
    pub fn url(&self) -> String {
        let Some(first) = self.addresses.first() else { return String::new() };
        let both =
            self.addresses.iter().any(|other| other.is_ipv6() != first.is_ipv6() && other.port() == first.port());
        if both { format!("http://localhost:{}", first.port()) } else { format!("http://{first}") }
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
            .collect::<Result<_, _>>()?;
        let (phase, draining) = watch::channel(Phase::Up);
        let app = App::new(Shared {
            started_at: engine.now(),
            engine,
            access: Access::loopback(),
            places: Places::new(&options.limits),
            limits: options.limits.clone(),
            requests: Requests::default(),
            prometheus: metrics::install(),
            started: Instant::now(),
            answers: Answers::new(options.limits.kept_answer_bytes),
            store_health: Mutex::new(None),
            draining,
            sockets: watch::channel(()).0,
        });
        Ok((Self { app, options, sockets, phase }, Handle { addresses }))
    }

    /// Serves until `drain` is done, then finishes what is under way.
    ///
    /// # Errors
    /// When an address that was taken cannot be used after all.
    pub async fn run(self, drain: impl Future<Output = ()>) -> io::Result<()> {
        let Self { app, options, sockets, phase } = self;
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
            loops.spawn(accept(listener, router.clone(), app.clone(), bounds, connections.clone()));
        }
        loops.spawn(upkeep(app.clone()));
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

async fn accept(listener: TcpListener, router: Router, app: App, bounds: Bounds, connections: watch::Sender<()>) {
    let http = http1::Builder::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // The connection that failed is gone; if the system is short of something, a moment helps.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        serve(stream, &http, router.clone(), app.clone(), bounds, connections.subscribe());
    }
}

fn serve(
    stream: TcpStream,
    http: &http1::Builder,
    router: Router,
    app: App,
    bounds: Bounds,
    open: watch::Receiver<()>,
) {
    // Answers are written whole: waiting for more to send with them would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection went away at once");
        return;
    }
    let pace = Arc::new(Pace::new());
    let (router, paced) = (TowerToHyperService::new(router), pace.clone());
    let service = service_fn(move |request| {
        paced.asked();
        let (answer, paced) = (router.call(request), paced.clone());
        async move {
            let answer = answer.await;
            paced.answered();
            answer
        }
    });
    let connection = http.serve_connection(TokioIo::new(Wire::new(stream, pace.clone())), service).with_upgrades();
    tokio::spawn(async move {
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
    });
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
