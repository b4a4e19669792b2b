//! What waits to be sent over the line: bounded, fair between subtasks, in order within each.
//!
//! Control frames go first. Then each subtask in turn: its log lines, its progress, and last its result. Whoever puts something
//! in never waits: a subtask that logs faster than the line takes loses its oldest lines, and a line of log says how many.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use regatta_api::LogLevel;
use regatta_api::frames::worker::{About, WorkerFrame};
use regatta_api::subtask::{AppendLog, ReportProgress};
use regatta_api::worker::LeaseRef;
use tokio::sync::Notify;

use crate::tools::Event;

/// The most a worker keeps of logs, in bytes, shared out between its slots.
const LOGS: usize = 8 << 20;
/// What one subtask may keep at least and at most, in bytes.
const LOGS_OF_ONE: (usize, usize) = (128 << 10, 1 << 20);
/// What a queued line costs beside its text, in bytes.
const OVERHEAD: usize = 96;
/// What is taken at once: enough to fill a few packets.
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 256 << 10;

/// What the line takes next.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A frame.
    Frame(WorkerFrame),
    /// The result of this attempt, which is kept elsewhere.
    Result(LeaseRef),
}

#[derive(Debug)]
enum Item {
    Log(LogLevel, String),
    Progress(u32, Option<String>),
    Result,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is a line, and `resume` was put in.
    open: bool,
    /// Whether the line is to be closed once all is sent.
    closing: bool,
    control: VecDeque<WorkerFrame>,
    /// Attempts that have something to send, in turn.
    turns: VecDeque<LeaseRef>,
    queues: HashMap<LeaseRef, Queue>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
    limit: usize,
}

impl Outbox {
    /// For a worker with so many slots.
    pub(super) fn new(slots: u32) -> Self {
        let share = LOGS / slots.max(1) as usize;
        Self { inner: Mutex::default(), filled: Notify::new(), limit: share.clamp(LOGS_OF_ONE.0, LOGS_OF_ONE.1) }
    }

    /// There is a line: `first` goes out before anything else.
    pub(super) fn open(&self, first: WorkerFrame) {
        let mut inner = self.inner.lock();
        inner.open = true;
        inner.control.push_front(first);
        drop(inner);
        self.filled.notify_one();
    }

    /// The line is gone. Control frames were meant for it; all else waits for the next.
    pub(super) fn shut(&self) {
        let mut inner = self.inner.lock();
        inner.open = false;
        inner.control.clear();
    }

    /// Whether there is a line.
    pub(super) fn is_open(&self) -> bool {
        self.inner.lock().open
    }

    /// No more will come: [`Self::next`] answers `None` once all is sent.
    pub(super) fn close(&self) {
        self.inner.lock().closing = true;
        self.filled.notify_one();
    }

    /// A frame that concerns this line only; without one it is dropped.
    pub(super) fn control(&self, frame: WorkerFrame) {
        let mut inner = self.inner.lock();
        if inner.open {
            inner.control.push_back(frame);
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// What a tool tells.
    pub(super) fn event(&self, lease: &LeaseRef, event: Event) {
        match event {
            Event::Log { level, message } => self.push(lease, Item::Log(level, message)),
            Event::Progress { percent, message } => self.push(lease, Item::Progress(percent, message)),
        }
    }

    /// The attempt has ended: its result goes out after its logs.
    pub(super) fn result(&self, lease: &LeaseRef) {
        self.push(lease, Item::Result);
    }

    fn push(&self, lease: &LeaseRef, item: Item) {
        let mut inner = self.inner.lock();
        let Inner { queues, turns, open, .. } = &mut *inner;
        let queue = match queues.get_mut(lease) {
            Some(queue) => queue,
            None => {
                turns.push_back(lease.clone());
                queues.entry(lease.clone()).or_default()
            }
        };
        queue.bytes += item.bytes();
        queue.items.push_back(item);
        queue.shorten(self.limit);
        let wake = *open;
        drop(inner);
        if wake {
            self.filled.notify_one();
        }
    }

    /// What goes out next, as soon as there is something and a line; `None` when it is to be closed. One caller at a time.
    pub(super) async fn next(&self) -> Option<Vec<Outgoing>> {
        loop {
            {
                let mut inner = self.inner.lock();
                if inner.open {
                    let batch = inner.batch();
                    if !batch.is_empty() {
                        return Some(batch);
                    }
                    if inner.closing {
                        return None;
                    }
                }
            }
            self.filled.notified().await;
        }
    }
}

impl Inner {
    fn batch(&mut self) -> Vec<Outgoing> {
        let mut batch: Vec<Outgoing> = self.control.drain(..).map(Outgoing::Frame).collect();
        let mut bytes = 0;
        while batch.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let Some(lease) = self.turns.pop_front() else { break };
            let Some(queue) = self.queues.get_mut(&lease) else { continue };
            if let Some((out, size)) = queue.take(&lease) {
                bytes += size;
                batch.push(out);
            }
            if queue.items.is_empty() {
                self.queues.remove(&lease);
            } else {
                self.turns.push_back(lease);
            }
        }
        batch
    }
}

impl Queue {
    /// Drops the oldest until the rest fits; never a result.
    fn shorten(&mut self, limit: usize) {
        while self.bytes > limit {
            let Some(at) = self.items.iter().position(|item| !matches!(item, Item::Result)) else { return };
            if let Some(item) = self.items.remove(at) {
                self.bytes -= item.bytes();
                self.dropped += u64::from(matches!(item, Item::Log(..)));
            }
        }
    }

