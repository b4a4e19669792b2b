//! Who listens to what in this process, and the fan-out to them. Every bus delivers through a hub.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering as Memory};

use parking_lot::RwLock;
use regatta_model::event::What;
use regatta_model::ledger::Effects;
use regatta_model::{TaskId, WorkerId};
use uuid::Uuid;

use crate::mailbox::Mailbox;
use crate::notice::{Body, Notice};
use crate::subscriber::Subscriber;
use crate::topic::Topic;

const SHARDS: usize = 64;

/// The subscribers of one process.
#[derive(Default)]
pub struct Hub {
    last_id: AtomicU64,
    tasks: Audience<TaskId>,
    workers: Audience<WorkerId>,
}

impl Hub {
    /// A hub to which nobody listens.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A subscriber without topics whose queue holds up to `capacity` notices (at least one).
    pub fn subscribe(self: &Arc<Self>, capacity: usize) -> Subscriber {
        let id = self.last_id.fetch_add(1, Memory::Relaxed) + 1;
        Subscriber::new(self.clone(), Arc::new(Mailbox::new(id, capacity)))
    }

    /// Delivers to everyone whose topics match. It never waits for a subscriber.
    pub fn publish(&self, effects: &Effects) {
        if !effects.events.is_empty() && self.tasks.anyone() {
            let list = self.tasks.list.read();
            for event in &effects.events {
                let listed = matches!(event.what, What::Task(_)).then_some(&*list);
                self.tasks.deliver(event.task.id, listed, || Body::Event(event.clone()));
            }
        }
        if !(effects.workers.is_empty() && effects.removed_workers.is_empty()) && self.workers.anyone() {
            let list = self.workers.list.read();
            for row in &effects.workers {
                self.workers.deliver(row.id, Some(&list), || Body::Worker(row.clone()));
            }
            for id in &effects.removed_workers {
                self.workers.deliver(*id, Some(&list), || Body::WorkerRemoved(*id));
            }
        }
    }

    /// Tells every subscriber that something may have been lost before here.
    pub fn resync(&self) {
        let mut told = HashSet::new();
        let mut tell = |mailbox: &Arc<Mailbox>| {
            if told.insert(mailbox.id) {
                mailbox.resync();
            }
        };
        self.tasks.each(&mut tell);
        self.workers.each(&mut tell);
    }

    /// How many subscribers that watch have [`Topic::Task`] of `task`.
    pub fn watchers(&self, task: TaskId) -> usize {
        let watches = |member: &&Arc<Mailbox>| member.watches.load(Memory::Relaxed);
        let shard = self.tasks.shard(task).read();
        shard.get(&task).map_or(0, |members| members.0.iter().filter(watches).count())
    }

    pub(crate) fn join(&self, topic: Topic, mailbox: &Arc<Mailbox>) {
        match topic {
            Topic::Tasks => self.tasks.join_list(mailbox),
            Topic::Task(id) => self.tasks.join_one(id, mailbox),
            Topic::Workers => self.workers.join_list(mailbox),
            Topic::Worker(id) => self.workers.join_one(id, mailbox),
        }
    }

    pub(crate) fn leave(&self, topic: Topic, mailbox: &Arc<Mailbox>) {
        match topic {
            Topic::Tasks => self.tasks.leave_list(mailbox),
            Topic::Task(id) => self.tasks.leave_one(id, mailbox),
            Topic::Workers => self.workers.leave_list(mailbox),
            Topic::Worker(id) => self.workers.leave_one(id, mailbox),
        }
    }
}

/// The mailboxes of one topic, sorted by id: small, quick to walk, and two of them merge without doubles.
#[derive(Default)]
struct Members(Vec<Arc<Mailbox>>);

impl Members {
    fn insert(&mut self, mailbox: &Arc<Mailbox>) {
        if let Err(place) = self.0.binary_search_by_key(&mailbox.id, |member| member.id) {
            self.0.insert(place, mailbox.clone());
        }
    }

    fn remove(&mut self, mailbox: &Mailbox) {
        if let Ok(place) = self.0.binary_search_by_key(&mailbox.id, |member| member.id) {
            self.0.remove(place);
            if self.0.len() * 4 < self.0.capacity() {
                self.0.shrink_to(self.0.len() * 2);
            }
        }
    }
}

/// Those who watch one kind of thing: the list of all, or single ones by id.
struct Audience<Id> {
    /// Subscriptions of both sorts.
    count: AtomicUsize,
    list: RwLock<Members>,
    ones: Vec<RwLock<HashMap<Id, Members>>>,
}

impl<Id> Default for Audience<Id> {
    fn default() -> Self {
        let ones = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { count: AtomicUsize::new(0), list: RwLock::default(), ones }
    }
}

