//! The fleet as this node sees it: every known worker, who of them is connected here, and which lanes may
//! have work. Plain data under one lock; what it decides is only an offer, the store has the last word.

mod changes;
mod class;
mod explain;
mod presence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regatta_model::command::{Assignment, LaneOffer, Seat};
use regatta_model::routing::{self, Lane, Offer, Weights};
use regatta_model::worker::WorkerRow;
use regatta_model::{LaneKey, Timestamp, WorkerId, WorkerKey};

pub(crate) use changes::Changes;
use class::Class;
pub use presence::LineMessage;
pub(crate) use presence::{Presence, Receiver};

/// With more lanes than this, to look through them with every call would cost more than what it is for.
const FEW_LANES: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Fleet {
    weights: Weights,
    members: HashMap<WorkerKey, Member>,
    by_id: HashMap<WorkerId, WorkerKey>,
    classes: Vec<Class>,
    class_of: HashMap<Offer, usize>,
    lanes: BTreeMap<LaneKey, LaneState>,
    changes: Changes,
    /// When the next worker falls silent, or earlier.
    silent_at: Timestamp,
    /// The latest time as of which the fleet was told of.
    settled_at: Timestamp,
}

#[derive(Debug)]
struct LaneState {
    lane: Arc<Lane>,
    /// Something may be ready in it.
    hot: bool,
    /// Why what is ready in it does not run, as of a number of changes.
    explained: Option<(u64, Arc<str>)>,
}

#[derive(Debug)]
struct Member {
    row: WorkerRow,
    /// How often the row was replaced by news.
    updates: u64,
    class: usize,
    /// Its place in the class's free set, while it is there.
    rank: Option<u16>,
    /// Results of it that are on their way into the store.
    reporting: u32,
    line: Option<Presence>,
    poll: Option<Presence>,
}

impl Member {
    /// Slots that it may be given work for now.
    fn free(&self) -> u32 {
        let session = self.row.session;
        let open = |presence: &&Presence| presence.session == session;
        if let Some(poll) = self.poll.as_ref().filter(open) {
            self.row.free_slots().min(poll.slots)
        } else if self.line.as_ref().filter(open).is_some() {
            self.row.free_slots_after(self.reporting)
        } else {
            0
        }
    }

    /// 0..=1: how free it is with `more` subtasks than its row knows of.
    fn freedom(&self, more: u32) -> f64 {
        let slots = f64::from(self.row.profile.slots.max(1));
        let load = f64::from(self.row.used + more) / slots;
        self.row.resources.free() * (1.0 - load).max(0.0)
    }
}

/// What the dispatcher asks the store to lease.
#[derive(Debug)]
pub(crate) struct Round {
    pub seats: Vec<Seat>,
    pub lanes: Vec<LaneOffer>,
    /// The most subtasks that the seats can take.
    pub wanted: u32,
    /// For each seat, how often its worker's row had been replaced when this was made.
    pub updates: Vec<u64>,
}

/// What became of handing an assignment over.
pub(crate) enum Handed {
    /// It is on its way.
    Yes,
    /// Its worker is not connected here any more; it must be given back.
    NotHere(Box<Assignment>),
}

impl Fleet {
    pub fn new(weights: Weights, changes: Changes) -> Self {
        Self {
            weights,
            changes,
            silent_at: Timestamp(i64::MAX),
            settled_at: Timestamp(i64::MIN),
            members: HashMap::new(),
            by_id: HashMap::new(),
            classes: Vec::new(),
            class_of: HashMap::new(),
            lanes: BTreeMap::new(),
        }
    }

    // --- lanes ---

    /// The last lane known here.
    pub fn last_lane(&self) -> LaneKey {
        self.lanes.last_key_value().map_or(LaneKey(0), |(&key, _)| key)
    }

    pub fn knows_lane(&self, key: LaneKey) -> bool {
        self.lanes.contains_key(&key)
    }

    pub fn add_lane(&mut self, key: LaneKey, lane: Lane) {
        self.changes.count();
        self.lanes.entry(key).or_insert_with(|| LaneState { lane: Arc::new(lane), hot: true, explained: None });
    }

    /// Something may be ready in a lane.
    pub fn wake(&mut self, key: LaneKey) {
        if let Some(state) = self.lanes.get_mut(&key) {
            state.hot = true;
        }
    }

