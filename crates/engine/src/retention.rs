//! Retention: tasks that ended are forgotten by age and by count, a little at a time.
//!
//! Off unless it is asked for: what is kept is the operator's to decide. Every batch is a command of its own, small
//! enough for the others in the store to notice nothing, and there are pauses between them.

use std::time::Duration;

use regatta_model::command::{Forget, LONG_TASK};
use regatta_model::{Span, TaskKey};
use regatta_store::Duty;

use crate::{Engine, Result};

/// How often it is looked for what is over.
const EVERY: Duration = Duration::from_secs(60);
/// How long a node has the duty from each time that it asks: it keeps it while it is up.
const DUTY: Span = Span::seconds(150);
/// Between two batches.
const PAUSE: Duration = Duration::from_millis(5);
/// Tasks looked at in one batch.
const LOOK: u32 = 128;
const DAY: i64 = 24 * 3_600;

impl Engine {
    /// Whether anything is ever to be forgotten.
    pub(crate) fn forgets(&self) -> bool {
        self.inner.options.retain_days.is_some() || self.inner.options.retain_tasks.is_some()
    }

    /// The loop of retention; ends only with its task.
    pub(crate) async fn retain(self) {
        let mut rounds = tokio::time::interval(EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            match self.inner.store.take_duty(Duty::Retention, DUTY).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    tracing::warn!(%error, "retention did not come through; it goes on in a minute");
                    continue;
                }
            }
            match self.forget_what_is_over().await {
                Ok(0) => {}
                Ok(tasks) => tracing::info!(tasks, "tasks that ended were forgotten, as the retention options say"),
                Err(error) => tracing::warn!(%error, "retention did not come through; it goes on in a minute"),
            }
        }
    }

    /// One round; how many tasks were forgotten.
    async fn forget_what_is_over(&self) -> Result<u64> {
        let options = &self.inner.options;
        let ended_before =
            options.retain_days.map(|days| self.now() - Span::seconds(i64::from(days).saturating_mul(DAY)));
        let mut excess = match options.retain_tasks {
            None => 0,
            Some(kept) => {
                let counters = self.inner.store.counters(self.now()).await?.value;
                let ended = counters.tasks.iter().filter(|(status, _)| status.is_ended()).map(|(_, count)| count);
                ended.sum::<u64>().saturating_sub(kept)
            }
        };
        let (mut after, mut forgotten) = (TaskKey(0), 0);
        loop {
            let batch = Forget { ended_before, excess, after, look: LOOK, rows: LONG_TASK };
            let done = self.run(batch).await?;
            forgotten += u64::from(done.tasks);
            excess = excess.saturating_sub(u64::from(done.tasks));
            let Some(next) = done.next else { return Ok(forgotten) };
            after = next;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
