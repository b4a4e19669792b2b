//! The engine's loops, run as one.

use std::future::Future;

use regatta_bus::NodeListener;
use regatta_model::Timestamp;
use tokio::task::JoinSet;

use crate::fleet::LineMessage;
use crate::{Engine, Result};

/// What must run for anything to be dispatched. Made by [`crate::Options::build`].
pub struct Service {
    engine: Engine,
    last_sweep: Option<Timestamp>,
    news: NodeListener,
}

impl Service {
    pub(crate) fn new(engine: Engine, last_sweep: Option<Timestamp>) -> Self {
        let news = engine.inner.bus.nodes();
        Self { engine, last_sweep, news }
    }

    /// Dispatches and keeps leases until `drain` is done.
    ///
    /// # Errors
    /// When what an earlier process left cannot be taken up.
    pub async fn run(self, drain: impl Future<Output = ()>) -> Result<()> {
        self.engine.recover(self.last_sweep).await?;
        let mut loops = JoinSet::new();
        loops.spawn(self.engine.clone().hear(self.news));
        loops.spawn(self.engine.clone().dispatch());
        loops.spawn(self.engine.clone().sweep());
        if self.engine.forgets() {
            loops.spawn(self.engine.clone().retain());
        }
        tokio::select! {
            biased;
            () = drain => {}
            Some(ended) = loops.join_next() => {
                tracing::error!(?ended, "a loop of the engine ended, which must not happen");
            }
        }
        loops.shutdown().await;
        Ok(())
    }
}

impl Engine {
    /// News of other nodes were lost: what the fleet knows is what the store says.
    async fn read_again(&self) -> Result<()> {
        self.load_workers().await?;
        self.load_lanes().await?;
        let ready = self.inner.store.ready_lanes().await?;
        self.wake_lanes(ready.iter().map(|&(lane, _)| lane)).await
    }

    /// Takes news from the bus: lanes with work, workers as they are now, processes to stop.
    async fn hear(self, mut news: NodeListener) {
        loop {
            let news = news.next().await;
            {
                let mut fleet = self.inner.fleet.lock();
                let changed: Vec<_> = news.workers.iter().map(|row| row.key).collect();
                for row in news.workers {
                    fleet.update(row);
                }
                fleet.wake_free(&changed);
                for id in news.removed {
                    fleet.remove(id);
                }
                for (worker, at) in news.lines {
                    fleet.opened_elsewhere(worker, at);
                }
                for stop in news.stops {
                    // A worker that is not connected here is told by its own node, or finds out when it renews.
                    fleet.tell(stop.worker, LineMessage::Stop(stop));
                }
            }
            if news.resync
                && let Err(error) = self.read_again().await
            {
                tracing::warn!(%error, "workers and lanes could not be read again; the poll finds what there is to do");
            }
            if let Err(error) = self.wake_lanes(news.lanes.iter().copied()).await {
                tracing::warn!(%error, "new lanes could not be read; the poll finds them");
            }
            self.inner.work.notify_one();
        }
    }
}
