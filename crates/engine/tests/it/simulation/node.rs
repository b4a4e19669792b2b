//! The server: one process at a time, that may die at any await and start again over what is durable.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use regatta_engine::bus::LocalBus;
use regatta_engine::{CommitSink, Engine, Options, Surroundings};
use regatta_model::{Span, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::chance::Chance;
use super::store::{Durable, NodeStore};
use super::{LEASE, Sim, epoch};

/// Time and chance of a history; the wall can be set.
struct World {
    origin: Instant,
    chance: Chance,
    set_by: Arc<AtomicI64>,
    ids: Arc<AtomicU64>,
}

impl Surroundings for World {
    fn wall(&self) -> Timestamp {
        let elapsed = Span::micros(self.origin.elapsed().as_micros() as i64 + self.set_by.load(Ordering::Relaxed));
        epoch() + elapsed
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn random(&self) -> u32 {
        self.chance.number() as u32
    }

    fn uuid(&self) -> Uuid {
        // Ids of tasks keep only what is above the low 14 bits.
        Uuid::from_u128(u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) << 14)
    }
}

/// The node that lives, if one does.
pub struct Nodes {
    durable: Arc<Durable>,
    chance: Chance,
    origin: Instant,
    set_by: Arc<AtomicI64>,
    ids: Arc<AtomicU64>,
    starts: AtomicU64,
    failing: Arc<AtomicU32>,
    current: Mutex<Option<Node>>,
    came: Notify,
    parts: Mutex<Option<Parts>>,
}

/// A node, as others reach it.
#[derive(Clone)]
pub struct Node {
    pub engine: Engine,
    death: Arc<Death>,
}

/// The end of a node. Not a watch channel, which wakes those who wait in an order of its own.
#[derive(Default)]
pub struct Death {
    over: AtomicBool,
    told: Notify,
}

impl Death {
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn wait(&self) {
        let told = self.told.notified();
        if !self.is_over() {
            told.await;
        }
    }
}

struct Parts {
    death: Arc<Death>,
    service: JoinHandle<regatta_engine::Result<()>>,
}

impl Node {
    /// What a call brings, or nothing when the node dies before it is answered.
    pub async fn call<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.death.wait() => None,
            answer = call => Some(answer),
        }
    }

    pub fn is_alive(&self) -> bool {
        !self.death.is_over()
    }
}

impl Nodes {
    pub fn new(durable: Arc<Durable>, chance: Chance) -> Self {
        Self {
            durable,
            chance,
            origin: Instant::now(),
            set_by: Arc::default(),
            ids: Arc::new(AtomicU64::new(1)),
            starts: AtomicU64::new(0),
            failing: Arc::default(),
            current: Mutex::default(),
            came: Notify::new(),
            parts: Mutex::default(),
        }
    }

    pub fn restarts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// Starts a node where none runs.
    pub async fn start(&self) {
        while self.parts.lock().is_none() {
            let death = Arc::new(Death::default());
            let sink = CommitSink::new(Arc::new(LocalBus::default()));
            self.durable.listen(Some(sink.clone()));
            let world = World {
                origin: self.origin,
                chance: self.chance.clone(),
                set_by: self.set_by.clone(),
                ids: self.ids.clone(),
            };
            let store =
                NodeStore { durable: self.durable.clone(), death: death.clone(), failing: self.failing.clone() };
            let options = Options {
                lease_seconds: LEASE,
                sweep_milliseconds: 1_500,
                poll_milliseconds: 4_000,
                ..Options::default()
            };
            self.starts.fetch_add(1, Ordering::Relaxed);
            let Ok((engine, service)) = options.build_in(Arc::new(world), Arc::new(store), &sink).await else {
                assert!(self.failing.load(Ordering::Relaxed) > 0, "a node must start over a store that works");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let service = tokio::spawn(service.run(std::future::pending()));
            *self.parts.lock() = Some(Parts { death: death.clone(), service });
            *self.current.lock() = Some(Node { engine, death });
            self.came.notify_waiters();
            // It may not have been able to take up what an earlier one left; then its process ends.
            tokio::time::sleep(Duration::from_millis(300)).await;
            if self.parts.lock().as_ref().is_some_and(|parts| parts.service.is_finished()) {
                self.crash();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// `kill -9`.
    pub fn crash(&self) {
        if let Some(parts) = self.parts.lock().take() {
            self.durable.listen(None);
            *self.current.lock() = None;
            parts.death.over.store(true, Ordering::Relaxed);
            parts.death.told.notify_waiters();
            parts.service.abort();
        }
    }

    /// The node, as soon as one lives.
    pub async fn up(&self) -> Node {
        loop {
            let came = self.came.notified();
            if let Some(node) = self.current.lock().clone() {
                return node;
            }
            came.await;
        }
    }

    /// How often commands fail from now on, one in so many; 0 for never.
    pub fn fail(&self, one_in: u32) {
        self.failing.store(one_in, Ordering::Relaxed);
    }

    /// Someone sets the clock on the wall.
    pub fn set_wall(&self, by: Span) {
        self.set_by.fetch_add(by.0, Ordering::Relaxed);
    }
}

/// What goes wrong with the server, its disk and its clock.
pub async fn trouble(sim: Arc<Sim>) {
    loop {
        tokio::time::sleep(sim.chance.seconds(2, 40)).await;
        match sim.chance.between(1, 6) {
            1..=3 => {
                sim.nodes.crash();
                // Now and then for longer than any lease lasts.
                let longest = if sim.chance.one_in(3) { 3 * LEASE } else { 5 };
                tokio::time::sleep(sim.chance.seconds(0, longest)).await;
                sim.nodes.start().await;
            }
            4 => {
                sim.nodes.fail(sim.chance.between(2, 10));
                tokio::time::sleep(sim.chance.seconds(0, 10)).await;
                sim.nodes.fail(0);
            }
            _ => {
                let hours = i64::from(sim.chance.between(0, 10)) - 5;
                sim.nodes.set_wall(Span::seconds(hours * 3_600));
            }
        }
    }
}
