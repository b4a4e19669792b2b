//! A store that keeps nothing: the model itself behind a lock, for tests and simulation.
//!
//! It answers every query by looking at everything there is, so that there is nothing to get wrong, and is what
//! the other stores are compared with. Not for work: it is slow when it is full, and forgets.

mod read;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use regatta_model::command::{Answer, Command};
use regatta_model::memory::Memory;
use regatta_model::routing::Lane;
use regatta_model::task::Progress;
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::{LaneKey, SubtaskId, TaskId, Timestamp, TokenId, WorkerId};
use uuid::Uuid;

use crate::query::{
    Counters, EventPage, LogPage, LogQuery, StoreHealth, SubtaskDetail, SubtaskSummary, TaskDetail, TaskPage,
    TaskQuery, WorkerDetail, WorkerPage, WorkerQuery,
};
use crate::{Sink, Store, StoreError, Timed, Timing};

/// A store in memory.
pub struct MemoryStore {
    state: Mutex<State>,
    sink: Arc<dyn Sink>,
    cluster: Uuid,
    version: AtomicU64,
}

#[derive(Default)]
struct State {
    memory: Memory,
    last_sweep: Option<Timestamp>,
    tokens: BTreeMap<TokenId, TokenRow>,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self::with(Memory::default(), sink)
    }

    /// A store in which this is.
    pub fn with(memory: Memory, sink: Arc<dyn Sink>) -> Self {
        let cluster = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        Self { state: Mutex::new(State { memory, ..State::default() }), sink, cluster, version: AtomicU64::new(0) }
    }

    /// As [`Memory::skip_task_keys`].
    pub fn skip_task_keys(&self, last: i64) {
        self.state.lock().memory.skip_task_keys(last);
    }

    /// Looks at everything that is in it.
    pub fn inspect<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.state.lock().memory)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<Timed<T>, StoreError> {
        let started = Instant::now();
        let state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let value = read(&state);
        Ok(Timed { value, timing: Timing { db: started.elapsed(), ..Timing::default() } })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn cluster_id(&self) -> Uuid {
        self.cluster
    }

    async fn execute(&self, now: Timestamp, command: Command) -> Result<Timed<Answer>, StoreError> {
        let waited = Instant::now();
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let queue = waited.elapsed();
        let (value, effects) = state.memory.apply(now, &command);
        self.version.fetch_add(1, Ordering::Release);
        if matches!(command, Command::Sweep(_)) {
            state.last_sweep = Some(now);
        }
        let timing = Timing { queue, db: waited.elapsed() - queue, ..Timing::default() };
        // Under the lock, so that the sink hears of commits in their order.
        if !effects.progress.is_empty() {
            self.sink.progressed(&effects.progress);
        }
        if !effects.is_empty() {
            self.sink.committed(Arc::new(effects));
        }
        Ok(Timed { value, timing })
    }

    async fn task(&self, id: TaskId) -> Result<Timed<Option<TaskDetail>>, StoreError> {
        self.read(|state| read::task(&state.memory, id))
    }

    async fn progress(&self, id: TaskId) -> Result<Timed<Option<Progress>>, StoreError> {
        self.read(|state| read::find(&state.memory, id).map(|(row, _)| row.counters()))
    }

    async fn tasks(&self, query: TaskQuery) -> Result<Timed<TaskPage>, StoreError> {
        self.read(|state| read::tasks(&state.memory, &query))
    }

    async fn subtask(&self, id: SubtaskId) -> Result<Timed<Option<SubtaskDetail>>, StoreError> {
        self.read(|state| read::subtask(&state.memory, id))
    }

    async fn subtasks(
        &self,
        id: TaskId,
        first: u16,
        limit: u32,
        ready_only: bool,
    ) -> Result<Timed<Option<Vec<SubtaskSummary>>>, StoreError> {
        self.read(|state| read::subtasks(&state.memory, id, first, limit, ready_only))
    }

    async fn events(&self, id: TaskId, after: u64, limit: u32) -> Result<Timed<Option<EventPage>>, StoreError> {
        self.read(|state| read::events(&state.memory, id, after, limit))
    }

    async fn logs(&self, id: TaskId, query: LogQuery) -> Result<Timed<Option<LogPage>>, StoreError> {
        self.read(|state| read::logs(&state.memory, id, query))
    }

    async fn workers(&self, query: WorkerQuery, now: Timestamp) -> Result<Timed<WorkerPage>, StoreError> {
        self.read(|state| read::workers(&state.memory, &query, now))
    }

    async fn worker(&self, id: WorkerId, now: Timestamp) -> Result<Timed<Option<WorkerDetail>>, StoreError> {
        self.read(|state| read::worker(&state.memory, id, now))
    }

    async fn counters(&self, now: Timestamp) -> Result<Timed<Counters>, StoreError> {
        self.read(|state| read::counters(&state.memory, now))
    }

    async fn lanes(&self, after: LaneKey) -> Result<Vec<(LaneKey, Lane)>, StoreError> {
        Ok(self.read(|state| read::lanes(&state.memory, after))?.value)
    }

    async fn ready_lanes(&self) -> Result<Vec<(LaneKey, u64)>, StoreError> {
        Ok(self.read(|state| read::ready_lanes(&state.memory))?.value)
    }

    async fn last_sweep(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.read(|state| state.last_sweep)?.value)
    }

    fn version(&self) -> Option<u64> {
        Some(self.version.load(Ordering::Acquire))
    }

    async fn add_token(&self, token: TokenRow) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let known = state.tokens.values().any(|other| other.hash == token.hash);
        match state.tokens.entry(token.id) {
            Entry::Vacant(entry) if !known => drop(entry.insert(token)),
            _ => return Err(StoreError::Database("there is such a token already".into())),
        }
        Ok(())
    }

    async fn revoke_token(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let Some(token) = state.tokens.get_mut(&id).filter(|token| token.revoked_at.is_none()) else {
            return Ok(false);
        };
        token.revoked_at = Some(now);
        Ok(true)
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        Ok(self.read(|state| state.tokens.values().cloned().collect())?.value)
    }

    async fn token(&self, hash: TokenHash) -> Result<Option<TokenRow>, StoreError> {
        Ok(self.read(|state| state.tokens.values().find(|token| token.hash == hash).cloned())?.value)
    }

    async fn health(&self) -> StoreHealth {
        let connected = !self.state.lock().closed;
        let error = (!connected).then(|| StoreError::Closed.to_string());
        StoreHealth { connected, error, latency: Duration::ZERO, ..StoreHealth::default() }
    }

    async fn close(&self) {
        self.state.lock().closed = true;
    }
}
