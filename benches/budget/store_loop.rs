//! The store alone, in this process: claim what is ready, complete it, and so on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use regatta_model::command::{Claim, LaneOffer, Register, Report, Reported, Seat, Submit, Submitted, TakeOver};
use regatta_model::plan::{self, Brief};
use regatta_model::routing::{Labels, Offer};
use regatta_model::task::{NewPlan, NewTask, Start, TaskText};
use regatta_model::worker::{DEFAULT_LEASE, Profile, Registration};
use regatta_model::{LaneKey, Priority, Privacy, TaskId, TaskType, Timestamp, WorkerId};
use regatta_store::sqlite::{Options, SqliteStore};
use regatta_store::{Committed, Sink, Store, StoreExt};
use uuid::Uuid;

struct Nobody;

impl Sink for Nobody {
    fn progressed(&self, _: &[regatta_model::ledger::ProgressChange]) {}
    fn committed(&self, _: Committed) {}
}

/// Subtasks claimed and completed a second, with so many slots; submitting what is done again is part of it.
pub async fn claim_and_complete(slots: usize, time: Duration) -> anyhow::Result<f64> {
    let dir = tempfile::tempdir()?;
    let options = Options::new(dir.path().join("bench.db"));
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options, Arc::new(Nobody))?);
    let now = || Timestamp(std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as i64));
    let profile = Profile {
        machine_id: "bench".into(),
        machine_name: "bench".into(),
        offer: Offer { tools: vec!["claude_code".into()], ..Offer::default() },
        slots: slots as u32,
        owner: None,
    };
    let registration =
        Registration { new_id: WorkerId(Uuid::now_v7()), profile: Arc::new(profile), system_info: "{}".into() };
    let register = Register { registration, take_over: TakeOver::Any, running: Some(Vec::new()), lease: DEFAULT_LEASE };
    let registered =
        store.run(now(), register).await?.value.map_err(|_| anyhow::anyhow!("the bench's worker is another's"))?;

    let end = Instant::now() + time;
    let (mut done, mut left) = (0_u64, 0_u64);
    let begin = Instant::now();
    while Instant::now() < end {
        if left < 1_000 {
            let tasks: Vec<NewTask> = (0..250).map(|_| task()).collect::<anyhow::Result<_>>()?;
            left += 4 * tasks.len() as u64;
            match store.run(now(), Submit { tasks, idempotency: None }).await?.value {
                Submitted::Made => {}
                other => bail!("submit answered {other:?}"),
            }
        }
        let claim = Claim {
            seats: vec![Seat { worker: registered.key, session: registered.session, free: slots as u32 }],
            lanes: vec![LaneOffer { lane: LaneKey(1), takers: vec![(0, "claude_code".into()); slots] }],
            limit: slots as u32,
            lease: DEFAULT_LEASE,
            nonce: done as u32,
        };
        let assignments = store.run(now(), claim).await?.value;
        let mut reports = tokio::task::JoinSet::new();
        for assignment in assignments {
            let (store, now) = (store.clone(), now());
            reports.spawn(async move {
                let report = Report {
                    subtask: assignment.lease.subtask,
                    lease: Some(assignment.lease),
                    by: None,
                    bound: None,
                    result: Ok(()),
                    output: r#"{"ok":true}"#.into(),
                    execution_time: 0.001,
                    exit_code: None,
                    simulated: false,
                    jitter: 0,
                };
                store.run(now, report).await
            });
        }
        while let Some(reported) = reports.join_next().await {
            match reported??.value {
                Reported::Accepted { .. } => {
                    done += 1;
                    left -= 1;
                }
                other => bail!("report answered {other:?}"),
            }
        }
    }
    let rate = done as f64 / begin.elapsed().as_secs_f64();
    store.close().await;
    Ok(rate)
}

fn task() -> anyhow::Result<NewTask> {
    let requires = Labels::new();
    let brief = Brief {
        description: "Add a rate limiter to the public API",
        task_type: TaskType::DevelopFeature,
        privacy: Privacy::Normal,
        priority: Priority::Normal,
        tool_preferences: &[],
        requires: &requires,
    };
    let plan = plan::plan(&brief, None).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let total = plan.steps.len() as u32;
    let steps = plan.chunks(500).into_iter().next().context("no steps")?;
    Ok(NewTask {
        id: TaskId::from_random(Uuid::now_v7()),
        user: "bench".into(),
        task_type: TaskType::DevelopFeature,
        priority: Priority::Normal,
        text: TaskText::plain(brief.description),
        start: Start::Now,
        plan: Some(NewPlan { steps, total }),
    })
}
