//! The store under the simulated nodes: the model, which outlives them, and each node's way to it, which is slow,
//! fails, forgets to answer, and ends with the node.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use regatta_engine::store::memory::MemoryStore;
use regatta_engine::store::{
    Committed, Counters, EventPage, LogPage, LogQuery, Sink, Store, StoreError, StoreHealth, SubtaskDetail,
    SubtaskSummary, TaskDetail, TaskPage, TaskQuery, Timed, WorkerDetail, WorkerPage, WorkerQuery,
};
use regatta_model::command::{Answer, Command};
use regatta_model::invariants::History;
use regatta_model::ledger::ProgressChange;
use regatta_model::memory::Memory;
use regatta_model::routing::Lane;
use regatta_model::subtask::State;
use regatta_model::task::Progress;
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::{AttemptOutcome, LaneKey, SubtaskId, TaskId, TaskStatus, Timestamp, TokenId, WorkerId};
use uuid::Uuid;

use super::Story;
use super::chance::Chance;
use super::client::Acknowledged;
use super::floor::Floor;
use super::node::Death;

/// What survives every crash, and what watches it.
pub struct Durable {
    store: MemoryStore,
    relay: Arc<Relay>,
    history: Mutex<History>,
    story: Mutex<(Story, DefaultHasher)>,
    chance: Chance,
    cluster: Uuid,
    /// Whether to print every command, for the one who looks into a history.
    told: bool,
}

/// Passes news on to the node that lives.
#[derive(Default)]
struct Relay {
    node: Mutex<Option<Arc<dyn Sink>>>,
}

impl Sink for Relay {
    fn progressed(&self, changes: &[ProgressChange]) {
        if let Some(node) = &*self.node.lock() {
            node.progressed(changes);
        }
    }

    fn committed(&self, effects: Committed) {
        if let Some(node) = &*self.node.lock() {
            node.committed(effects);
        }
    }
}

impl Durable {
    pub fn new(chance: Chance) -> Arc<Self> {
        let relay = Arc::new(Relay::default());
        Arc::new(Self {
            store: MemoryStore::new(relay.clone()),
            relay,
            history: Mutex::default(),
            story: Mutex::default(),
            chance,
            cluster: Uuid::from_u128(1),
            told: std::env::var_os("REGATTA_SIM_TELL").is_some(),
        })
    }

    /// Who hears of commits from now on.
    pub fn listen(&self, node: Option<Arc<dyn Sink>>) {
        *self.relay.node.lock() = node;
    }

    async fn apply(&self, now: Timestamp, command: Command) -> Result<Timed<Answer>, StoreError> {
        if self.told {
            println!("{now} {command:?}");
        }
        let name = command.name();
        let answer = self.store.execute(now, command).await?;
        if self.told {
            println!("    -> {:?}", answer.value);
        }
        {
            let (story, trace) = &mut *self.story.lock();
            story.commands += 1;
            trace.write_i64(now.0);
            trace.write(name.as_bytes());
        }
        self.look(|memory| self.history.lock().check(memory));
        Ok(answer)
    }

    /// Looks at everything there is, as those do who pick something of it.
    pub fn look<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        self.store.inspect(look)
    }

    /// How the attempt with this epoch ended; `None` while it is current, or when it is not known any more.
    pub fn outcome(&self, subtask: SubtaskId, epoch: i64) -> Option<AttemptOutcome> {
        self.look(|memory| {
            let (key, _) = memory.subtasks.iter().find(|(_, (row, _))| row.head.id == subtask)?;
            let attempts = memory.attempts.get(key)?;
            attempts.iter().find(|attempt| i64::from(attempt.attempt) == epoch >> 32).map(|attempt| attempt.outcome)
        })
    }

    /// Subtasks of a task that have completed.
    pub fn completed(&self, task: TaskId) -> Option<u32> {
        self.store
            .inspect(|memory| memory.tasks.values().find(|(row, _)| row.head.id == task).map(|(row, _)| row.completed))
    }

    /// What has not ended, for people.
    pub fn unfinished(&self) -> Vec<String> {
        self.look(|memory| {
            let tasks =
                memory.tasks.values().filter(|(row, _)| !row.status.is_ended()).map(|(row, _)| format!("{row:?}"));
            let subtasks = memory.subtasks.values().filter(|(row, _)| !row.state.is_ended());
            let workers = memory.workers.values().map(|(row, _)| format!("{row:?}"));
            tasks.chain(subtasks.map(|(row, _)| format!("{row:?}"))).chain(workers).collect()
        })
    }

    pub fn story(&self) -> Story {
        let (story, hasher) = &*self.story.lock();
        let (attempts, lost) = self.look(|memory| {
            let attempts = memory.subtasks.values().map(|(row, _)| u64::from(row.attempt)).sum();
            let lost = memory.attempts.values().flatten().filter(|attempt| attempt.outcome == AttemptOutcome::Lost);
            (attempts, lost.count() as u64)
        });
        Story { trace: hasher.finish(), attempts, lost, ..*story }
    }

    /// After everything: what was acknowledged is there, and every result is that of the lease that was told so.
    pub fn last_look(&self, tasks: &[Acknowledged], floor: &Floor) {
        self.look(|memory| {
            for task in tasks {
                let row = memory.tasks.values().find(|(row, _)| row.head.id == task.id);
                assert_eq!(row.is_some(), !task.deleted, "an acknowledged task is kept until it is deleted: {task:?}");
                let Some((row, _)) = row else { continue };
                assert!(row.status.is_ended());
                let unplanned = row.total == 0 && row.status == TaskStatus::Cancelled;
                assert!(row.total == task.steps || unplanned, "the whole plan is there: {row:?}");
            }
            let results = floor.results();
            for (row, _) in memory.subtasks.values() {
                let accepted = results.get(&row.head.id);
                if row.state == State::Completed {
                    assert!(accepted.is_none_or(|&epoch| epoch == row.epoch), "the result is the one acknowledged");
                    assert_eq!(*memory.outputs[&row.head.key], *output(row.epoch), "and it is whole");
                } else {
                    assert!(accepted.is_none(), "a result that was acknowledged is gone: {row:?}");
                }
            }
            assert_eq!(memory.tasks.len(), tasks.iter().filter(|task| !task.deleted).count(), "no task was made twice");
        });
    }
}

