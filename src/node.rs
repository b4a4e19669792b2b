//! A server node: store, bus, engine and HTTP wired together, for `serve` and `up`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use regatta_bus::relay::{Received, Transport};
use regatta_bus::{Bus, LocalBus, RedisTransport, RelayBus};
use regatta_engine::tokens::mint;
use regatta_engine::{CommitSink, RealWorld, Service as EngineService, Surroundings};
use regatta_model::Timestamp;
use regatta_model::token::Secret;
use regatta_model::words::TokenRole;
use regatta_server::{Access, Bound, Handle, Service as ServerService, Tls};
use regatta_store::postgres::{self, DatabaseClock, Heard, PostgresStore, Relay};
use regatta_store::sqlite::{self, SqliteStore};
use regatta_store::{Store, StoreError};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::cli::database::Database;
use crate::exit::{Exit, Failure};
use crate::ui;

/// What is kept of tasks that ended: everything, unless it is said otherwise.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Retain {
    /// Forget tasks so many days after they ended, with steps, logs and events [default: keep them]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub retain_days: Option<u32>,

    /// Forget the oldest of the tasks that ended when there are more than this [default: keep them]
    #[arg(long, value_name = "N")]
    pub retain_tasks: Option<u64>,
}

impl Retain {
    /// The flags over the configuration file.
    pub fn or(self, file: &crate::config::Serve) -> Self {
        Self {
            retain_days: self.retain_days.or(file.retain_days),
            retain_tasks: self.retain_tasks.or(file.retain_tasks),
        }
    }
}

/// What a node is made of.
pub struct NodeOptions {
    /// The database.
    pub database: Database,
    /// The Redis by which servers on one PostgreSQL tell each other their news; without it PostgreSQL does.
    pub redis: Option<String>,
    /// Most connections to PostgreSQL that read.
    pub pool_size: Option<usize>,
    /// Where to listen.
    pub listen: Vec<String>,
    /// How long a lease holds without renewal, in seconds.
    pub lease_seconds: Option<u32>,
    /// With which certificate it speaks TLS.
    pub tls: Option<Tls>,
    /// Whether everyone who reaches it may do everything, though it listens beyond loopback.
    pub insecure_no_auth: bool,
    /// What is kept of tasks that ended.
    pub retain: Retain,
}

/// A node that has its store and its addresses.
pub struct Node {
    store: Arc<dyn Store>,
    engine: EngineService,
    server: ServerService,
    handle: Handle,
    first_token: Option<Secret>,
    /// Where it is listed as long as it is up.
    redis: Option<Arc<RedisTransport>>,
}

impl NodeOptions {
    /// Takes the addresses and the database; connections wait until [`Node::run`].
    ///
    /// # Errors
    /// When the database cannot be used or an address cannot be had, with what to do.
    pub async fn build(self) -> Result<Node, Failure> {
        let server_options = regatta_server::Options {
            listen: self.listen,
            tls: self.tls,
            insecure_no_auth: self.insecure_no_auth,
            ..Default::default()
        };
        // First: who cannot listen leaves the database alone.
        let bound = server_options.bind().map_err(listen_failure)?;
        let mut redis = None;
        let bus: Arc<dyn Bus> = match &self.database {
            Database::Sqlite(_) => Arc::new(LocalBus::new()),
            Database::Postgres(url) => {
                // First: where there is no database there is nobody to hear.
                postgres::migrate(url).await.map_err(store_failure)?;
                let transport: Arc<dyn Transport> = match &self.redis {
                    Some(url) => {
                        let transport = RedisTransport::start(url, Default::default()).map_err(Failure::usage)?;
                        redis.insert(Arc::new(transport)).clone()
                    }
                    None => Arc::new(Notifications(Relay::start(url).map_err(store_failure)?)),
                };
                Arc::new(RelayBus::over(transport))
            }
        };
        let sink = CommitSink::new(bus);
        let opened_with = sink.clone();
        let (store, world): (Arc<dyn Store>, Arc<dyn Surroundings>) = match self.database {
            Database::Sqlite(path) => {
                // It may have to change its schema, which takes a while.
                let open = move || SqliteStore::open(sqlite::Options::new(path), opened_with);
                let store = tokio::task::spawn_blocking(open)
                    .await
                    .map_err(|error| Failure::failed(format!("the store could not be opened: {error}")))?
                    .map_err(store_failure)?;
                (Arc::new(store), Arc::new(RealWorld::default()))
            }
            Database::Postgres(url) => {
                let mut options = postgres::Options::new(url);
                options.pool_size = self.pool_size.unwrap_or(options.pool_size);
                let store = PostgresStore::open(options, opened_with).await.map_err(store_failure)?;
                let world = SharedTime { real: RealWorld::default(), clock: store.clock() };
                (Arc::new(store), Arc::new(world))
            }
        };
        let built = build_over(store.clone(), world, &sink, bound, self.lease_seconds, self.retain).await;
        match built {
            Ok(node) => Ok(Node { redis, ..node }),
            Err(failure) => {
                store.close().await;
                Err(failure)
            }
        }
    }
}

/// The world as it is, but for the time: that of the database, which is the same for all of its nodes.
struct SharedTime {
    real: RealWorld,
    clock: DatabaseClock,
}

impl Surroundings for SharedTime {
    fn wall(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    fn random(&self) -> u32 {
        self.real.random()
    }

    fn uuid(&self) -> Uuid {
        self.real.uuid()
    }
}

/// What nodes tell each other, by the notifications of their PostgreSQL.
struct Notifications(Relay);

#[async_trait]
impl Transport for Notifications {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn send(&self, message: Bytes) -> Result<(), String> {
        self.0.send(&message).await.map_err(|error| error.to_string())
    }