    /// A lane that is known here.
    pub fn lane(&self, key: LaneKey) -> Option<Arc<Lane>> {
        self.lanes.get(&key).map(|state| state.lane.clone())
    }

    // --- workers ---

    /// Takes a worker's row as it is now in the store.
    pub fn update(&mut self, row: WorkerRow) {
        let key = row.key;
        let class = self.class(&row.profile.offer);
        self.note_update(&row);
        match self.members.get_mut(&key) {
            Some(member) => {
                if member.row.session > row.session {
                    return; // news from before its last registration
                }
                for presence in [&mut member.line, &mut member.poll] {
                    if row.unregistered {
                        if let Some(gone) = presence.take() {
                            gone.close(4002, "the worker has unregistered");
                        }
                    } else if presence.as_ref().is_some_and(|p| p.session < row.session)
                        && let Some(old) = presence.take()
                    {
                        old.close(4001, "the worker has registered again");
                    }
                }
                if member.class != class {
                    let old = member.class;
                    if let Some(rank) = member.rank.take() {
                        self.classes[old].free.remove(&(rank, key));
                    }
                    self.classes[old].members.remove(&key);
                    member.class = class;
                    self.classes[class].members.insert(key, ());
                }
                member.row = row;
                member.updates += 1;
            }
            None => {
                self.by_id.insert(row.id, key);
                self.classes[class].members.insert(key, ());
                self.members
                    .insert(key, Member { row, updates: 0, class, rank: None, reporting: 0, line: None, poll: None });
            }
        }
        self.place(key);
    }

    /// Forgets a worker that was taken off the list.
    pub fn remove(&mut self, id: WorkerId) {
        let Some(key) = self.by_id.remove(&id) else { return };
        let Some(mut member) = self.members.remove(&key) else { return };
        self.changes.count();
        let class = &mut self.classes[member.class];
        class.members.remove(&key);
        if let Some(rank) = member.rank {
            class.free.remove(&(rank, key));
        }
        for presence in [member.line.take(), member.poll.take()].into_iter().flatten() {
            presence.close(4002, "the worker was removed");
        }
    }

    pub fn row(&self, id: WorkerId) -> Option<&WorkerRow> {
        Some(&self.members.get(self.by_id.get(&id)?)?.row)
    }

    pub fn rows(&self) -> impl Iterator<Item = &WorkerRow> {
        self.members.values().map(|member| &member.row)
    }

    /// How many lines are open here.
    pub fn lines(&self) -> usize {
        self.members.values().filter(|member| member.line.is_some()).count()
    }

    fn class(&mut self, offer: &Offer) -> usize {
        if let Some(&place) = self.class_of.get(offer) {
            return place;
        }
        self.classes.push(Class::new(offer.clone()));
        self.class_of.insert(offer.clone(), self.classes.len() - 1);
        self.classes.len() - 1
    }

