//! Messages between the nodes of one database, by `LISTEN` and `NOTIFY`: for those that have no Redis.
//!
//! Never in a transaction that changes rows: `NOTIFY` makes commits wait for each other. A message that is small travels in
//! the notification; a larger one lies in a table that is not logged, and the notification says where.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::future::poll_fn;
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::{AsyncMessage, Client};

use super::connect::Connector;
use super::error::DbError;
use super::sql;
use crate::StoreError;

/// The channel of notifications.
const CHANNEL: &str = "regatta_relay";
/// A notification may hold less than 8,000 bytes; as BASE64 three become four.
const SMALL: usize = 5_800;
/// How long a message may be read.
const KEPT: Duration = Duration::from_secs(60);
/// How long PostgreSQL may take for one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// What comes from other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message, perhaps of this node.
    Message(Bytes),
    /// Messages may have been lost.
    Break,
}

/// See the module.
pub struct Relay {
    connector: Connector,
    sender: Mutex<Option<Client>>,
    swept: Mutex<Instant>,
    heard: Mutex<mpsc::Receiver<Heard>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A notification's text.
enum Text<'a> {
    Here(&'a str),
    Row(i64),
}

fn parse(payload: &str) -> Option<Text<'_>> {
    match payload.split_at_checked(1)? {
        ("m", text) => Some(Text::Here(text)),
        ("r", id) => Some(Text::Row(id.parse().ok()?)),
        _ => None,
    }
}

impl Relay {
    /// Among the nodes of the database at this URL; whoever cannot be reached now is tried again and again.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn start(url: &str) -> Result<Self, StoreError> {
        let connector = Connector::new(url)?;
        let (tell, heard) = mpsc::channel(256);
        let listening = tokio::spawn(listen(connector.clone(), tell));
        Ok(Self {
            connector,
            sender: Mutex::default(),
            swept: Mutex::new(Instant::now()),
            heard: Mutex::new(heard),
            listening,
        })
    }

    /// Sends a message to all nodes.
    ///
    /// # Errors
    /// When PostgreSQL does not take it; it is lost then.
    pub async fn send(&self, message: &[u8]) -> Result<(), StoreError> {
        let mut sender = self.sender.lock().await;
        let client = match &mut *sender {
            Some(client) if !client.is_closed() => client,
            place => place.insert(self.connector.connect("relay").await?),
        };
        let sent = tokio::time::timeout(PATIENCE, self.send_over(client, message)).await;
        let sent = sent.unwrap_or(Err(DbError::Late(PATIENCE.as_secs())));
        if sent.is_err() {
            *sender = None;
        }
        Ok(sent?)
    }

    async fn send_over(&self, client: &Client, message: &[u8]) -> Result<(), DbError> {
        if message.len() <= SMALL {
            let payload = format!("m{}", BASE64.encode(message));
            client.execute(sql::NOTIFY, &[&CHANNEL, &payload]).await?;
        } else {
            client.execute(sql::RELAY, &[&message, &CHANNEL]).await?;
        }
        let mut swept = self.swept.lock().await;
        if swept.elapsed() > KEPT / 2 {
            *swept = Instant::now();
            client.execute(sql::FORGET_RELAYED, &[&(KEPT.as_secs_f64())]).await?;
        }
        Ok(())
    }

    /// The next message, or a break before which some may have been lost.
    pub async fn receive(&self) -> Heard {
        match self.heard.lock().await.recv().await {
            Some(heard) => heard,
            // The listener ends only with this.
            None => std::future::pending().await,
        }
    }

    /// How long a round trip takes; `None` when PostgreSQL does not answer.
    pub async fn ping(&self) -> Option<Duration> {
        let started = Instant::now();
        let mut sender = self.sender.lock().await;
        let client = match &mut *sender {
            Some(client) if !client.is_closed() => client,
            place => place.insert(self.connector.connect("relay").await.ok()?),
        };
        match tokio::time::timeout(PATIENCE, client.execute(sql::NOW, &[])).await {
            Ok(Ok(_)) => Some(started.elapsed()),
            _ => {
                *sender = None;
                None
            }
        }
    }
}

/// Listens for ever; every new connection is a break.
async fn listen(connector: Connector, tell: mpsc::Sender<Heard>) {
    let mut said = false;
    loop {
        match listen_once(&connector, &tell).await {
            Ok(()) => said = false,
            Err(error) if !said => {
                said = true;
                tracing::warn!(%error, "other nodes cannot be heard; it is tried again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen_once(connector: &Connector, tell: &mpsc::Sender<Heard>) -> Result<(), DbError> {
    let (client, mut connection) = connector.listen("relay").await?;
    let client = Arc::new(client);
    let (notes, mut noted) = mpsc::unbounded_channel();
    // The connection's own work, which is also what brings notifications.
    let mut work = tokio::spawn(async move {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(note))) => {
                    if notes.send(note.payload().to_owned()).is_err() {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(DbError::from(error)),
                None => return Ok(()),
            }
        }
    });
    let heard = async {
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        let _ = tell.send(Heard::Break).await;
        while let Some(payload) = noted.recv().await {
            let heard = match parse(&payload) {
                Some(Text::Here(text)) => BASE64.decode(text.as_bytes()).ok().map(Bytes::from),
                Some(Text::Row(id)) => {
                    let found = client.query_opt(sql::RELAYED, &[&id]).await?;
                    found.and_then(|row| row.try_get::<_, Vec<u8>>(0).ok()).map(Bytes::from)
                }
                None => None,
            };
            if tell.send(heard.map_or(Heard::Break, Heard::Message)).await.is_err() {
                return Ok(());
            }
        }
        Ok::<(), DbError>(())
    };
    let heard = heard.await;
    let ended = match work.is_finished() {
        true => (&mut work).await.unwrap_or(Ok(())),
        false => Ok(()),
    };
    work.abort();
    heard.and(ended)
}
