//! Redis, or Valkey, as what carries messages between nodes: [`RelayBus`](crate::RelayBus) over it is the bus of several nodes.
//!
//! A node has two connections, however many watch: one that sends, pipelined, and one that listens. What there is in Redis:
//!
//! | Name | What |
//! |---|---|
//! | `regatta:bus` | the channel of all nodes' messages, see [`relay`](crate::relay); nothing of them stays |
//! | `regatta:node:ID` | a node that is up: JSON with its version and since when, renewed every 30 s, gone with it, or after 90 |
//!
//! Another prefix than `regatta` keeps several platforms on one Redis apart; channels know no database numbers. Nothing else is
//! written, so what is in Redis does not grow with what the platform did, and a Redis that is emptied has lost nothing.
//!
//! Redis may be slow, away or new at any time. What could not be sent is told as a loss when it answers again, and every new
//! connection that listens begins with a [break](Received::Break).

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use crate::relay::{Received, Transport};

/// How long Redis may take for an answer or a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries to connect, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often those who watch are told to read, while nothing is heard.
const DEAF_EVERY: Duration = Duration::from_secs(3);
/// Messages that were heard and wait to be delivered.
const HEARD: usize = 256;

/// How a node uses Redis.
#[derive(Debug, Clone)]
pub struct Options {
    /// What all names in Redis begin with.
    pub prefix: String,
    /// How often it is looked whether Redis answers, and the node's key is renewed.
    pub check_every: Duration,
    /// How long a node's key stays when nobody renews it.
    pub present_for: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "regatta".to_owned(),
            check_every: Duration::from_secs(30),
            present_for: Duration::from_secs(90),
        }
    }
}

/// See the module.
pub struct RedisTransport {
    shared: Arc<Shared>,
    heard: Mutex<mpsc::Receiver<Received>>,
    loops: [JoinHandle<()>; 2],
}

struct Shared {
    client: Client,
    options: Options,
    channel: String,
    /// The node's own key and what is in it.
    presence: (String, String),
    /// The connection that sends; made when it is needed, and anew after an error.
    sender: Mutex<Option<MultiplexedConnection>>,
}

impl Drop for RedisTransport {
    fn drop(&mut self) {
        for task in &self.loops {
            task.abort();
        }
    }
}

/// What is wrong with Redis. Errors of it may quote what was sent, so its URL, which holds the password, is never in them.
#[derive(Debug)]
enum Error {
    Redis(RedisError),
    Late,
    Closed,
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redis(error) => error.fmt(f),
            Self::Late => write!(f, "Redis did not answer within {} s", PATIENCE.as_secs()),
            Self::Closed => f.write_str("Redis closed the connection"),
        }
    }
}

async fn soon<T, E: Into<Error>>(answer: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    timeout(PATIENCE, answer).await.map_err(|_| Error::Late)?.map_err(Into::into)
}

impl Shared {
    async fn connection(&self) -> Result<MultiplexedConnection, Error> {
        let mut sender = self.sender.lock().await;
        if let Some(connection) = &*sender {
            return Ok(connection.clone());
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let connection = soon(self.client.get_multiplexed_async_connection_with_config(&config)).await?;
        Ok(sender.insert(connection).clone())
    }

    /// Sends a command and waits for its answer. After an error the next one has a new connection: an answer that comes
    /// late must not be taken for that of another command.
    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Error> {
        let mut connection = self.connection().await?;
        let answer = soon(command.query_async(&mut connection)).await;
        if answer.is_err() {
            *self.sender.lock().await = None;
        }
        answer
    }

    /// Says that this node is up, for as long as it goes on saying so.
    async fn renew(&self) -> Result<(), Error> {
        let mut command = redis::cmd("SET");
        command.arg(&self.presence.0).arg(&self.presence.1).arg("PX").arg(self.options.present_for.as_millis() as u64);
        self.ask(&command).await
    }
}

/// Whether a URL is one of Redis: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix:`.
///
/// # Errors
/// What is wrong with it, without its password.
pub fn check(url: &str) -> Result<(), String> {
    Client::open(url).map(drop).map_err(|error| error.to_string())
}

impl RedisTransport {
    /// Among the nodes at this URL; whoever cannot be reached now is tried again and again. Its loops run on the runtime
    /// that this is called on.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn start(url: &str, options: Options) -> Result<Self, String> {
        let client = Client::open(url).map_err(|error| error.to_string())?;
        let node = Uuid::now_v7();
        let channel = format!("{}:bus", options.prefix);
        let presence = (
            format!("{}:node:{node}", options.prefix),
            format!(r#"{{"version":"{}","pid":{}}}"#, env!("CARGO_PKG_VERSION"), std::process::id()),
        );
        let shared = Arc::new(Shared { client, options, channel, presence, sender: Mutex::default() });
        let (tell, heard) = mpsc::channel(HEARD);
        let loops = [tokio::spawn(listen(shared.clone(), tell)), tokio::spawn(stay_present(shared.clone()))];
        Ok(Self { shared, heard: Mutex::new(heard), loops })
    }