trait Key: Copy + Eq + Hash {
    fn uuid(self) -> Uuid;
}
impl Key for TaskId {
    fn uuid(self) -> Uuid {
        TaskId::uuid(self)
    }
}
impl Key for WorkerId {
    fn uuid(self) -> Uuid {
        WorkerId::uuid(self)
    }
}

impl<Id: Key> Audience<Id> {
    /// Whether there is anyone at all. A read-modify-write on purpose: it comes either before a subscription,
    /// whose owner then sees in the store what was committed before this call, or after it and counts it.
    fn anyone(&self) -> bool {
        self.count.fetch_add(0, Memory::AcqRel) > 0
    }

    fn shard(&self, id: Id) -> &RwLock<HashMap<Id, Members>> {
        // The low 14 bits of a task's id are zero; those above are random in version 7.
        &self.ones[(id.uuid().as_u128() >> 14) as usize % SHARDS]
    }

    fn join_list(&self, mailbox: &Arc<Mailbox>) {
        self.list.write().insert(mailbox);
        self.count.fetch_add(1, Memory::AcqRel);
    }

    fn join_one(&self, id: Id, mailbox: &Arc<Mailbox>) {
        self.shard(id).write().entry(id).or_default().insert(mailbox);
        self.count.fetch_add(1, Memory::AcqRel);
    }

    fn leave_list(&self, mailbox: &Mailbox) {
        self.list.write().remove(mailbox);
        self.count.fetch_sub(1, Memory::AcqRel);
    }

    fn leave_one(&self, id: Id, mailbox: &Mailbox) {
        let mut shard = self.shard(id).write();
        if let Some(members) = shard.get_mut(&id) {
            members.remove(mailbox);
            if members.0.is_empty() {
                shard.remove(&id);
            }
        }
        drop(shard);
        self.count.fetch_sub(1, Memory::AcqRel);
    }

    /// Calls `f` for every subscription.
    fn each(&self, mut f: impl FnMut(&Arc<Mailbox>)) {
        self.list.read().0.iter().for_each(&mut f);
        for shard in &self.ones {
            shard.read().values().flat_map(|members| &members.0).for_each(&mut f);
        }
    }

    /// Delivers to those who watch `id` and to those of the `list`, once to who is in both.
    fn deliver(&self, id: Id, list: Option<&Members>, body: impl FnOnce() -> Body) {
        let shard = self.shard(id).read();
        let one = shard.get(&id).map_or(&[][..], |members| &members.0);
        let list = list.map_or(&[][..], |members| &members.0);
        if one.is_empty() && list.is_empty() {
            return;
        }
        let notice = Arc::new(Notice::new(body()));
        merge(one, list, |mailbox| mailbox.push(notice.clone()));
    }
}

/// Calls `f` for each mailbox in either of two sorted lists, once for who is in both.
fn merge(mut a: &[Arc<Mailbox>], mut b: &[Arc<Mailbox>], mut f: impl FnMut(&Mailbox)) {
    while let ([x, a_rest @ ..], [y, b_rest @ ..]) = (a, b) {
        let order = x.id.cmp(&y.id);
        f(if order == Ordering::Greater { y } else { x });
        if order != Ordering::Greater {
            a = a_rest;
        }
        if order != Ordering::Less {
            b = b_rest;
        }
    }
    a.iter().chain(b).for_each(|mailbox| f(mailbox));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriber::Delivery;

    fn task(number: u128) -> TaskId {
        TaskId::from_random(Uuid::from_u128(number << 14))
    }

    #[test]
    fn a_resync_reaches_everyone_with_a_topic_once() {
        let hub = Hub::new();
        let mut both = hub.subscribe(8);
        both.add(Topic::Tasks);
        both.add(Topic::Task(task(1)));
        both.add(Topic::Workers);
        let mut none = hub.subscribe(8);
        hub.resync();
        assert!(matches!(both.try_next(), Some(Delivery::Resync)));
        assert!(both.try_next().is_none());
        assert!(none.try_next().is_none());
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let hub = Hub::new();
        for number in 0..1_000 {
            let mut subscriber = hub.subscribe(8);
            subscriber.add(Topic::Task(task(number)));
            subscriber.add(Topic::Worker(WorkerId(Uuid::from_u128(number))));
            subscriber.add(Topic::Tasks);
            assert!(hub.tasks.anyone() && hub.workers.anyone());
        }
        assert!(!hub.tasks.anyone() && !hub.workers.anyone());
        assert!(hub.tasks.ones.iter().all(|shard| shard.read().is_empty()));
        assert!(hub.workers.ones.iter().all(|shard| shard.read().is_empty()));
        assert!(hub.tasks.list.read().0.is_empty());
    }
}
