//! A worker's line: what goes out to it, and what it says about its leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use regatta_model::command::{Acknowledge, Reject, Resume, Resumed};
use regatta_model::worker::WorkerRow;
use regatta_model::{Lease, SubtaskId, WorkerId};

use crate::fleet::{LineMessage, Presence, Receiver};
use crate::{Engine, Error, Result};

/// What a line has for its worker.
#[derive(Debug, Clone, PartialEq)]
pub enum LineEvent {
    /// Something to send.
    Message(LineMessage),
    /// The line is to be closed, with this WebSocket code and reason; nothing comes after it.
    Close(u16, &'static str),
}

/// An open line; dropping it closes it. Work is leased to a worker only while it has one (or a poll).
pub struct Line {
    handle: LineHandle,
    receiver: Receiver,
}

/// The part of a line that what the worker says goes through; it may be shared.
#[derive(Clone)]
pub struct LineHandle {
    guard: Arc<Guard>,
}

struct Guard {
    engine: Engine,
    worker: WorkerRow,
    number: u64,
    since: regatta_model::Timestamp,
    heard: Arc<AtomicI64>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.engine.inner.fleet.lock().close(self.worker.key, self.number);
    }
}

impl Engine {
    /// Opens a worker's line; the one it had is closed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when it has unregistered.
    pub async fn open_line(&self, worker: WorkerId) -> Result<Line> {
        let row = self.connecting(worker).await?;
        let number = self.connection();
        let since = self.now();
        let (presence, receiver) = Presence::new(number, row.session, since, u32::MAX, self.inner.options.line_queue);
        self.inner.fleet.lock().open_line(row.key, presence);
        let heard = receiver.ear();
        let guard = Arc::new(Guard { engine: self.clone(), worker: row, number, since, heard });
        self.inner.bus.line_opened(worker, since);
        self.inner.work.notify_one();
        Ok(Line { handle: LineHandle { guard }, receiver })
    }
}

impl Line {
    /// The worker, as it was when the line was opened.
    pub fn worker(&self) -> &WorkerRow {
        &self.handle.guard.worker
    }

    /// The next thing for the worker.
    pub async fn next(&mut self) -> LineEvent {
        match self.receiver.messages.recv().await {
            Some(message) => LineEvent::Message(message),
            None => {
                let (code, reason) = self.receiver.why_closed();
                LineEvent::Close(code, reason)
            }
        }
    }

    /// Another thing for the worker, if there is one already: what goes out together.
    pub fn try_next(&mut self) -> Option<LineMessage> {
        self.receiver.messages.try_recv().ok()
    }

    /// For what the worker says.
    pub fn handle(&self) -> LineHandle {
        self.handle.clone()
    }
}

impl LineHandle {
    /// The worker's id.
    pub fn worker_id(&self) -> WorkerId {
        self.guard.worker.id
    }

    /// Notes a sign of life of the worker; written down with others before long.
    pub fn heard(&self) {
        self.guard.heard.store(self.guard.engine.now().0, Ordering::Relaxed);
    }

    /// The worker tells what it runs: live leases are renewed, and what was leased before this line and is
    /// not named goes back.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the worker has registered again since.
    pub async fn resume(&self, running: Vec<Lease>) -> Result<Resumed> {
        let Guard { engine, worker, since, .. } = &*self.guard;
        let resume =
            Resume { worker: worker.id, session: worker.session, connected_at: *since, running, lease: engine.lease() };
        engine
            .run(resume)
            .await?
            .ok_or_else(|| Error::Conflict("the worker has registered again; resume over its new line".into()))
    }

    /// The worker has shown that it knows leases.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn acknowledge(&self) -> Result<()> {
        let Guard { engine, worker, .. } = &*self.guard;
        let known = engine.inner.fleet.lock().row(worker.id).is_some_and(|row| row.uses_leases);
        if known { Ok(()) } else { engine.run(Acknowledge { worker: worker.id }).await }
    }

    /// The worker will not take a subtask, or gives it back; `false` when it is not its to give.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reject(&self, subtask: SubtaskId, lease: Option<Lease>, reason: Arc<str>) -> Result<bool> {
        let Guard { engine, worker, .. } = &*self.guard;
        engine.run(Reject { subtask, lease, worker: worker.id, reason }).await
    }
}
