//! How fast the SQLite store is, against what SQLite can do: `cargo run --release -p regatta-store --example store_bench`.
//!
//! - durable submissions (a task of four steps each) by N callers at once, against a plain loop that inserts the
//!   same rows into the same schema in transactions of the same size;
//! - the life of subtasks, claimed and reported by one dispatcher and 64 or 256 slots.
//!
//! Arguments: seconds of each measurement (default 2), and which part: `submit`, `life` or `reads` (default: all).
//! Each line is a ratio within this run; absolute numbers drift with the machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use regatta_model::command::{
    Assignment, Claim, LaneOffer, Register, Registered, Report, Reported, Seat, Submit, TakeOver,
};
use regatta_model::ledger::ProgressChange;
use regatta_model::plan::{Brief, NewSteps, plan};
use regatta_model::routing::{Labels, Offer};
use regatta_model::task::{NewPlan, NewTask, Start, TaskText};
use regatta_model::worker::{Profile, Registration};
use regatta_model::{LaneKey, Priority, Privacy, Span, TaskId, TaskType, Timestamp, WorkerId};
use regatta_store::sqlite::{Options, SqliteStore, migrate};
use regatta_store::{Committed, Sink, Store, StoreExt};
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Counts commits.
#[derive(Default)]
struct Commits(AtomicU64);

impl Sink for Commits {
    fn progressed(&self, _: &[ProgressChange]) {}
    fn committed(&self, _: Committed) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}

/// The built-in plan of four steps; two run side by side.
fn new_task() -> Result<NewTask, Failed> {
    let description: Arc<str> = "Implement user authentication with JWT tokens and refresh".into();
    let brief = Brief {
        description: &description,
        task_type: TaskType::DevelopFeature,
        privacy: Privacy::Normal,
        priority: Priority::Normal,
        tool_preferences: &[],
        requires: &Labels::new(),
    };
    let steps = plan(&brief, None).map_err(|error| format!("{error:?}"))?.steps;
    let total = steps.len() as u32;
    Ok(NewTask {
        id: TaskId::from_random(Uuid::now_v7()),
        user: "local".into(),
        task_type: TaskType::DevelopFeature,
        priority: Priority::Normal,
        text: TaskText::plain(description.clone()),
        start: Start::Now,
        plan: Some(NewPlan { steps: NewSteps { first: 0, steps }, total }),
    })
}

/// Submissions a second by `callers` at once, their times in order, and tasks a commit.
async fn submissions(folder: &Path, callers: usize, time: Duration) -> Result<(f64, Vec<Duration>, f64), Failed> {
    let commits = Arc::new(Commits::default());
    let store =
        Arc::new(SqliteStore::open(Options::new(folder.join(format!("submit-{callers}.db"))), commits.clone())?);
    let started = Instant::now();
    let calls: Vec<_> = (0..callers)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < time {
                    let task = new_task()?;
                    let called = Instant::now();
                    store.run(now(), Submit { tasks: vec![task], idempotency: None }).await?;
                    times.push(called.elapsed());
                }
                Ok::<_, Failed>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for call in calls {
        times.extend(call.await??);
    }
    let taken = started.elapsed();
    times.sort_unstable();
    store.close().await;
    let rate = times.len() as f64 / taken.as_secs_f64();
    Ok((rate, times.clone(), times.len() as f64 / commits.0.load(Ordering::Relaxed) as f64))
}

const INSERT_TASK: &str = include_str!("../src/sqlite/sql/insert_task.sql");
const INSERT_TASK_STATE: &str = include_str!("../src/sqlite/sql/insert_task_state.sql");
const INSERT_SUBTASK: &str = include_str!("../src/sqlite/sql/insert_subtask.sql");
const INSERT_EVENTS: &str = include_str!("../src/sqlite/sql/insert_events.sql");
const INSERT_COUNT: &str = include_str!("../src/sqlite/sql/insert_count.sql");
const RAISE_COUNT: &str = include_str!("../src/sqlite/sql/raise_count.sql");

