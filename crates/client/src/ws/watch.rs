//! Watching what happens: the stream `/ws`, resumed where it broke.

use std::collections::BTreeMap;

use regatta_api::frames::all::{Topic, TopicKind, WatchAction, WatchFrame};
use uuid::Uuid;

use super::incoming::parse;
use super::link::Link;
use crate::{Client, Error, Result};

const PATH: &str = "/ws";

impl Client {
    /// Watches topics: see [`Watcher::next`].
    ///
    /// # Errors
    /// [`Error::Unreachable`] without a connection, [`Error::Problem`] when the server refuses, [`Error::Options`] for
    /// topics that do not go together.
    pub async fn watch(&self, topics: impl IntoIterator<Item = Topic>) -> Result<Watcher> {
        let mut watched = Vec::new();
        for topic in topics {
            add(&mut watched, topic)?;
        }
        let link = Link::open(self, PATH, "").await?;
        let mut watcher = Watcher { link, topics: watched, seen: BTreeMap::new(), resync: false };
        watcher.greet().await?;
        Ok(watcher)
    }

    /// Watches one task: its updates, its subtasks' updates and its log, from `from_seq` (inclusive; 0 for everything
    /// kept) or from now.
    ///
    /// # Errors
    /// As [`Client::watch`]; an unknown task is told by an `error` frame.
    pub async fn watch_task(&self, task: Uuid, from_seq: Option<u64>) -> Result<Watcher> {
        self.watch([Topic::task(task, from_seq)]).await
    }
}

/// A watcher of topics. Its connection comes back by itself; it must be read all the time, or the server closes it.
pub struct Watcher {
    link: Link,
    topics: Vec<Topic>,
    /// The last number seen of each watched task.
    seen: BTreeMap<Uuid, u64>,
    /// What happened while there was no connection is not known: say so first.
    resync: bool,
}

impl Watcher {
    /// The next frame. After its connection broke, a watched task goes on where it stopped, each event once; for the
    /// other topics (and a task of which nothing was seen yet) comes a [`WatchFrame::Resync`]: read again what you need.
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the connection could not be made again for as long as `Options::reconnect` says, or the server refuses; a
    /// next call tries again. [`Error::Protocol`] for a frame that does not fit its type; the watcher stays usable.
    pub async fn next(&mut self) -> Result<WatchFrame> {
        loop {
            self.link.restore(PATH, "").await?;
            if self.link.is_fresh() {
                self.resync |= self.topics.iter().any(|topic| self.resumed(topic).from_seq.is_none());
                self.greet().await?;
            }
            if std::mem::take(&mut self.resync) {
                return Ok(WatchFrame::Resync);
            }
            let Some(text) = self.link.text().await else { continue };
            if let Some(frame) = parse::<WatchFrame>(&text)?
                && self.is_new(&frame)
            {
                return Ok(frame);
            }
        }
    }

    /// Whether there is a connection now. Without one [`Watcher::next`] makes it again, which may take a while that a person
    /// who watches wants to know of.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Watches one more topic. A task that is watched already starts again at its `from_seq`.
    ///
    /// # Errors
    /// [`Error::Options`] for topics that do not go together.
    pub async fn subscribe(&mut self, topic: Topic) -> Result<()> {
        add(&mut self.topics, topic)?;
        self.forget_seen(&topic);
        self.link.send(&WatchAction::Subscribe(topic)).await
    }

    /// Watches a topic no more; frames that are under way may still come.
    ///
    /// # Errors
    /// When the frame cannot be written.
    pub async fn unsubscribe(&mut self, topic: Topic) -> Result<()> {
        self.topics.retain(|known| !is_same(known, &topic));
        self.forget_seen(&topic);
        self.link.send(&WatchAction::Unsubscribe(Topic { from_seq: None, ..topic })).await
    }

    fn forget_seen(&mut self, topic: &Topic) {
        if let Some(task) = topic.task_id {
            self.seen.remove(&task);
        }
    }

    /// A topic from where it stopped.
    fn resumed(&self, topic: &Topic) -> Topic {
        let seen = topic.task_id.and_then(|task| self.seen.get(&task));
        Topic { from_seq: seen.map(|seq| seq + 1).or(topic.from_seq), ..*topic }
    }

    /// Says on a new connection what is watched, from where.
    async fn greet(&mut self) -> Result<()> {
        for index in 0..self.topics.len() {
            let action = WatchAction::Subscribe(self.resumed(&self.topics[index]));
            self.link.send(&action).await?;
        }
        self.link.settle();
        Ok(())
    }

    /// Notes the number of a watched task's event; false for one that was seen before.
    fn is_new(&mut self, frame: &WatchFrame) -> bool {
        let (Some(task), Some(seq)) = (frame.task_id(), frame.seq()) else {
            return true;
        };
        if !self.topics.iter().any(|topic| topic.task_id == Some(task)) {
            return true;
        }
        let seen = self.seen.entry(task).or_default();
        let new = seq > *seen;
        *seen = seq.max(*seen);
        new
    }
}

/// Whether two topics are about the same.
fn is_same(one: &Topic, other: &Topic) -> bool {
    (one.kind, one.task_id, one.worker_id) == (other.kind, other.task_id, other.worker_id)
}

/// Adds a topic, or replaces the same one.
fn add(topics: &mut Vec<Topic>, topic: Topic) -> Result<()> {
    // A task's events are contiguous, and that is how they are resumed; those of all tasks would run ahead of them.
    let clash = match topic.kind {
        TopicKind::Task => Some(TopicKind::Tasks),
        TopicKind::Tasks => Some(TopicKind::Task),
        TopicKind::Worker | TopicKind::Workers => None,
    };
    if topics.iter().any(|known| Some(known.kind) == clash) {
        return Err(Error::Options("one task and all tasks need two watchers; make another one".to_owned()));
    }
    topics.retain(|known| !is_same(known, &topic));
    topics.push(topic);
    Ok(())
}