    /// Takes the node's key away, for a node that ends in order.
    pub async fn leave(&self) {
        self.loops[1].abort();
        let mut command = redis::cmd("DEL");
        // Without Redis it goes by itself.
        let _ = self.shared.ask::<()>(command.arg(&self.shared.presence.0)).await;
    }
}

/// Renews the node's key, which is also what looks whether Redis answers while nobody has anything to say.
async fn stay_present(shared: Arc<Shared>) {
    let mut checks = interval(shared.options.check_every);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        checks.tick().await;
        let mut pause = PAUSES.0;
        while let Err(error) = shared.renew().await {
            tracing::debug!(%error, "this node's key could not be renewed; it is tried again");
            sleep(pause).await;
            pause = (2 * pause).min(PAUSES.1);
        }
    }
}

/// Listens for ever; every new connection is a break. As long as there is none, a break every while has those who watch read what
/// they would hear: this node may be the only one that is cut off.
async fn listen(shared: Arc<Shared>, tell: mpsc::Sender<Received>) {
    let mut pause = PAUSES.0;
    let mut said = false;
    let mut deaf: Option<Instant> = None;
    while !tell.is_closed() {
        let began = Instant::now();
        if let Err(error) = listen_once(&shared, &tell).await {
            if began.elapsed() > PAUSES.1 + PATIENCE {
                (pause, said) = (PAUSES.0, false);
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(%error, "other nodes cannot be heard through Redis; it is tried again");
            }
            if deaf.is_none_or(|told| told.elapsed() >= DEAF_EVERY) {
                deaf = Some(Instant::now());
                if tell.send(Received::Break).await.is_err() {
                    return;
                }
            }
        }
        sleep(pause).await;
        pause = (2 * pause).min(PAUSES.1);
    }
}

async fn listen_once(shared: &Shared, tell: &mpsc::Sender<Received>) -> Result<(), Error> {
    let mut listening = soon(shared.client.get_async_pubsub()).await?;
    soon(listening.subscribe(&shared.channel)).await?;
    let (mut ask, mut messages) = listening.split();
    if tell.send(Received::Break).await.is_err() {
        return Ok(());
    }
    let mut checks = interval(shared.options.check_every);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.next() => {
                let message = message.ok_or(Error::Closed)?;
                if tell.send(Received::Message(Bytes::copy_from_slice(message.get_payload_bytes()))).await.is_err() {
                    return Ok(());
                }
            }
            // A connection that is gone without a word looks like one on which nothing happens.
            _ = checks.tick() => drop(soon(ask.ping::<redis::Value>()).await?),
        }
    }
}

#[async_trait]
impl Transport for RedisTransport {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn send(&self, message: Bytes) -> Result<(), String> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(&self.shared.channel).arg(&message[..]);
        self.shared.ask::<i64>(&command).await.map(drop).map_err(|error| error.to_string())
    }

    async fn receive(&self) -> Received {
        match self.heard.lock().await.recv().await {
            Some(received) => received,
            // The listener ends only with this.
            None => std::future::pending().await,
        }
    }

    async fn ping(&self) -> Option<Duration> {
        let asked = Instant::now();
        self.shared.ask::<redis::Value>(&redis::cmd("PING")).await.ok()?;
        Some(asked.elapsed())
    }
}
