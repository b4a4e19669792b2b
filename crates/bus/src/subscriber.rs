//! One watcher: its topics and what is delivered to it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::hub::Hub;
use crate::mailbox::Mailbox;
use crate::notice::Notice;
use crate::topic::Topic;

/// What a subscriber gets.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// Something happened.
    Notice(Arc<Notice>),
    /// It was too slow: so many notices were dropped here, and it goes on from the newest.
    Lagged(u64),
    /// The bus was interrupted here and cannot say what was lost: whatever is watched must be read again.
    Resync,
}

/// A watcher, typically one WebSocket: one queue for any number of topics. Dropping it unsubscribes.
///
/// It gets, in the order of publishing, everything that is published after [`Subscriber::add`] returned and
/// before [`Subscriber::remove`] is called, each notice once, however many of its topics match; what it was too
/// slow for is counted in [`Delivery::Lagged`].
pub struct Subscriber {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    topics: HashSet<Topic>,
}

impl Subscriber {
    pub(crate) fn new(hub: Arc<Hub>, mailbox: Arc<Mailbox>) -> Self {
        Self { hub, mailbox, topics: HashSet::new() }
    }

    /// The same, counted by nobody: for those who wait for something to happen and show nothing of it.
    #[must_use]
    pub fn uncounted(self) -> Self {
        self.mailbox.watches.store(false, Ordering::Relaxed);
        self
    }

    /// Subscribes to a topic; `false` when it already was.
    ///
    /// Who reads the store after this returned misses nothing between the two: a commit that this read does not
    /// see is published to this subscriber.
    pub fn add(&mut self, topic: Topic) -> bool {
        let new = self.topics.insert(topic);
        if new {
            self.hub.join(topic, &self.mailbox);
        }
        new
    }

    /// Unsubscribes from a topic; `false` when it was not subscribed. Nothing that only this topic asked for is
    /// delivered any more.
    pub fn remove(&mut self, topic: Topic) -> bool {
        let known = self.topics.remove(&topic);
        if known {
            self.hub.leave(topic, &self.mailbox);
            self.mailbox.retain(|notice| {
                let (about, listed) = Topic::of(&notice.body);
                self.topics.contains(&about) || listed.is_some_and(|topic| self.topics.contains(&topic))
            });
        }
        known
    }

    /// Whether it is subscribed to `topic`.
    pub fn has(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }

    /// Its topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.topics.iter().copied()
    }

    /// Waits for the next delivery. Safe to cancel: nothing is lost.
    pub async fn next(&mut self) -> Delivery {
        self.mailbox.next().await
    }

    /// The next delivery, if there is one already.
    pub fn try_next(&mut self) -> Option<Delivery> {
        self.mailbox.take()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        for topic in self.topics.drain() {
            self.hub.leave(topic, &self.mailbox);
        }
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("topics", &self.topics).finish_non_exhaustive()
    }
}
