//! What a node's engine must react to: ready lanes, processes to stop, workers that changed. Coalesced, because
//! only the state that results matters, not how often it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use regatta_model::event::Stop;
use regatta_model::ledger::Effects;
use regatta_model::worker::WorkerRow;
use regatta_model::{LaneKey, Timestamp, WorkerId};
use tokio::sync::Notify;

/// All that came since the last call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeNews {
    /// Lanes in which something became ready.
    pub lanes: BTreeSet<LaneKey>,
    /// Processes to stop, in the order of publishing. As many as were running, at most.
    pub stops: Vec<Stop>,
    /// Workers that changed, each as it was published last.
    pub workers: Vec<WorkerRow>,
    /// Workers that were taken off the list.
    pub removed: Vec<WorkerId>,
    /// Workers that opened a line at another node, and when.
    pub lines: Vec<(WorkerId, Timestamp)>,
    /// News may have been lost: workers and lanes must be read again.
    pub resync: bool,
}

#[derive(Default)]
struct Pending {
    lanes: BTreeSet<LaneKey>,
    stops: Vec<Stop>,
    workers: BTreeMap<WorkerId, WorkerRow>,
    removed: BTreeSet<WorkerId>,
    lines: BTreeMap<WorkerId, Timestamp>,
    resync: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.lanes.is_empty()
            && self.stops.is_empty()
            && self.workers.is_empty()
            && self.removed.is_empty()
            && self.lines.is_empty()
            && !self.resync
    }

    fn absorb(&mut self, effects: &Effects) {
        self.lanes.extend(&effects.lanes);
        self.stops.extend_from_slice(&effects.stops);
        for row in &effects.workers {
            // Ids are never given again: a row that comes after its removal is late.
            if !self.removed.contains(&row.id) {
                self.workers.insert(row.id, row.clone());
            }
        }
        for id in &effects.removed_workers {
            self.workers.remove(id);
            self.removed.insert(*id);
        }
    }

    fn into_news(self) -> NodeNews {
        NodeNews {
            lanes: self.lanes,
            stops: self.stops,
            workers: self.workers.into_values().collect(),
            removed: self.removed.into_iter().collect(),
            lines: self.lines.into_iter().collect(),
            resync: self.resync,
        }
    }
}

#[derive(Default)]
struct Inbox {
    pending: Mutex<Pending>,
    arrived: Notify,
}

/// Hears what concerns a node's engine. Dropping it ends that.
pub struct NodeListener {
    inbox: Arc<Inbox>,
}

impl NodeListener {
    /// Waits until there is news, and takes all of it. Safe to cancel: nothing is lost.
    pub async fn next(&mut self) -> NodeNews {
        loop {
            if let Some(news) = self.try_next() {
                return news;
            }
            self.inbox.arrived.notified().await;
        }
    }

    /// The news, if there is any already.
    pub fn try_next(&mut self) -> Option<NodeNews> {
        let pending = std::mem::take(&mut *self.inbox.pending.lock());
        (!pending.is_empty()).then(|| pending.into_news())
    }
}

impl fmt::Debug for NodeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeListener").finish_non_exhaustive()
    }
}

/// The node listeners of one process.
#[derive(Default)]
pub struct Nodes {
    inboxes: RwLock<Vec<Weak<Inbox>>>,
}

impl Nodes {
    /// One more listener; it hears what is published from now on.
    pub fn listen(&self) -> NodeListener {
        let inbox = Arc::new(Inbox::default());
        let mut inboxes = self.inboxes.write();
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        inboxes.push(Arc::downgrade(&inbox));
        NodeListener { inbox }
    }

    /// Tells every listener. It never waits for one.
    pub fn publish(&self, effects: &Effects) {
        if effects.lanes.is_empty()
            && effects.stops.is_empty()
            && effects.workers.is_empty()
            && effects.removed_workers.is_empty()
        {
            return;
        }
        self.tell(|pending| pending.absorb(effects));
    }

    /// Tells every listener of a line that a worker opened at another node.
    pub fn line_opened(&self, worker: WorkerId, at: Timestamp) {
        self.tell(|pending| {
            let newest = pending.lines.entry(worker).or_insert(at);
            *newest = at.max(*newest);
        });
    }

    /// Tells every listener that news may have been lost.
    pub fn resync(&self) {
        self.tell(|pending| pending.resync = true);
    }

    fn tell(&self, tell: impl Fn(&mut Pending)) {
        for inbox in self.inboxes.read().iter().filter_map(Weak::upgrade) {
            let was_empty = {
                let mut pending = inbox.pending.lock();
                let was_empty = pending.is_empty();
                tell(&mut pending);
                was_empty
            };
            if was_empty {
                inbox.arrived.notify_one();
            }
        }
    }
}