    /// Puts a worker where its freedom belongs in its class's free set, or out of it.
    fn place(&mut self, key: WorkerKey) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let class = &mut self.classes[member.class];
        if let Some(rank) = member.rank.take() {
            class.free.remove(&(rank, key));
        }
        if member.free() > 0 {
            let rank = 1000 - (member.freedom(0) * 1000.0) as u16;
            member.rank = Some(rank);
            class.free.insert((rank, key));
        }
    }

    // --- presence ---

    /// Opens a line; the one before it is closed.
    pub fn open_line(&mut self, key: WorkerKey, presence: Presence) {
        self.changes.count();
        if let Some(member) = self.members.get_mut(&key)
            && let Some(old) = member.line.replace(presence)
        {
            old.close(4001, "the worker has opened another line");
        }
        self.place(key);
        // Lanes that its fellows were too busy for have waited for it, and no news of its row may come.
        self.wake_free(&[key]);
    }

    /// A worker has opened a line at another node: one that was opened here before is over.
    pub fn opened_elsewhere(&mut self, id: WorkerId, at: Timestamp) {
        let Some(&key) = self.by_id.get(&id) else { return };
        let Some(member) = self.members.get_mut(&key) else { return };
        self.changes.count();
        if let Some(old) = member.line.take_if(|line| line.since < at) {
            old.close(4001, "the worker has opened another line");
        }
        member.poll.take_if(|poll| poll.since < at);
        self.place(key);
    }

    /// Opens a poll; the one before it ends empty.
    pub fn open_poll(&mut self, key: WorkerKey, presence: Presence) {
        self.changes.count();
        if let Some(member) = self.members.get_mut(&key) {
            member.poll = Some(presence);
        }
        self.place(key);
        self.wake_free(&[key]);
    }

    /// Closes the line or the poll with this number, if it is still the newest.
    pub fn close(&mut self, key: WorkerKey, number: u64) {
        self.changes.count();
        if let Some(member) = self.members.get_mut(&key) {
            for presence in [&mut member.line, &mut member.poll] {
                if presence.as_ref().is_some_and(|p| p.number == number) {
                    *presence = None;
                }
            }
        }
        self.place(key);
    }

    /// Sends a worker's line something; `false` when it is not connected here.
    pub fn tell(&self, id: WorkerId, message: LineMessage) -> bool {
        let member = self.by_id.get(&id).and_then(|key| self.members.get(key));
        member.and_then(|member| member.line.as_ref()).is_some_and(|line| line.send(message).is_ok())
    }

    /// Times at which workers with open lines were last heard, where that is news of at least `after` more
    /// than their rows know.
    pub fn heard_since(&self, after: regatta_model::Span) -> Vec<(WorkerId, Timestamp)> {
        let heard = self.members.values().filter_map(|member| {
            let heard = member.line.as_ref()?.heard();
            (heard - member.row.last_heartbeat >= after).then_some((member.row.id, heard))
        });
        let mut heard: Vec<_> = heard.collect();
        heard.sort_unstable();
        heard
    }

    // --- dispatching ---

    /// Work is on its way into the store: what is claimed now comes behind it, and is leased with it. Whether anybody
    /// is free for it.
    pub fn expect_work(&mut self) -> bool {
        let free = self.lanes.len() <= FEW_LANES && self.classes.iter().any(|class| !class.free.is_empty());
        if free {
            self.lanes.values_mut().for_each(|lane| lane.hot = true);
        }
        free
    }

    /// A result of a worker is on its way into the store: the slot that it frees may be offered now. Whether that is
    /// so; then [`Self::expect_slot_no_more`] must follow.
    pub fn expect_slot(&mut self, id: WorkerId) -> bool {
        let Some(&key) = self.by_id.get(&id) else { return false };
        let Some(member) = self.members.get_mut(&key) else { return false };
        if self.lanes.len() > FEW_LANES || member.line.is_none() {
            return false;
        }
        member.reporting += 1;
        self.place(key);
        self.wake_free(&[key]);
        true
    }

    /// What became of a worker's result is known: the slot is as free as the worker's row says.
    pub fn expect_slot_no_more(&mut self, id: WorkerId) {
        let Some(&key) = self.by_id.get(&id) else { return };
        if let Some(member) = self.members.get_mut(&key) {
            member.reporting = member.reporting.saturating_sub(1);
        }
        self.place(key);
    }

    /// What can be offered now: the best free slots of every class for every lane that may have work, at
    /// most `limit` slots a lane. Lanes that are offered count as empty until they are woken again.
    pub fn round(&mut self, limit: u32) -> Option<Round> {
        let mut seats: Vec<Seat> = Vec::new();
        let mut seat_of: HashMap<WorkerKey, u32> = HashMap::new();
        let mut lanes = Vec::new();
        let mut slots_of: HashMap<usize, Vec<(u32, f64)>> = HashMap::new();
        for (&lane_key, state) in self.lanes.iter_mut().filter(|(_, state)| state.hot) {
            let mut takers: Vec<(f64, u32, Arc<str>)> = Vec::new();
            for (place, class) in self.classes.iter_mut().enumerate() {
                if class.free.is_empty() {
                    continue;
                }
                let Some(found) = class.serve(lane_key, &state.lane) else { continue };
                let slots = slots_of
                    .entry(place)
                    .or_insert_with(|| best_slots(class, &self.members, limit, &mut seats, &mut seat_of));
                takers.extend(slots.iter().map(|&(seat, freedom)| {
                    (routing::score(&self.weights, &found, freedom), seat, found.tool.clone())
                }));
            }
            if takers.is_empty() {
                continue;
            }
            state.hot = false;
            takers.sort_by(|a, b| b.0.total_cmp(&a.0));
            takers.truncate(limit as usize);
            let takers = takers.into_iter().map(|(_, seat, tool)| (seat, tool)).collect();
            lanes.push(LaneOffer { lane: lane_key, takers });
        }
        let wanted = seats.iter().map(|seat| seat.free).sum::<u32>().min(limit);
        if wanted == 0 || lanes.is_empty() {
            return None;
        }
        let updates = seats.iter().map(|seat| self.updates(seat.worker)).collect();
        Some(Round { seats, lanes, wanted, updates })
    }

    /// How often a worker's row was replaced by news.
    pub fn updates(&self, key: WorkerKey) -> u64 {
        self.members.get(&key).map_or(0, |member| member.updates)
    }

    /// Marks the lanes of a round as having work still: it ended for want of seats, or failed.
    pub fn wake_round(&mut self, lanes: &[LaneKey]) {
        for &key in lanes {
            self.wake(key);
        }
    }

    /// Marks every lane that one of these workers could serve now as having work: a lane may have been taken for
    /// empty because slots were offered that, unknown to the fleet, were taken. News of a free slot is what ends that.
    pub fn wake_free(&mut self, workers: &[WorkerKey]) {
        let mut classes: Vec<usize> = workers
            .iter()
            .filter_map(|key| self.members.get(key))
            .filter(|member| member.free() > 0)
            .map(|member| member.class)
            .collect();
        classes.sort_unstable();
        classes.dedup();
        for (&key, state) in self.lanes.iter_mut().filter(|(_, state)| !state.hot) {
            state.hot = classes.iter().any(|&class| self.classes[class].serve(key, &state.lane).is_some());
        }
    }

    /// Hands an assignment of a claim made at `claimed_at` to its worker, whose row had been replaced `updates`
    /// times when it was offered.
    pub fn hand(&mut self, assignment: Assignment, session: i64, updates: u64, claimed_at: Timestamp) -> Handed {
        let Some(&key) = self.by_id.get(&assignment.worker) else {
            return Handed::NotHere(Box::new(assignment));
        };
        let Some(member) = self.members.get_mut(&key) else {
            return Handed::NotHere(Box::new(assignment));
        };
        // News may have come between: then the row may count this one already, and counting it twice would keep
        // a slot empty until the next news. Counting it not at all only offers a slot that the store refuses.
        if member.updates == updates {
            member.row.used += 1;
            self.changes.count();
        }
        let fits = |p: &Presence| p.session == session && p.since <= claimed_at;
        let handed = if let Some(poll) = member.poll.as_mut().filter(|p| p.slots > 0 && fits(p)) {
            poll.slots -= 1;
            poll.send(LineMessage::Assign(Box::new(assignment)))
        } else if let Some(line) = member.line.as_ref().filter(|p| fits(p)) {
            line.send(LineMessage::Assign(Box::new(assignment)))
        } else {
            Err(LineMessage::Assign(Box::new(assignment)))
        };
        self.place(key);
        match handed {
            Ok(()) => Handed::Yes,
            Err(LineMessage::Assign(assignment)) => Handed::NotHere(assignment),
            Err(LineMessage::Stop(_)) => Handed::Yes,
        }
    }
}

/// The best free slots of a class, at most `limit`, as (seat, freedom once taken): workers in order of their
/// freedom, each with every free slot.
fn best_slots(
    class: &Class,
    members: &HashMap<WorkerKey, Member>,
    limit: u32,
    seats: &mut Vec<Seat>,
    seat_of: &mut HashMap<WorkerKey, u32>,
) -> Vec<(u32, f64)> {
    let mut slots = Vec::new();
    for (_, key) in class.free.iter().take(limit as usize) {
        let Some(member) = members.get(key) else { continue };
        let free = member.free().min(limit);
        let seat = *seat_of.entry(*key).or_insert_with(|| {
            seats.push(Seat { worker: *key, session: member.row.session, free });
            seats.len() as u32 - 1
        });
        slots.extend((0..free).map(|more| (seat, member.freedom(more))));
        if slots.len() >= 4 * limit as usize {
            break;
        }
    }
    slots.sort_by(|a, b| b.1.total_cmp(&a.1));
    slots.truncate(limit as usize);
    slots
}
