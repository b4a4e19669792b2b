//! A worker's connection to this node: a line, or a poll that waits.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use regatta_model::Timestamp;
use regatta_model::command::Assignment;
use regatta_model::event::Stop;
use tokio::sync::mpsc;

/// What is sent to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum LineMessage {
    /// Work.
    Assign(Box<Assignment>),
    /// End a process.
    Stop(Stop),
}

/// Why a line was closed: the code of the WebSocket close and a sentence.
pub(crate) type Closing = (u16, &'static str);

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Presence {
    /// Tells connections of one worker apart.
    pub number: u64,
    /// The worker's session when it was opened.
    pub session: i64,
    /// When it was opened: work leased before is not for it.
    pub since: Timestamp,
    /// Slots that it still takes; a line takes all the worker has.
    pub slots: u32,
    sender: mpsc::Sender<LineMessage>,
    closing: Arc<OnceLock<Closing>>,
    heard: Arc<AtomicI64>,
}

/// The worker's end.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub messages: mpsc::Receiver<LineMessage>,
    closing: Arc<OnceLock<Closing>>,
    heard: Arc<AtomicI64>,
}

impl Presence {
    pub fn new(number: u64, session: i64, since: Timestamp, slots: u32, queue: usize) -> (Self, Receiver) {
        let (sender, messages) = mpsc::channel(queue);
        let closing = Arc::new(OnceLock::new());
        let heard = Arc::new(AtomicI64::new(since.0));
        let receiver = Receiver { messages, closing: closing.clone(), heard: heard.clone() };
        (Self { number, session, since, slots, sender, closing, heard }, receiver)
    }

    /// Sends without waiting; gives the message back when the line is closed or too far behind.
    pub fn send(&self, message: LineMessage) -> Result<(), LineMessage> {
        self.sender.try_send(message).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Closes the line once what is queued was sent.
    pub fn close(self, code: u16, why: &'static str) {
        let _ = self.closing.set((code, why));
    }

    /// When the worker was last heard over it.
    pub fn heard(&self) -> Timestamp {
        Timestamp(self.heard.load(Ordering::Relaxed))
    }
}

impl Receiver {
    /// Where signs of life are noted.
    pub fn ear(&self) -> Arc<AtomicI64> {
        self.heard.clone()
    }

    /// Why it was closed; 1012 when the engine went away.
    pub fn why_closed(&self) -> Closing {
        self.closing.get().copied().unwrap_or((1012, "the server is going away; connect again"))
    }
}
