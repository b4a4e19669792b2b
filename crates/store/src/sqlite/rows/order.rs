//! What is ready and what is due, in the order in which the ledger asks for it.
//!
//! The writer is the only one who asks and the only one who writes, so these two orders are kept in memory (about
//! 30 bytes for each subtask in them) and are built again from the rows when the database is opened. As indexes of
//! the table they cost more than the rows: every claim and every result moved an entry in both, and each entry lay
//! on another page of the log. What is not needed by the ledger alone (who holds what) stays an index.

use std::collections::{BTreeSet, HashMap};

use regatta_model::subtask::{State, SubtaskRow};
use regatta_model::{LaneKey, SubtaskKey, Timestamp};
use rusqlite::Connection;

use super::Result;
use crate::sqlite::{codec, sql};

/// Where a subtask stands in the orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    ready: Option<(LaneKey, i64)>,
    due: Option<Timestamp>,
}

impl Place {
    pub(super) fn of(row: &SubtaskRow) -> Self {
        Self { ready: (row.state == State::Ready).then_some((row.head.lane, row.rank)), due: row.due_at }
    }
}

/// The orders.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// By rank, then by key.
    ready: HashMap<LaneKey, BTreeSet<(i64, SubtaskKey)>>,
    due: BTreeSet<(Timestamp, SubtaskKey)>,
    /// What this transaction moved, to be moved back with it.
    moved: Vec<(SubtaskKey, Place, Place)>,
}

impl Order {
    /// As the rows have it: of tasks that are in progress, for no other one has a subtask that is ready or due.
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        let mut order = Self::default();
        let mut statement = conn.prepare(sql::QUEUED)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let state = codec::word(row, 1, State::from_code, "a subtask's state")?;
            let ready = (LaneKey(row.get(2)?), row.get(3)?);
            let place = Place { ready: (state == State::Ready).then_some(ready), due: codec::due_at(row, 4)? };
            order.put(SubtaskKey(row.get(0)?), Place::default(), place);
        }
        Ok(order)
    }

    fn put(&mut self, key: SubtaskKey, from: Place, to: Place) {
        if from.ready != to.ready {
            if let Some((lane, rank)) = from.ready
                && let Some(ready) = self.ready.get_mut(&lane)
            {
                ready.remove(&(rank, key));
            }
            if let Some((lane, rank)) = to.ready {
                self.ready.entry(lane).or_default().insert((rank, key));
            }
        }
        if from.due != to.due {
            if let Some(at) = from.due {
                self.due.remove(&(at, key));
            }
            if let Some(at) = to.due {
                self.due.insert((at, key));
            }
        }
    }

    /// A subtask changed.
    pub(super) fn moved(&mut self, key: SubtaskKey, from: Place, to: Place) {
        if from != to {
            self.put(key, from, to);
            self.moved.push((key, from, to));
        }
    }

    /// What was moved stays.
    pub(super) fn committed(&mut self) {
        self.moved.clear();
    }

    /// As it was before the transaction.
    pub(super) fn undo(&mut self) {
        while let Some((key, from, to)) = self.moved.pop() {
            self.put(key, to, from);
        }
    }

    /// See [`regatta_model::ledger::Rows::ready`].
    pub(super) fn ready(&self, lanes: &[LaneKey], limit: u32) -> Vec<SubtaskKey> {
        let limit = limit as usize;
        let mut lanes: Vec<&BTreeSet<_>> = {
            let mut lanes = lanes.to_vec();
            lanes.sort_unstable();
            lanes.dedup();
            lanes.iter().filter_map(|lane| self.ready.get(lane)).filter(|ready| !ready.is_empty()).collect()
        };
        if let [ready] = lanes[..] {
            return ready.iter().take(limit).map(|&(_, key)| key).collect();
        }
        let mut ready: Vec<(i64, SubtaskKey)> =
            lanes.drain(..).flat_map(|lane| lane.iter().take(limit)).copied().collect();
        ready.sort_unstable();
        ready.truncate(limit);
        ready.into_iter().map(|(_, key)| key).collect()
    }

    /// See [`regatta_model::ledger::Rows::due`].
    pub(super) fn due(&self, now: Timestamp, limit: u32) -> Vec<SubtaskKey> {
        let due = self.due.iter().take_while(|&&(at, _)| at <= now);
        due.take(limit as usize).map(|&(_, key)| key).collect()
    }

    /// See [`regatta_model::ledger::Rows::next_due`].
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: LaneKey = LaneKey(1);
    const OTHER: LaneKey = LaneKey(2);

    fn ready(lane: LaneKey, rank: i64) -> Place {
        Place { ready: Some((lane, rank)), due: None }
    }

    #[test]
    fn lanes_are_merged_by_rank_and_cut_to_the_limit() {
        let mut order = Order::default();
        for (key, lane, rank) in [(1, LANE, 30), (2, OTHER, 10), (3, LANE, 20), (4, OTHER, 20), (5, LaneKey(3), 1)] {
            order.moved(SubtaskKey(key), Place::default(), ready(lane, rank));
        }
        let keys = |lanes: &[LaneKey], limit| order.ready(lanes, limit).iter().map(|key| key.0).collect::<Vec<_>>();
        assert_eq!(keys(&[LANE, OTHER, LANE], 3), [2, 3, 4]);
        assert_eq!(keys(&[LANE], 9), [3, 1]);
        assert!(keys(&[LaneKey(9)], 9).is_empty());
    }

    #[test]
    fn what_is_undone_never_was() {
        let mut order = Order::default();
        let leased = Place { ready: None, due: Some(Timestamp(7)) };
        order.moved(SubtaskKey(1), Place::default(), ready(LANE, 1));
        order.committed();
        order.moved(SubtaskKey(1), ready(LANE, 1), leased);
        order.moved(SubtaskKey(1), leased, ready(OTHER, 2));
        order.moved(SubtaskKey(2), Place::default(), leased);
        assert_eq!((order.ready(&[OTHER], 9), order.next_due()), (vec![SubtaskKey(1)], Some(Timestamp(7))));
        order.undo();
        assert_eq!((order.ready(&[LANE, OTHER], 9), order.next_due()), (vec![SubtaskKey(1)], None));
    }

    #[test]
    fn what_is_due_comes_in_order_of_time() {
        let mut order = Order::default();
        for (key, at) in [(1, 9), (2, 5), (3, 5), (4, 7)] {
            order.moved(SubtaskKey(key), Place::default(), Place { ready: None, due: Some(Timestamp(at)) });
        }
        assert_eq!(order.due(Timestamp(7), 9), [2, 3, 4].map(SubtaskKey));
        assert_eq!(order.due(Timestamp(7), 1), [SubtaskKey(2)]);
        assert_eq!(order.next_due(), Some(Timestamp(5)));
    }
}