/// The same rows by a plain loop: tasks a second in transactions of `batch` tasks.
fn plain(folder: &Path, batch: usize, time: Duration) -> Result<f64, Failed> {
    let path = folder.join(format!("plain-{batch}.db"));
    migrate(&path)?;
    let conn = Connection::open(path)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "full")?;
    let counted = [(0, 512), (1, 0), (1, 1), (2, 1)];
    for (kind, id) in counted {
        conn.execute(INSERT_COUNT, params![kind, id, 0])?;
    }
    let started = Instant::now();
    let mut key = 0_i64;
    while started.elapsed() < time {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..batch {
            key += 1;
            let task = new_task()?;
            let (text, now) = (&task.text, now().0);
            conn.prepare_cached(INSERT_TASK)?.execute(params![
                key,
                task.id.uuid().as_bytes(),
                task.user,
                0,
                1,
                now,
                text.description,
                1,
                0,
                text.tool_preferences,
                text.requires,
                text.metadata,
                text.requirements,
                text.description,
                text.deferred_steps,
            ])?;
            let none = None::<i64>;
            conn.prepare_cached(INSERT_TASK_STATE)?
                .execute(params![key, 2, 4, 0, 0, 0, 0, 1, now, none, now, none, none])?;
            for (position, step) in (0_i64..).zip(task.plan.iter().flat_map(|plan| &plan.steps.steps)) {
                let state = i64::from(step.dependencies.is_empty());
                let subtask = (key << 14) + position;
                // As many bytes as the store packs.
                let (changing, head) = ([1_u8; 26], [1_u8; 14]);
                conn.prepare_cached(INSERT_SUBTASK)?
                    .execute(params![subtask, state, 1, now, none, changing, head, step.name])?;
            }
            let event = [1_u8; 13];
            conn.prepare_cached(INSERT_EVENTS)?.execute(params![(key << 30) + 1, event])?;
        }
        for (kind, id) in counted {
            conn.prepare_cached(RAISE_COUNT)?.execute(params![kind, id, batch as i64])?;
        }
        conn.execute_batch("COMMIT")?;
    }
    Ok(key as f64 / started.elapsed().as_secs_f64())
}

/// Subtasks a second, from ready to completed, with `slots` slots.
async fn life(folder: &Path, slots: u32, tasks: usize) -> Result<(f64, f64), Failed> {
    let commits = Arc::new(Commits::default());
    let store = Arc::new(SqliteStore::open(Options::new(folder.join(format!("life-{slots}.db"))), commits.clone())?);
    let offer = Offer { tools: vec!["claude_code".into()], ..Offer::default() };
    let profile = Profile { machine_id: "bench".into(), machine_name: "bench".into(), offer, slots, owner: None };
    let registration =
        Registration { new_id: WorkerId(Uuid::now_v7()), profile: Arc::new(profile), system_info: "{}".into() };
    let register =
        Register { registration, take_over: TakeOver::Any, running: Some(Vec::new()), lease: Span::seconds(90) };
    let worker = store.run(now(), register).await?.value.map_err(|_| "the bench's worker is another's")?;
    for _ in 0..tasks.div_ceil(500) {
        let tasks = (0..500).map(|_| new_task()).collect::<Result<_, _>>()?;
        store.run(now(), Submit { tasks, idempotency: None }).await?;
    }
    let total = tasks.div_ceil(500) * 500 * 4;
    let before = commits.0.load(Ordering::Relaxed);
    let started = Instant::now();
    dispatch(&store, worker, slots, total).await?;
    let rate = total as f64 / started.elapsed().as_secs_f64();
    let groups = commits.0.load(Ordering::Relaxed) - before;
    store.close().await;
    Ok((rate, total as f64 / groups as f64))
}

