//! Workers that offer the same: to routing they differ only in how free they are.

use std::collections::{BTreeSet, HashMap};

use regatta_model::routing::{Lane, Match, Offer, serve};
use regatta_model::{LaneKey, WorkerKey};

/// A set of workers with equal offers.
#[derive(Debug)]
pub(super) struct Class {
    pub offer: Offer,
    /// Every known worker of it.
    pub members: HashMap<WorkerKey, ()>,
    /// Those that may be given work now, the least free last: (1000 - thousandths free, key).
    pub free: BTreeSet<(u16, WorkerKey)>,
    /// How it would serve each lane it was asked about.
    served: HashMap<LaneKey, Option<Match>>,
}

/// Answers kept per class; beyond it they are worked out again.
const MAX_SERVED: usize = 4_096;

impl Class {
    pub fn new(offer: Offer) -> Self {
        Self { offer, members: HashMap::new(), free: BTreeSet::new(), served: HashMap::new() }
    }

    /// Whether and how its workers may run subtasks of `lane`.
    pub fn serve(&mut self, key: LaneKey, lane: &Lane) -> Option<Match> {
        if self.served.len() > MAX_SERVED {
            self.served.clear();
        }
        self.served.entry(key).or_insert_with(|| serve(lane, &self.offer)).clone()
    }
}
