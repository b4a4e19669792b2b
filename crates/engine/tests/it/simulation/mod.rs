//! The engine over the model store, in a world that goes wrong: simulated time, seeded chance.
//!
//! A history is a few minutes of a small installation: clients submit, cancel, retry and delete tasks, agents
//! register, run, report, crash, hang and lose their lines, messages come late, twice or never, the store refuses
//! or forgets to answer, the server dies at any await and starts again, and the clock on the wall jumps by hours.
//! After every command that reaches the store everything that must hold is recounted; at the end the world is
//! healed, and every task that was acknowledged must end.
//!
//! `REGATTA_SIM_HISTORIES` says how many histories (default 10,000), `REGATTA_SIM_SEED` where the seeds begin. A
//! history that fails names its seed; `REGATTA_SIM_HISTORIES=1 REGATTA_SIM_SEED=<seed>` runs it again.

mod agent;
mod chance;
mod client;
mod floor;
mod node;
mod store;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use regatta_model::{Span, Timestamp};

use self::agent::Agent;
use self::chance::Chance;
use self::floor::Floor;
use self::node::Nodes;
use self::store::Durable;

/// How long leases last here, in seconds.
const LEASE: u32 = 20;
/// A message takes at most so long; well below the time that a worker keeps in hand before its lease ends.
const SLOWEST: Duration = Duration::from_millis(1_500);
/// Simulated time after which a world without faults must have ended every task.
const PATIENCE: Duration = Duration::from_secs(4 * 3_600);

/// Everything that one history shares.
pub struct Sim {
    pub chance: Chance,
    pub durable: Arc<Durable>,
    pub nodes: Nodes,
    pub floor: Floor,
    /// Whether things still go wrong.
    pub rough: AtomicBool,
}

impl Sim {
    /// Whether something goes wrong now that goes wrong `one_in` so many times.
    pub fn unlucky(&self, one_in: u32) -> bool {
        self.rough.load(Ordering::Relaxed) && self.chance.one_in(one_in)
    }

    /// The way of a message through the network.
    pub async fn travel(&self) {
        let longest = if self.unlucky(8) { SLOWEST } else { Duration::from_millis(3) };
        tokio::time::sleep(self.chance.duration(Duration::ZERO, longest)).await;
    }
}

/// What a history did, so that a run can be compared and looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    commands: u64,
    trace: u64,
    restarts: u64,
    tasks: u64,
    attempts: u64,
    lost: u64,
    kills: u64,
    stale: u64,
}

/// One history.
fn history(seed: u64) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let chance = Chance::new(seed);
        let durable = Durable::new(chance.clone());
        let nodes = Nodes::new(durable.clone(), chance.clone());
        let floor = Floor::default();
        let sim = Arc::new(Sim { chance, durable, nodes, floor, rough: AtomicBool::new(true) });
        sim.nodes.start().await;
        let agents = sim.chance.between(2, 4);
        let agents: Vec<_> = (0..agents).map(|number| tokio::spawn(Agent::new(number, &sim).live())).collect();
        let trouble = tokio::spawn(node::trouble(sim.clone()));
        let tasks = client::work(&sim).await;

        trouble.abort();
        sim.rough.store(false, Ordering::Relaxed);
        sim.nodes.fail(0);
        sim.nodes.start().await;
        client::heal(&sim).await;
        let ended = tokio::time::timeout(PATIENCE, client::all_ended(&sim, &tasks)).await;
        assert!(ended.is_ok(), "a task never ends: {:#?}", sim.durable.unfinished());
        sim.durable.last_look(&tasks, &sim.floor);
        for agent in agents {
            assert!(!agent.is_finished(), "an agent broke: {:?}", agent.await.unwrap_err());
            agent.abort();
        }
        Story {
            restarts: sim.nodes.restarts(),
            tasks: tasks.len() as u64,
            kills: sim.floor.kills(),
            stale: sim.floor.stale(),
            ..sim.durable.story()
        }
    })
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn nothing_is_lost_or_done_twice_whatever_happens() {
    let histories = variable("REGATTA_SIM_HISTORIES", 10_000);
    let first = variable("REGATTA_SIM_SEED", 1);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let stories: Vec<Vec<Story>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut stories = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + histories {
                            return stories;
                        }
                        match std::panic::catch_unwind(AssertUnwindSafe(|| history(seed))) {
                            Ok(story) => stories.push(story),
                            Err(panic) => {
                                eprintln!(
                                    "history {seed} failed; again: REGATTA_SIM_HISTORIES=1 REGATTA_SIM_SEED={seed}"
                                );
                                next.store(u64::MAX / 2, Ordering::Relaxed);
                                std::panic::resume_unwind(panic);
                            }
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all: Vec<Story> = stories.into_iter().flatten().collect();
    let sum = |of: fn(&Story) -> u64| all.iter().map(of).sum::<u64>();
    println!(
        "{} histories from seed {first}: {} commands, {} tasks, {} attempts, of which {} lost their lease; {} kills of \
         agents, {} starts of the server, {} late results refused",
        all.len(),
        sum(|s| s.commands),
        sum(|s| s.tasks),
        sum(|s| s.attempts),
        sum(|s| s.lost),
        sum(|s| s.kills),
        sum(|s| s.restarts),
        sum(|s| s.stale),
    );
    assert_eq!(all.len() as u64, histories);
    if histories >= 100 {
        // A world in which nothing went wrong would show nothing.
        assert!(sum(|s| s.lost) > 0 && sum(|s| s.kills) > 0 && sum(|s| s.restarts) > histories && sum(|s| s.stale) > 0);
    }
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    for seed in 1..20 {
        assert_eq!(history(seed), history(seed), "seed {seed}");
    }
}

/// A time of day to begin with.
fn epoch() -> Timestamp {
    Timestamp(0) + Span::seconds(1_800_000_000)
}
