//! The bus of many nodes: what is published here is delivered here at once, and relayed to the others by a [`Transport`].
//!
//! A transport may lose and reorder. Whoever watches a task sees by the numbers of its events what is missing and reads it
//! from the store; after a break everyone is told to read again. Counters of tasks are not kept: a node could not know
//! when another has changed them, so they are read from the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use regatta_model::ledger::{Effects, ProgressChange};
use regatta_model::task::Progress;
use regatta_model::{TaskId, Timestamp, WorkerId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::bus::{Bus, BusHealth};
use crate::hub::Hub;
use crate::node::{NodeListener, Nodes};
use crate::subscriber::Subscriber;

/// What carries messages between nodes. Each message reaches every node, the sender perhaps too.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The word that `/health` shows.
    fn kind(&self) -> &'static str;
    /// Sends a message to all nodes; after an error it is lost.
    async fn send(&self, message: Bytes) -> Result<(), String>;
    /// The next message, or a break: messages may have been lost before it. Called by one task only.
    async fn receive(&self) -> Received;
    /// How long a round trip takes; `None` when nobody answers.
    async fn ping(&self) -> Option<Duration>;
}

/// What comes from a [`Transport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A message of this node or another.
    Message(Bytes),
    /// Messages may have been lost.
    Break,
}

/// The format of messages. A node that meets another one's reads the store instead.
const FORMAT: u8 = 1;
/// Commits that wait to be relayed, at most; beyond it the others are told to read again.
const WAITING: usize = 4_096;
/// Commits in one message, at most.
const TOGETHER: usize = 256;
/// Between two messages that tell everyone to read again.
const RESYNC_EVERY: Duration = Duration::from_secs(1);

/// A message.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Message {
    /// Commits, in order.
    effects: Vec<Arc<Effects>>,
    /// Lines that workers opened.
    lines: Vec<(WorkerId, Timestamp)>,
    /// Something was lost on the way here.
    resync: bool,
}

impl Message {
    fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.lines.is_empty() && !self.resync
    }

    fn encode(&self, node: Uuid) -> Option<Bytes> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(node.as_bytes());
        match rmp_serde::encode::write_named(&mut bytes, self) {
            Ok(()) => Some(bytes.into()),
            Err(error) => {
                tracing::error!(%error, "what other nodes should hear could not be written");
                None
            }
        }
    }

    /// Of another node; `None` of this one's own. What cannot be read is told as a loss.
    fn decode(bytes: &[u8], node: Uuid) -> Option<Self> {
        let unreadable = || Some(Self { resync: true, ..Self::default() });
        let Some((&format, rest)) = bytes.split_first() else { return unreadable() };
        let Some((sender, rest)) = rest.split_at_checked(16) else { return unreadable() };
        if sender == node.as_bytes() {
            return None;
        }
        match rmp_serde::from_slice(rest) {
            Ok(message) if format == FORMAT => Some(message),
            _ => unreadable(),
        }
    }
}

struct Shared {
    node: Uuid,
    transport: Arc<dyn Transport>,
    hub: Arc<Hub>,
    nodes: Nodes,
    outbox: Mutex<Message>,
    room: usize,
    posted: Notify,
    connected: AtomicBool,
}

/// See the module.
pub struct RelayBus {
    shared: Arc<Shared>,
    loops: [JoinHandle<()>; 2],
}

impl Drop for RelayBus {
    fn drop(&mut self) {
        for task in &self.loops {
            task.abort();
        }
    }
}

impl RelayBus {
    /// A bus over this transport. Its loops run on the runtime that this is called on.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self::with_room(transport, WAITING)
    }

    /// The same with room for so many commits that wait to be relayed.
    pub fn with_room(transport: Arc<dyn Transport>, room: usize) -> Self {
        let shared = Arc::new(Shared {
            node: Uuid::now_v7(),
            transport,
            hub: Hub::new(),
            nodes: Nodes::default(),
            outbox: Mutex::default(),
            room,
            posted: Notify::new(),
            connected: AtomicBool::new(true),
        });
        let loops = [tokio::spawn(send(shared.clone())), tokio::spawn(receive(shared.clone()))];
        Self { shared, loops }
    }

    fn post(&self, post: impl FnOnce(&mut Message)) {
        post(&mut self.shared.outbox.lock());
        self.shared.posted.notify_one();
    }
}