/// One dispatcher, and as many workers as there are slots, each of which reports at once.
async fn dispatch(store: &Arc<SqliteStore>, worker: Registered, slots: u32, total: usize) -> Result<(), Failed> {
    let (freed, mut free) = mpsc::unbounded_channel();
    let mut hands = Vec::new();
    for _ in 0..slots {
        let (hand, mut work) = mpsc::unbounded_channel::<Assignment>();
        hands.push(hand);
        let (store, freed) = (store.clone(), freed.clone());
        let slot = hands.len() - 1;
        tokio::spawn(async move {
            while let Some(given) = work.recv().await {
                let report = Report {
                    subtask: given.lease.subtask,
                    lease: Some(given.lease),
                    by: Some(given.worker),
                    bound: None,
                    result: Ok(()),
                    output: r#"{"summary":"done","files":["src/auth.rs"],"tokens":1234}"#.into(),
                    execution_time: 0.1,
                    exit_code: Some(0),
                    simulated: true,
                    jitter: 0,
                };
                let reported = store.run(now(), report).await;
                let taken = matches!(reported, Ok(timed) if matches!(timed.value, Reported::Accepted { .. }));
                if freed.send((slot, taken)).is_err() {
                    return;
                }
            }
        });
    }
    let mut idle: Vec<usize> = (0..hands.len()).collect();
    let mut done = 0;
    while done < total {
        let lanes = vec![LaneOffer { lane: LaneKey(1), takers: vec![(0, "claude_code".into()); idle.len()] }];
        let seat = Seat { worker: worker.key, session: worker.session, free: idle.len() as u32 };
        let claim =
            Claim { seats: vec![seat], lanes, limit: idle.len() as u32, lease: Span::seconds(90), nonce: done as u32 };
        for given in store.run(now(), claim).await?.value {
            let slot = idle.pop().ok_or("more was given than there are slots")?;
            hands[slot].send(given)?;
        }
        let mut came = free.recv().await;
        while let Some((slot, taken)) = came {
            if !taken {
                return Err("a result was not taken".into());
            }
            idle.push(slot);
            done += 1;
            came = free.try_recv().ok();
        }
    }
    Ok(())
}

/// Reads a second while the store is written to by 16 callers.
async fn reads(folder: &Path, time: Duration) -> Result<(f64, f64), Failed> {
    let store = Arc::new(SqliteStore::open(Options::new(folder.join("reads.db")), Arc::new(Commits::default()))?);
    let task = new_task()?;
    let id = task.id;
    store.run(now(), Submit { tasks: vec![task], idempotency: None }).await?;
    let measure = async || {
        let (started, mut count) = (Instant::now(), 0_u64);
        while started.elapsed() < time {
            store.progress(id).await?;
            count += 1;
        }
        Ok::<_, Failed>(count as f64 / started.elapsed().as_secs_f64())
    };
    let alone = measure().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, end) = oneshot::channel();
    let writer = {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                store.run(now(), Submit { tasks: vec![new_task()?], idempotency: None }).await?;
            }
            let _ = ended.send(());
            Ok::<_, Failed>(())
        })
    };
    let beside = measure().await?;
    stop.store(true, Ordering::Relaxed);
    end.await?;
    writer.await??;
    store.close().await;
    Ok((alone, beside))
}

fn percentile(times: &[Duration], percent: f64) -> f64 {
    let place = ((times.len() as f64 * percent / 100.0) as usize).min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut args = std::env::args().skip(1);
    let time = Duration::from_secs_f64(args.next().map_or(Ok(2.0), |seconds| seconds.parse())?);
    let part = args.next();
    let wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    if wanted("submit") {
        show_submissions(folder, time).await?;
    }
    if wanted("life") {
        println!("\nsubtasks from ready to completed: one dispatcher, slots that report at once");
        for slots in [1, 64, 256] {
            let tasks = if slots == 1 { 1_000 } else { (10_000.0 * time.as_secs_f64()) as usize };
            let (rate, a_commit) = life(folder, slots, tasks).await?;
            println!("{slots:>8} slots {rate:>10.0} subtasks/s, {a_commit:.1} a commit");
        }
    }
    if wanted("reads") {
        let (alone, beside) = reads(folder, time).await?;
        println!("\nreads of a task's counters by one caller: {alone:.0}/s alone, {beside:.0}/s beside a writer");
    }
    Ok(())
}

async fn show_submissions(folder: &Path, time: Duration) -> Result<(), Failed> {
    println!("durable submissions of a task with four steps, against a plain loop with the same batch size");
    println!(
        "{:>8} {:>10} {:>8} {:>8} {:>8} {:>10} {:>6}",
        "callers", "tasks/s", "p50 ms", "p99 ms", "batch", "plain/s", "ratio"
    );
    for callers in [1, 16, 64, 256] {
        let (rate, times, batch) = submissions(folder, callers, time).await?;
        let plain = plain(folder, (batch.round() as usize).max(1), time)?;
        println!(
            "{callers:>8} {rate:>10.0} {:>8.2} {:>8.2} {batch:>8.1} {plain:>10.0} {:>6.2}",
            percentile(&times, 50.0),
            percentile(&times, 99.0),
            rate / plain
        );
    }
    Ok(())
}
