//! Reading, cancelling, retrying and deleting tasks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regatta_bus::Topic;
use regatta_model::command::{CancelTask, Changed, DeleteTask, Removed, RetryTask};
use regatta_model::event::What;
use regatta_model::task::{Progress, TaskHead};
use regatta_model::{SubtaskId, TaskId, TaskKey, TaskStatus};
use regatta_store::{EventPage, LogPage, LogQuery, Start, SubtaskSummary, TaskDetail, TaskPage, TaskQuery};

use crate::{Engine, Error, Result, timing};

impl Engine {
    /// A task with everything.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn task(&self, id: TaskId) -> Result<TaskDetail> {
        let detail = timing::book(self.inner.store.task(id).await?).ok_or_else(|| Error::not_found("task", id))?;
        self.learn_lanes(detail.subtasks.iter().map(|subtask| subtask.row.head.lane)).await?;
        Ok(detail)
    }

    /// A task with everything, as soon as it has ended or when `wait` is over.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn wait_for_end(&self, id: TaskId, wait: Duration) -> Result<TaskDetail> {
        let detail = self.task(id).await?;
        if wait.is_zero() || detail.row.status.is_ended() {
            return Ok(detail);
        }
        let deadline = tokio::time::Instant::now() + wait;
        let mut subscriber = self.inner.bus.subscribe(16).uncounted();
        subscriber.add(Topic::Task(id));
        // Looked at again after subscribing, so that an end between the two is not missed.
        while !self.progress(id).await?.status.is_ended() {
            if tokio::time::timeout_at(deadline, subscriber.next()).await.is_err() {
                break;
            }
        }
        self.task(id).await
    }

    /// A task's counters, from the cache where it has them.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn progress(&self, id: TaskId) -> Result<Progress> {
        let since = Instant::now();
        let cached = self.inner.bus.progress(id).await;
        timing::book_cache(since);
        if let Some(progress) = cached {
            return Ok(progress);
        }
        let progress =
            timing::book(self.inner.store.progress(id).await?).ok_or_else(|| Error::not_found("task", id))?;
        self.inner.bus.put_progress(&[regatta_model::ledger::ProgressChange { task: id, progress: Some(progress) }]);
        Ok(progress)
    }

    /// A page of tasks.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tasks(&self, query: TaskQuery) -> Result<TaskPage> {
        let page = timing::book(self.inner.store.tasks(query).await?);
        let queued = page.tasks.iter().filter_map(|task| task.first_queued.as_ref());
        self.learn_lanes(queued.map(|queued| queued.lane)).await?;
        Ok(page)
    }

    /// Why a task does not move, as a row of the list would say it now, for who is told of it by an event; `None` when it
    /// moves, or stands elsewhere than the event says.
    pub async fn task_waits(&self, head: &TaskHead, status: TaskStatus) -> Option<String> {
        // The page of one that begins with it: its row and, when nothing of it runs, what is first in its queue.
        let start = Start::After(TaskKey(head.key.0 + 1));
        let query = TaskQuery { status: None, task_type: None, search: None, start, limit: 1 };
        let page = self.tasks(query).await.ok()?;
        let task = page.tasks.first().filter(|task| task.row.head.key == head.key && task.row.status == status)?;
        self.task_waiting_for(&task.row, task.first_queued.as_ref())
    }

    /// Why a subtask that is queued does not run now, for who is told of it by an event; `None` when it is not queued.
    pub async fn subtask_waits(&self, id: SubtaskId) -> Option<String> {
        let found = self.subtasks(id.task(), id.position(), 1, false).await.ok()?;
        found.first().filter(|subtask| subtask.row.head.id == id).and_then(|subtask| self.waiting_for(&subtask.row))
    }

    /// Cancels a task, also one that is cancelled already; what runs of it is told to stop.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it has completed or failed.
    pub async fn cancel(&self, id: TaskId, reason: Option<Arc<str>>) -> Result<TaskStatus> {
        match self.run(CancelTask { task: id, reason }).await? {
            Changed::To(status) => Ok(status),
            Changed::Refused(status) => Err(Error::Conflict(format!("task {id} has already {}", past(status)))),
            Changed::Unknown => Err(Error::not_found("task", id)),
        }
    }

    /// Sends what failed or was cancelled back to work.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is neither failed nor cancelled.
    pub async fn retry(&self, id: TaskId) -> Result<TaskStatus> {
        match self.run(RetryTask { task: id }).await? {
            Changed::To(status) => Ok(status),
            Changed::Refused(status) => {
                Err(Error::Conflict(format!("task {id} is {status}; only a failed or cancelled task can be retried")))
            }
            Changed::Unknown => Err(Error::not_found("task", id)),
        }
    }

    /// Forgets a task that has ended.
    ///
    /// # Errors
    /// [`Error::Conflict`] while it has not ended.
    pub async fn delete(&self, id: TaskId) -> Result<()> {
        match self.run(DeleteTask { task: id }).await? {
            Removed::Yes => Ok(()),
            Removed::InUse => Err(Error::Conflict(format!(
                "task {id} has not ended; cancel it first: POST /api/v1/tasks/{id}/cancel"
            ))),
            Removed::Unknown => Err(Error::not_found("task", id)),
        }
    }

    /// Starts a task that waits, gives away what of it is ready now, and returns it as it then is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was cancelled before it was planned.
    pub async fn allocate(&self, id: TaskId) -> Result<TaskDetail> {
        self.decompose(id).await?;
        self.dispatch_now().await;
        self.task(id).await
    }

    /// Subtasks of a task from position `first` on; with `ready_only` those that wait for a worker.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn subtasks(&self, id: TaskId, first: u16, limit: u32, ready_only: bool) -> Result<Vec<SubtaskSummary>> {
        let subtasks = timing::book(self.inner.store.subtasks(id, first, limit, ready_only).await?)
            .ok_or_else(|| Error::not_found("task", id))?;
        self.learn_lanes(subtasks.iter().map(|subtask| subtask.row.head.lane)).await?;
        Ok(subtasks)
    }

    /// Events of a task with numbers above `after`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn events(&self, id: TaskId, after: u64, limit: u32) -> Result<EventPage> {
        let page = timing::book(self.inner.store.events(id, after, limit).await?)
            .ok_or_else(|| Error::not_found("task", id))?;
        let lanes = page.events.iter().filter_map(|event| match &event.what {
            What::Subtask(head, _) => Some(head.lane),
            What::Task(_) | What::Log(_) => None,
        });
        self.learn_lanes(lanes).await?;
        Ok(page)
    }

    /// Log lines of a task.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn logs(&self, id: TaskId, query: LogQuery) -> Result<LogPage> {
        timing::book(self.inner.store.logs(id, query).await?).ok_or_else(|| Error::not_found("task", id))
    }
}

fn past(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Completed => "completed; nothing is left to cancel",
        TaskStatus::Failed => "failed; nothing is left to cancel",
        _ => "ended",
    }
}
