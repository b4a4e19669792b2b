//! What time alone brings about: leases and time-outs that end, backoffs that are over, tasks whose start
//! has come, workers that fell silent.

use std::collections::HashSet;
use std::sync::Arc;

use regatta_model::command::{ExtendLeases, Sweep};
use regatta_model::ledger::Effects;
use regatta_model::{Span, TaskStatus, Timestamp, WorkerId};
use regatta_store::{Duty, Start, TaskQuery};

use crate::{Engine, Error, Result};

/// Subtasks handled in one transaction.
const BATCH: u32 = 500;
/// A pause between two sweeps longer than this, beyond what was meant, is time in which no node was up.
const GAP: Span = Span::seconds(5);
/// How long a node has the duty to sweep from each time that it asks; another one takes over after that.
const DUTY: Span = Span::seconds(5);
/// No sweep of any node for this long is time in which none was up: the duty passes on after 5 s, a shared store notes its
/// sweeps every 5 s, and 5 s are allowed for as on one node.
const REST: Span = Span::seconds(15);
/// Signs of life over lines are written down when they are news by this much.
const TOUCH_EVERY: Span = Span::seconds(10);

impl Engine {
    /// Before the first sweep: leases get the time since the last one, in which nobody could renew them, and
    /// plans whose writing was cut off are finished.
    pub(crate) async fn recover(&self, last_sweep: Option<Timestamp>) -> Result<()> {
        // Where others may have been up, whoever sweeps sees to it.
        if let Some(last) = last_sweep.filter(|_| !self.inner.store.is_shared()) {
            self.bridge(self.now() - last).await?;
        }
        self.finish_plans().await
    }

    /// Finishes plans whose writing was cut off.
    async fn finish_plans(&self) -> Result<()> {
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
        let mut on_duty = false;
        loop {
            ticks.tick().await;
            // The wall may have run ahead, or this process was stopped: either way nobody could renew.
            let jumped = self.inner.clock.catch_up().unwrap_or_default();
            let stopped = self.now() - (last + jumped + Span::micros(self.inner.options.sweep().as_micros() as i64));
            let gap = Span(jumped.0.max(0) + if stopped > GAP { stopped.0 } else { 0 });
            last = self.now();
            let swept = async {
                if self.inner.store.is_shared() {
                    return self.sweep_for_all(&mut on_duty).await;
                }
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

    /// A sweep where several nodes use the store: by one of them, which takes over when another has stopped.
    async fn sweep_for_all(&self, on_duty: &mut bool) -> Result<()> {
        let before = std::mem::replace(on_duty, false);
        if !self.inner.store.take_duty(Duty::Sweep, DUTY).await? {
            return Ok(());
        }
        // No node was up, or none reached the store: either way nobody could renew.
        if let Some(last) = self.inner.store.last_sweep().await? {
            let gap = self.now() - last;
            if gap > REST {
                self.bridge(gap).await?;
            }
        }
        if !before {
            self.finish_plans().await?;
        }
        self.sweep_once().await?;
        *on_duty = true;
        Ok(())
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
