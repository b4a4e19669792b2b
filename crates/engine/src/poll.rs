//! Work for workers without a line.

use std::time::Duration;

use regatta_model::command::{Assignment, Reject};
use regatta_model::{WorkerId, WorkerKey};

use crate::fleet::{LineMessage, Presence, Receiver};
use crate::{Engine, Result};

/// A poll that is open; however it ends, what was given to it and not taken goes back.
struct OpenPoll {
    engine: Engine,
    worker: WorkerKey,
    number: u64,
    receiver: Receiver,
}

impl OpenPoll {
    fn take(&mut self, into: &mut Vec<Assignment>) {
        while let Ok(message) = self.receiver.messages.try_recv() {
            if let LineMessage::Assign(assignment) = message {
                into.push(*assignment);
            }
        }
    }

    fn close(&self) {
        self.engine.inner.fleet.lock().close(self.worker, self.number);
    }
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        self.close();
        let mut left = Vec::new();
        self.take(&mut left);
        for assignment in left {
            self.engine.give_back_soon(assignment, "the poll ended before it was given");
        }
    }
}

impl Engine {
    /// Waits up to `wait` for work for at most `slots` free slots, and returns as soon as there is some.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`]; [`crate::Error::Conflict`] when the worker has unregistered.
    pub async fn poll(&self, worker: WorkerId, slots: u32, wait: Duration) -> Result<Vec<Assignment>> {
        let row = self.connecting(worker).await?;
        let since = self.now();
        self.touch(vec![(worker, since)]).await?;
        let number = self.connection();
        let (presence, receiver) = Presence::new(number, row.session, since, slots, slots.clamp(1, 1_024) as usize);
        self.inner.fleet.lock().open_poll(row.key, presence);
        let mut poll = OpenPoll { engine: self.clone(), worker: row.key, number, receiver };
        let deadline = tokio::time::Instant::now() + wait;
        self.dispatch_now().await;
        let mut assignments = Vec::new();
        poll.take(&mut assignments);
        if assignments.is_empty()
            && let Ok(Some(LineMessage::Assign(first))) =
                tokio::time::timeout_at(deadline, poll.receiver.messages.recv()).await
        {
            assignments.push(*first);
        }
        // Closed first, so that nothing more comes, then emptied.
        poll.close();
        poll.take(&mut assignments);
        Ok(assignments)
    }

    /// Gives back in the background what could not be handed over.
    pub(crate) fn give_back_soon(&self, assignment: Assignment, why: &'static str) {
        let engine = self.clone();
        tokio::spawn(async move {
            let reject = Reject {
                subtask: assignment.lease.subtask,
                lease: Some(assignment.lease),
                worker: assignment.worker,
                reason: why.into(),
            };
            if let Err(error) = engine.run(reject).await {
                tracing::warn!(subtask_id = %assignment.lease.subtask, %error, "could not be given back; its lease will run out");
            }
        });
    }
}
