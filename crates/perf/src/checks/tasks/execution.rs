//! Whether tasks really run at the same moment.

use std::time::{Duration, Instant};

use regatta_client::api::TaskStatus;
use regatta_client::api::task::TaskDetail;
use uuid::Uuid;

use crate::fixtures::run_concurrent_timed;
use crate::platform::hold::{Round, Span, most_at_once, now};
use crate::trial::{Outcome, Trial, Trouble};
use crate::world::World;

/// When for so long no further task has begun, no more are waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often is looked who has begun.
const LOOK: Duration = Duration::from_millis(10);
/// So many tasks are asked for their end at once.
const BOUND: usize = 16;

/// Tasks that all run at the same moment on real workers. Each notes that it began and waits for the others; from when to when it
/// ran it says itself, and the overlap is counted from that. The times are those from the submission to the start.
pub async fn parallel(trial: &Trial) -> Outcome {
    let held = Held::submit(&trial.world, trial.number()).await?;
    held.until_all_run(trial.number()).await;
    held.round.release().map_err(|error| Trouble(error.to_string()))?;
    let spans = held.spans(&trial.world).await?;
    let base = Instant::now();
    for span in &spans {
        let waited = Duration::from_secs_f64((span.from - held.submitted).max(0.0));
        trial.took("from submission to start", base, base + waited);
    }
    trial.fact("tasks at the same moment", most_at_once(&spans), trial.number());
    Ok(())
}

/// Tasks that hold until they are released.
pub(crate) struct Held {
    pub(crate) round: Round,
    tasks: Vec<Uuid>,
    submitted: f64,
}

impl Held {
    /// Submits them.
    pub(crate) async fn submit(world: &World, count: usize) -> Result<Self, Trouble> {
        let fleet = world.fleet()?;
        let name = world.fresh("round");
        let round = Round::new(&fleet.rounds, &name).map_err(|error| Trouble(error.to_string()))?;
        let submitted = now();
        let tasks = world.submit((0..count).map(|_| world.task_for(&fleet.part, &name))).await?;
        Ok(Self { round, tasks, submitted })
    }

    /// Waits until so many have begun, or no more come; how many have.
    pub(crate) async fn until_all_run(&self, count: usize) -> usize {
        let (mut began, mut since) = (0, Instant::now());
        while began < count && since.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK).await;
            let now = self.round.began();
            if now > began {
                (began, since) = (now, Instant::now());
            }
        }
        began
    }

    /// From when to when each ran.
    pub(crate) async fn spans(&self, world: &World) -> Result<Vec<Span>, Trouble> {
        let asking = self.tasks.iter().map(|task| span(world, *task));
        run_concurrent_timed(asking, Some(BOUND)).await.results.into_iter().collect()
    }
}

async fn span(world: &World, task: Uuid) -> Result<Span, Trouble> {
    let detail: TaskDetail = world.client.wait_for_task(task, 30).await?;
    let step = detail.subtasks.first().ok_or_else(|| Trouble::new("a task has no step"))?;
    if detail.status != TaskStatus::Completed {
        let why = detail.error.or(detail.waiting_for).unwrap_or_default();
        return Err(Trouble(format!("a task that only had to wait is {} ({why})", detail.status)));
    }
    let output = world.client.subtask(step.subtask_id).await?.output.unwrap_or_default();
    output
        .parse::<Span>()
        .map_err(|error| Trouble(format!("a task's result cannot be read: {error}: {}", output.as_str())))
}