    fn take(&mut self, lease: &LeaseRef) -> Option<(Outgoing, usize)> {
        if self.dropped > 0 {
            let text =
                format!("{} log lines dropped: they came faster than the line to the server takes them", self.dropped);
            self.dropped = 0;
            return Some((log(lease, LogLevel::Warning, text), OVERHEAD));
        }
        let item = self.items.pop_front()?;
        let size = item.bytes();
        self.bytes -= size;
        let out = match item {
            Item::Log(level, message) => log(lease, level, message),
            Item::Progress(progress, message) => Outgoing::Frame(WorkerFrame::Progress {
                data: About {
                    subtask_id: lease.subtask_id,
                    body: ReportProgress { progress, message, lease: Some(lease.lease.clone()) },
                },
            }),
            Item::Result => Outgoing::Result(lease.clone()),
        };
        Some((out, size))
    }
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Log(_, message) => message.len() + OVERHEAD,
            Self::Progress(_, message) => message.as_ref().map_or(0, String::len) + OVERHEAD,
            Self::Result => 0,
        }
    }
}

fn log(lease: &LeaseRef, level: LogLevel, message: String) -> Outgoing {
    Outgoing::Frame(WorkerFrame::Log {
        data: About {
            subtask_id: lease.subtask_id,
            body: AppendLog { level, message, metadata: None, lease: Some(lease.lease.clone()), worker_id: None },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn lease() -> LeaseRef {
        LeaseRef { subtask_id: Uuid::now_v7(), lease: Uuid::now_v7().to_string() }
    }

    fn line(text: impl Into<String>) -> Event {
        Event::Log { level: LogLevel::Info, message: text.into() }
    }

    fn open(outbox: &Outbox) {
        outbox.open(WorkerFrame::Resume { running: Vec::new() });
    }

    /// The words of what goes out until nothing is left.
    async fn words(outbox: &Outbox) -> Vec<String> {
        outbox.close();
        let mut words = Vec::new();
        while let Some(batch) = outbox.next().await {
            words.extend(batch.into_iter().map(|out| match out {
                Outgoing::Frame(WorkerFrame::Log { data }) => data.body.message,
                Outgoing::Frame(WorkerFrame::Progress { data }) => format!("{} %", data.body.progress),
                Outgoing::Frame(WorkerFrame::Resume { .. }) => "resume".into(),
                Outgoing::Frame(WorkerFrame::Ack { .. }) => "ack".into(),
                Outgoing::Frame(other) => format!("{other:?}"),
                Outgoing::Result(_) => "result".into(),
            }));
        }
        words
    }

    #[tokio::test]
    async fn control_goes_first_and_subtasks_take_turns_in_their_order() {
        let outbox = Outbox::new(2);
        let (one, two) = (lease(), lease());
        outbox.event(&one, line("a1"));
        outbox.event(&one, line("a2"));
        outbox.event(&one, Event::Progress { percent: 50, message: None });
        outbox.result(&one);
        outbox.event(&two, line("b1"));
        outbox.control(WorkerFrame::Pong);
        open(&outbox);
        outbox.control(WorkerFrame::Ack { subtask_id: two.subtask_id, lease: two.lease.clone() });
        // The pong was for no line.
        assert_eq!(words(&outbox).await, ["resume", "ack", "a1", "b1", "a2", "50 %", "result"]);
    }

    #[tokio::test]
    async fn nothing_goes_out_before_the_line_is_open_and_logs_wait_for_the_next() {
        let outbox = Outbox::new(1);
        let one = lease();
        outbox.event(&one, line("waits"));
        let mut next = Box::pin(outbox.next());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        drop(next);
        open(&outbox);
        outbox.shut();
        assert!(!outbox.is_open());
        open(&outbox);
        assert_eq!(words(&outbox).await, ["resume", "waits"]);
    }

    #[tokio::test]
    async fn a_flood_loses_its_oldest_lines_says_how_many_and_never_its_result() {
        let outbox = Outbox::new(1024);
        let (flood, calm) = (lease(), lease());
        outbox.event(&calm, line("calm"));
        let text = "x".repeat(1000);
        for number in 0..100_000 {
            outbox.event(&flood, line(format!("{number} {text}")));
        }
        outbox.result(&flood);
        let kept = outbox.inner.lock().queues[&flood].bytes;
        assert!(kept <= LOGS_OF_ONE.0, "{kept}");
        open(&outbox);
        let words = words(&outbox).await;
        let dropped: usize = words[2].split(' ').next().unwrap().parse().unwrap();
        assert_eq!(words[..2], ["resume", "calm"]);
        assert!(words[2].ends_with("log lines dropped: they came faster than the line to the server takes them"));
        assert!(words[3].starts_with(&format!("{dropped} x")), "the newest are kept");
        assert_eq!(dropped + words.len() - 4, 100_000);
        assert_eq!(words.last().unwrap(), "result");
    }
}