/// Sends what was posted, all that is there in one message.
async fn send(shared: Arc<Shared>) {
    let mut resynced: Option<Instant> = None;
    loop {
        let message = {
            let mut outbox = shared.outbox.lock();
            let together = TOGETHER.min(outbox.effects.len());
            let rest = outbox.effects.split_off(together);
            let mut message = std::mem::take(&mut *outbox);
            outbox.effects = rest;
            // Those who are told too often to read everything do nothing else.
            if message.resync && resynced.is_some_and(|at| at.elapsed() < RESYNC_EVERY) {
                message.resync = false;
                outbox.resync = true;
            }
            message
        };
        if message.is_empty() {
            let again = shared.outbox.lock().resync;
            let posted = shared.posted.notified();
            if again {
                let _ = tokio::time::timeout(RESYNC_EVERY, posted).await;
            } else {
                posted.await;
            }
            continue;
        }
        if message.resync {
            resynced = Some(Instant::now());
        }
        let Some(bytes) = message.encode(shared.node) else { continue };
        let sent = shared.transport.send(bytes).await;
        let was = shared.connected.swap(sent.is_ok(), Ordering::Relaxed);
        if let Err(error) = sent {
            if was {
                tracing::warn!(error, "other nodes cannot be told; they find out from the store, later");
            }
            // What they missed they must read, once they can be told so.
            shared.outbox.lock().resync = true;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Delivers what other nodes sent.
async fn receive(shared: Arc<Shared>) {
    loop {
        let message = match shared.transport.receive().await {
            Received::Message(bytes) => match Message::decode(&bytes, shared.node) {
                Some(message) => message,
                None => continue,
            },
            Received::Break => Message { resync: true, ..Message::default() },
        };
        // What was lost came before what is in the message.
        if message.resync {
            shared.hub.resync();
            shared.nodes.resync();
        }
        for effects in &message.effects {
            shared.nodes.publish(effects);
            shared.hub.publish(effects);
        }
        for &(worker, at) in &message.lines {
            shared.nodes.line_opened(worker, at);
        }
    }
}

#[async_trait]
impl Bus for RelayBus {
    fn kind(&self) -> &'static str {
        self.shared.transport.kind()
    }

    fn publish(&self, effects: Arc<Effects>) {
        // Nodes first: work that became ready should not wait for the fan-out to watchers.
        self.shared.nodes.publish(&effects);
        self.shared.hub.publish(&effects);
        self.post(|outbox| {
            if outbox.effects.len() < self.shared.room {
                outbox.effects.push(effects);
            } else {
                outbox.effects.clear();
                outbox.resync = true;
            }
        });
    }

    fn subscribe(&self, capacity: usize) -> Subscriber {
        self.shared.hub.subscribe(capacity)
    }

    fn nodes(&self) -> NodeListener {
        self.shared.nodes.listen()
    }

    fn line_opened(&self, worker: WorkerId, at: Timestamp) {
        self.post(|outbox| outbox.lines.push((worker, at)));
    }

    async fn progress(&self, _task: TaskId) -> Option<Progress> {
        None
    }

    fn put_progress(&self, _changes: &[ProgressChange]) {}

    fn watchers(&self, task: TaskId) -> usize {
        self.shared.hub.watchers(task)
    }

    async fn health(&self) -> BusHealth {
        let latency = self.shared.transport.ping().await;
        BusHealth { connected: latency.is_some() && self.shared.connected.load(Ordering::Relaxed), latency }
    }
}