    async fn receive(&self) -> Received {
        match self.0.receive().await {
            Heard::Message(message) => Received::Message(message),
            Heard::Break => Received::Break,
        }
    }

    async fn ping(&self) -> Option<Duration> {
        self.0.ping().await
    }
}

async fn build_over(
    store: Arc<dyn Store>,
    world: Arc<dyn Surroundings>,
    sink: &CommitSink,
    bound: Bound,
    lease_seconds: Option<u32>,
    retain: Retain,
) -> Result<Node, Failure> {
    let mut options = regatta_engine::Options::default();
    options.lease_seconds = lease_seconds.unwrap_or(options.lease_seconds);
    options.retain_days = retain.retain_days;
    options.retain_tasks = retain.retain_tasks;
    let (engine, engine_service) = options
        .build_in(world, store.clone(), sink)
        .await
        .map_err(|error| Failure::failed(format!("the engine cannot start: {error}")))?;
    let (server, handle) = bound.build(engine).map_err(listen_failure)?;
    let first_token = match handle.access() {
        Access::Tokens => first_token(&*store).await?,
        Access::Loopback | Access::Open => None,
    };
    Ok(Node { store, engine: engine_service, server, handle, first_token, redis: None })
}

/// A user's token where there has never been one: without it nobody could do anything.
async fn first_token(store: &dyn Store) -> Result<Option<Secret>, Failure> {
    let tokens = store.tokens().await.map_err(store_failure)?;
    if tokens.iter().any(|token| token.role == TokenRole::User) {
        return Ok(None);
    }
    make_token(store, TokenRole::User, "first").await.map(Some)
}

async fn make_token(store: &dyn Store, role: TokenRole, name: &str) -> Result<Secret, Failure> {
    let (row, secret) = mint(role, name, Timestamp(ui::time::now().as_micros()))
        .map_err(|error| Failure::failed(format!("no token could be made: {error}")))?;
    store.add_token(row).await.map_err(store_failure)?;
    Ok(secret)
}

impl Node {
    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        self.handle.url()
    }

    /// Who may call it.
    pub fn access(&self) -> Access {
        self.handle.access()
    }

    /// The first user's token, when it was made just now: to be shown this once, and never in a log.
    pub fn take_first_token(&mut self) -> Option<Secret> {
        self.first_token.take()
    }

    /// A token for a process that this one starts, in place of the one of this name that an earlier run made.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn own_token(&self, role: TokenRole, name: &str) -> Result<Secret, Failure> {
        let tokens = self.store.tokens().await.map_err(store_failure)?;
        let now = Timestamp(ui::time::now().as_micros());
        for old in tokens.iter().filter(|old| old.name == name && old.role == role && old.revoked_at.is_none()) {
            self.store.revoke_token(old.id, now).await.map_err(store_failure)?;
        }
        make_token(&*self.store, role, name).await
    }

    /// Serves until `drain` is done: then finishes what is under way, stops dispatching, and closes the store.
    ///
    /// # Errors
    /// When a part of it ends by itself.
    pub async fn run(self, drain: impl Future<Output = ()>) -> Result<(), Failure> {
        let Self { store, engine, server, redis, .. } = self;
        let (stop_engine, engine_stops) = oneshot::channel::<()>();
        let mut engine = tokio::spawn(engine.run(async move {
            // Dropped or sent: both mean stop.
            let _ = engine_stops.await;
        }));
        let mut engine_ended = None;
        let served = server
            .run(async {
                tokio::select! {
                    () = drain => {}
                    ended = &mut engine => engine_ended = Some(ended),
                }
            })
            .await;
        drop(stop_engine);
        let early = engine_ended.is_some();
        let ended = match engine_ended {
            Some(ended) => ended,
            None => engine.await,
        };
        store.close().await;
        if let Some(redis) = redis {
            redis.leave().await;
        }
        served.map_err(|error| Failure::failed(format!("the server cannot serve: {error}")))?;
        match ended {
            Ok(Ok(())) if !early => Ok(()),
            Ok(Ok(())) => Err(Failure::failed("the engine ended by itself").hint("its log has the reason")),
            Ok(Err(error)) => Err(Failure::failed(format!("the engine failed: {error}"))),
            Err(error) => Err(Failure::failed(format!("the engine failed: {error}"))),
        }
    }
}

/// What is wrong with the store, and its own hint.
pub fn store_failure(error: StoreError) -> Failure {
    let text = match error {
        StoreError::Open(text) => text,
        other => other.to_string(),
    };
    with_hint(Exit::Failed, &text)
}

fn listen_failure(error: regatta_server::ListenError) -> Failure {
    use regatta_server::ListenError;
    let exit = match &error {
        ListenError::NoAddress(_) | ListenError::Unknown { .. } | ListenError::Tls { .. } | ListenError::Nowhere => {
            Exit::Usage
        }
        ListenError::Taken { .. } | ListenError::Refused { .. } => Exit::Failed,
    };
    with_hint(exit, &error.to_string())
}

/// A sentence of ours says first what happened and, after a semicolon, what to do.
pub fn with_hint(exit: Exit, text: &str) -> Failure {
    match text.split_once("; ") {
        Some((what, hint)) => Failure { exit, what: what.to_owned(), hint: Some(hint.to_owned()) },
        None => Failure { exit, what: text.to_owned(), hint: None },
    }
}
