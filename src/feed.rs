//! One task's events from the first that is kept to its end, each once, in order: what `watch` and `logs --follow` show.
//!
//! The past comes page by page over HTTP, what follows over the WebSocket, a hole in it (a watcher that was too slow, or a
//! connection that was lost) again over HTTP. Not here: how anything is shown.

use std::time::Duration;

use regatta_client::api::TaskStatus;
use regatta_client::api::frames::all::WatchFrame;
use regatta_client::api::page::SeqQuery;
use regatta_client::api::task::TaskDetail;
use regatta_client::{Client, Error, Watcher};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use regatta_client::api::frames::all::Event;

/// The connection is looked at so often.
const LOOK: Duration = Duration::from_millis(300);
/// An answer that takes longer is said to be missing.
const ANSWER: Duration = Duration::from_secs(2);

/// What a feed brings.
#[derive(Debug)]
pub enum Item {
    /// Something happened.
    Event(Box<Event>),
    /// That was the past; what comes now is live. Comes once.
    CaughtUp,
    /// The server is away: its connection is lost and is made again, or it does not answer. Until [`Item::Back`] nothing is
    /// known.
    Lost,
    /// The server is there again; what happened meanwhile follows.
    Back,
    /// The task has ended, and every event was given. Nothing comes after it.
    Ended(Box<TaskDetail>),
}

/// The receiving end: dropping it ends the feed.
pub struct Feed {
    items: mpsc::Receiver<Result<Item, Error>>,
}

impl Feed {
    /// Starts to read.
    pub fn start(client: Client, task: Uuid) -> Self {
        let (sender, items) = mpsc::channel(256);
        tokio::spawn(async move {
            let mut source = Source { client, task, seen: 0, sender };
            if let Err(Stop::Error(error)) = source.run().await {
                // The receiver may be gone.
                let _ = source.sender.send(Err(error)).await;
            }
        });
        Self { items }
    }

    /// The next item; nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the server is lost for good, or refuses; nothing comes after it.
    pub async fn next(&mut self) -> Result<Item, Error> {
        let gone = || Err(Error::Protocol("the feed of events ended early".to_owned()));
        self.items.recv().await.unwrap_or_else(gone)
    }
}

/// Why reading ends.
enum Stop {
    Error(Error),
    /// Nobody listens any more.
    Dropped,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

struct Source {
    client: Client,
    task: Uuid,
    /// The number of the last event that was given.
    seen: u64,
    sender: mpsc::Sender<Result<Item, Error>>,
}

impl Source {
    async fn run(&mut self) -> Result<(), Stop> {
        self.past().await?;
        self.give(Item::CaughtUp).await?;
        if self.ended().await? {
            return Ok(());
        }
        let mut watcher = self.answer(self.client.watch_task(self.task, Some(self.seen + 1))).await?;
        let mut look = tokio::time::interval(LOOK);
        let mut connected = true;
        loop {
            // A watcher connects again by itself and says nothing; who looks on shall know.
            let frame = tokio::select! {
                frame = watcher.next() => frame?,
                _ = look.tick() => {
                    if watcher.is_connected() != connected {
                        connected = !connected;
                        self.give(if connected { Item::Back } else { Item::Lost }).await?;
                    }
                    continue;
                }
            };
            if !connected {
                connected = true;
                self.give(Item::Back).await?;
            }
            let may_have_ended = match frame {
                WatchFrame::TaskUpdate(update) => {
                    let ended = update.data.status.is_ended();
                    self.event(Event::TaskUpdate(update)).await?;
                    ended
                }
                WatchFrame::SubtaskUpdate(update) => {
                    self.event(Event::SubtaskUpdate(update)).await?;
                    false
                }
                WatchFrame::Log(log) => {
                    self.event(Event::Log(log)).await?;
                    false
                }
                WatchFrame::Lagged { .. } | WatchFrame::Gap { .. } | WatchFrame::Resync => {
                    self.past().await?;
                    true
                }
                WatchFrame::Error { data } => {
                    return Err(Error::Protocol(format!("the server refuses to be watched: {}", data.message)).into());
                }
                _ => false,
            };
            // An end in the past may be followed by a retry: ask what is so now.
            if may_have_ended && self.ended().await? {
                let _: Watcher = watcher;
                return Ok(());
            }
        }
    }

    /// Gives an event of the stream; what is missing before it is fetched first.
    async fn event(&mut self, event: Event) -> Result<(), Stop> {
        let Some(seq) = event.seq() else { return self.give(Item::Event(Box::new(event))).await };
        if seq > self.seen + 1 {
            self.past().await?;
        }
        self.numbered(event, seq).await
    }

    async fn numbered(&mut self, event: Event, seq: u64) -> Result<(), Stop> {
        if seq <= self.seen {
            return Ok(());
        }
        self.seen = seq;
        self.give(Item::Event(Box::new(event))).await
    }

    /// Gives everything that is kept and was not given.
    async fn past(&mut self) -> Result<(), Stop> {
        loop {
            let page = SeqQuery { after_seq: Some(self.seen), limit: Some(1000) };
            let page = self.answer(self.client.events(self.task, &page)).await?;
            for event in page.events {
                if let Some(seq) = event.seq() {
                    self.numbered(event, seq).await?;
                }
            }
            match page.next_after_seq {
                Some(seq) => self.seen = self.seen.max(seq),
                None => return Ok(()),
            }
        }
    }

    /// Whether the task has ended; then everything was given, and its end too.
    async fn ended(&mut self) -> Result<bool, Stop> {
        let task = self.answer(self.client.task(self.task)).await?;
        if !task.status.is_ended() {
            return Ok(false);
        }
        self.past().await?;
        self.give(Item::Ended(Box::new(task))).await?;
        Ok(true)
    }

    /// What the server answers. The client is patient, and who looks on shall know why nothing moves.
    async fn answer<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Stop> {
        let mut call = std::pin::pin!(call);
        if let Ok(answer) = tokio::time::timeout(ANSWER, call.as_mut()).await {
            return Ok(answer?);
        }
        self.give(Item::Lost).await?;
        let answer = call.await?;
        self.give(Item::Back).await?;
        Ok(answer)
    }

    async fn give(&self, item: Item) -> Result<(), Stop> {
        self.sender.send(Ok(item)).await.map_err(|_| Stop::Dropped)
    }
}

/// Whether a task ended well.
pub fn ended_well(task: &TaskDetail) -> bool {
    task.status == TaskStatus::Completed
}