/// What the process under a lease with this epoch puts out.
pub fn output(epoch: i64) -> String {
    format!(r#"{{"epoch":{epoch}}}"#)
}

/// One node's way to the store.
pub struct NodeStore {
    pub durable: Arc<Durable>,
    /// Whether its process lives.
    pub death: Arc<Death>,
    /// How often a command fails, one in so many; 0 for never.
    pub failing: Arc<AtomicU32>,
}

impl NodeStore {
    /// Time passes; a process that died meanwhile goes no further.
    async fn pass(&self) {
        let chance = &self.durable.chance;
        if chance.one_in(3) {
            tokio::time::sleep(chance.duration(Duration::ZERO, Duration::from_millis(20))).await;
        } else {
            tokio::task::yield_now().await;
        }
        if self.death.is_over() {
            std::future::pending::<()>().await;
        }
    }

    fn fails(&self) -> bool {
        let one_in = self.failing.load(Ordering::Relaxed);
        one_in > 0 && self.durable.chance.one_in(one_in)
    }
}

macro_rules! reads {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for NodeStore {
            fn kind(&self) -> &'static str {
                "memory"
            }

            fn cluster_id(&self) -> Uuid {
                self.durable.cluster
            }

            async fn execute(&self, now: Timestamp, command: Command) -> Result<Timed<Answer>, StoreError> {
                self.pass().await;
                if self.fails() {
                    return Err(StoreError::Database("the disk says no".into()));
                }
                let claims = matches!(command, Command::Claim(_));
                let answer = self.durable.apply(now, command).await;
                self.pass().await;
                if claims && self.failing.load(Ordering::Relaxed) > 0 && self.durable.chance.one_in(20) {
                    // A commit that takes long.
                    tokio::time::sleep(self.durable.chance.seconds(1, 100)).await;
                    self.pass().await;
                }
                if self.fails() {
                    return Err(StoreError::Unknown("the line to the database was cut".into()));
                }
                answer
            }

            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.pass().await;
                if self.fails() {
                    return Err(StoreError::Database("the disk cannot read".into()));
                }
                let answer = self.durable.store.$name($($argument),*).await;
                self.pass().await;
                answer
            })+

            async fn health(&self) -> StoreHealth {
                self.durable.store.health().await
            }

            async fn close(&self) {}
        }
    };
}

reads! {
    task(id: TaskId) -> Timed<Option<TaskDetail>>;
    progress(id: TaskId) -> Timed<Option<Progress>>;
    tasks(query: TaskQuery) -> Timed<TaskPage>;
    subtask(id: SubtaskId) -> Timed<Option<SubtaskDetail>>;
    subtasks(id: TaskId, first: u16, limit: u32, ready_only: bool) -> Timed<Option<Vec<SubtaskSummary>>>;
    events(id: TaskId, after: u64, limit: u32) -> Timed<Option<EventPage>>;
    logs(id: TaskId, query: LogQuery) -> Timed<Option<LogPage>>;
    workers(query: WorkerQuery, now: Timestamp) -> Timed<WorkerPage>;
    worker(id: WorkerId, now: Timestamp) -> Timed<Option<WorkerDetail>>;
    counters(now: Timestamp) -> Timed<Counters>;
    lanes(after: LaneKey) -> Vec<(LaneKey, Lane)>;
    ready_lanes() -> Vec<(LaneKey, u64)>;
    last_sweep() -> Option<Timestamp>;
    add_token(token: TokenRow) -> ();
    revoke_token(id: TokenId, now: Timestamp) -> bool;
    tokens() -> Vec<TokenRow>;
    token(hash: TokenHash) -> Option<TokenRow>;
}
