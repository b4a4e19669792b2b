//! The bounded queue between publishers and one subscriber: a full one is emptied and counted, never waited for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::notice::Notice;
use crate::subscriber::Delivery;

/// A drained queue larger than this is given back: tens of thousands of watchers are idle most of the time.
const KEPT_CAPACITY: usize = 16;

/// One subscriber's queue.
pub(crate) struct Mailbox {
    /// Unique in its hub; members of a topic are sorted by it.
    pub(crate) id: u64,
    /// Whether it is shown to anyone: not when its owner only waits for something to happen.
    pub(crate) watches: AtomicBool,
    capacity: usize,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    /// Notices dropped since the subscriber was last told; it is told before anything in `waiting`.
    missed: u64,
    /// `None` stands for [`Delivery::Resync`].
    waiting: VecDeque<Option<Arc<Notice>>>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.missed == 0 && self.waiting.is_empty()
    }
}

impl Mailbox {
    pub(crate) fn new(id: u64, capacity: usize) -> Self {
        Self {
            id,
            watches: AtomicBool::new(true),
            capacity: capacity.max(1),
            queue: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Queues a notice. When there is no room, everything older is dropped and counted: who is too slow for
    /// what was is served what is.
    pub(crate) fn push(&self, notice: Arc<Notice>) {
        self.queue(Some(notice));
    }

    /// Queues the word that something may have been lost, without knowing how much.
    pub(crate) fn resync(&self) {
        self.queue(None);
    }

    fn queue(&self, item: Option<Arc<Notice>>) {
        let mut dropped = VecDeque::new();
        let was_empty = {
            let mut queue = self.queue.lock();
            let was_empty = queue.is_empty();
            if queue.waiting.len() >= self.capacity {
                dropped = std::mem::take(&mut queue.waiting);
                let notices = dropped.iter().flatten().count();
                queue.missed += notices as u64;
                // A loss that was to be told must still be told.
                if notices < dropped.len() && item.is_some() {
                    queue.waiting.push_back(None);
                }
            }
            queue.waiting.push_back(item);
            was_empty
        };
        drop(dropped); // outside the lock: the last owner frees the notices
        // Who finds something does not wait; so only the first arrival needs to wake.
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Drops what is queued and no longer `wanted`. It is not counted as missed.
    pub(crate) fn retain(&self, mut wanted: impl FnMut(&Notice) -> bool) {
        self.queue.lock().waiting.retain(|item| item.as_deref().is_none_or(&mut wanted));
    }

    /// The next delivery, if there is one.
    pub(crate) fn take(&self) -> Option<Delivery> {
        let mut queue = self.queue.lock();
        if queue.missed > 0 {
            return Some(Delivery::Lagged(std::mem::take(&mut queue.missed)));
        }
        let item = queue.waiting.pop_front()?;
        if queue.waiting.is_empty() && queue.waiting.capacity() > KEPT_CAPACITY {
            queue.waiting = VecDeque::new();
        }
        Some(item.map_or(Delivery::Resync, Delivery::Notice))
    }

    /// Waits for the next delivery. Only one may wait at a time.
    pub(crate) async fn next(&self) -> Delivery {
        loop {
            if let Some(delivery) = self.take() {
                return delivery;
            }
            self.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Body;
    use regatta_model::WorkerId;
    use uuid::Uuid;

    fn notice(number: u128) -> Arc<Notice> {
        Arc::new(Notice::new(Body::WorkerRemoved(WorkerId(Uuid::from_u128(number)))))
    }

    fn drain(mailbox: &Mailbox) -> Vec<String> {
        std::iter::from_fn(|| mailbox.take())
            .map(|delivery| match delivery {
                Delivery::Notice(notice) => match &notice.body {
                    Body::WorkerRemoved(id) => id.uuid().as_u128().to_string(),
                    other => format!("{other:?}"),
                },
                Delivery::Lagged(missed) => format!("lagged {missed}"),
                Delivery::Resync => "resync".into(),
            })
            .collect()
    }

    #[test]
    fn a_full_queue_is_dropped_and_counted() {
        let mailbox = Mailbox::new(1, 3);
        (1..=3).for_each(|number| mailbox.push(notice(number)));
        assert_eq!(drain(&mailbox), ["1", "2", "3"]);
        (1..=8).for_each(|number| mailbox.push(notice(number)));
        assert_eq!(drain(&mailbox), ["lagged 6", "7", "8"]);
    }

    #[test]
    fn a_resync_keeps_its_place_and_survives_a_lag() {
        let mailbox = Mailbox::new(1, 3);
        mailbox.push(notice(1));
        mailbox.resync();
        mailbox.push(notice(2));
        assert_eq!(drain(&mailbox), ["1", "resync", "2"]);
        mailbox.resync();
        (1..=4).for_each(|number| mailbox.push(notice(number)));
        assert_eq!(drain(&mailbox), ["lagged 2", "resync", "3", "4"]);
        (1..=3).for_each(|number| mailbox.push(notice(number)));
        mailbox.resync();
        assert_eq!(drain(&mailbox), ["lagged 3", "resync"]);
    }

    #[test]
    fn a_capacity_of_nothing_still_delivers() {
        let mailbox = Mailbox::new(1, 0);
        mailbox.push(notice(1));
        assert_eq!(drain(&mailbox), ["1"]);
        (1..=3).for_each(|number| mailbox.push(notice(number)));
        assert_eq!(drain(&mailbox), ["lagged 2", "3"]);
    }

    #[test]
    fn an_idle_subscriber_holds_no_large_queue() {
        let mailbox = Mailbox::new(1, 4_096);
        assert_eq!(mailbox.queue.lock().waiting.capacity(), 0);
        (0..1_000).for_each(|number| mailbox.push(notice(number)));
        assert_eq!(drain(&mailbox).len(), 1_000);
        assert!(mailbox.queue.lock().waiting.capacity() <= KEPT_CAPACITY);
    }
}
