//! What time alone brings about: leases and time-outs that end, backoffs that are over, tasks whose start
//! has come, workers that fell silent.

use std::collections::HashSet;
use std::sync::Arc;

use regatta_model::command::{ExtendLeases, Sweep};
use regatta_model::ledger::Effects;
use regatta_model::{Span, TaskStatus, Timestamp, WorkerId};
use regatta_store::{Start, TaskQuery};

use crate::{Engine, Error, Result};

/// Subtasks handled in one transaction.
const BATCH: u32 = 500;
/// A pause between two sweeps longer than this, beyond what was meant, is time in which no node was up.
const GAP: Span = Span::seconds(5);
/// Signs of life over lines are written down when they are news by this much.
const TOUCH_EVERY: Span = Span::seconds(10);

impl Engine {
    /// Before the first sweep: leases get the time since the last one, in which nobody could renew them, and
    /// plans whose writing was cut off are finished.
    pub(crate) async fn recover(&self, last_sweep: Option<Timestamp>) -> Result<()> {
        if let Some(last) = last_sweep {
            self.bridge(self.now() - last).await?;
        }
        let query = TaskQuery {
            status: Some(TaskStatus::Initializing),
            task_type: None,
            search: None,
            start: Start::Offset(0),
            limit: 1_000,
        };
        for task in self.tasks(query).await?.tasks {
            self.finish_plan(task.row.head.id).await?;
        }
        Ok(())
    }

    async fn bridge(&self, gap: Span) -> Result<()> {
        if gap <= GAP {
            return Ok(());
        }
        tracing::info!(seconds = gap.as_seconds(), "leases are extended by the time in which no server was up");
        self.run(ExtendLeases { by: gap }).await
    }

    /// The sweeper's loop; ends only with its task.
    pub(crate) async fn sweep(self) {
        let mut ticks = tokio::time::interval(self.inner.options.sweep());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = self.now();
        let mut silent = HashSet::new();
        loop {
            ticks.tick().await;
            // The wall may have run ahead, or this process was stopped: either way nobody could renew.
            let jumped = self.inner.clock.catch_up().unwrap_or_default();
            let stopped = self.now() - (last + jumped + Span::micros(self.inner.options.sweep().as_micros() as i64));
            let gap = Span(jumped.0.max(0) + if stopped > GAP { stopped.0 } else { 0 });
            last = self.now();
            let swept = async {
                self.bridge(gap).await?;
                self.sweep_once().await
            };
            if let Err(error) = swept.await {
                tracing::warn!(%error, "a sweep failed; the next one does its work");
            }
            let heard = self.inner.fleet.lock().heard_since(TOUCH_EVERY);
            if let Err(error) = self.touch(heard).await {
                tracing::warn!(%error, "signs of life could not be written down; they are again soon");
            }
            self.tell_silence(&mut silent);
        }
    }

    async fn sweep_once(&self) -> Result<()> {
        loop {
            let swept = self.run(Sweep { limit: BATCH, jitter: self.jitter() }).await?;
            for id in swept.to_start {
                match self.decompose(id).await {
                    Ok(_) | Err(Error::Conflict(_) | Error::NotFound { .. }) => {}
                    Err(error) => {
                        tracing::warn!(task_id = %id, %error, "a task could not be started; it is tried again")
                    }
                }
            }
            if swept.handled < BATCH {
                return Ok(());
            }
        }
    }

    /// Tells watchers of workers that have become offline by saying nothing.
    fn tell_silence(&self, silent: &mut HashSet<WorkerId>) {
        let now = self.now();
        let mut effects = Effects::default();
        for row in self.inner.fleet.lock().rows() {
            if !row.is_offline(now) {
                silent.remove(&row.id);
            } else if silent.insert(row.id) {
                effects.workers.push(row.clone());
            }
        }
        if !effects.workers.is_empty() {
            self.inner.bus.publish(Arc::new(effects));
        }
    }
}
