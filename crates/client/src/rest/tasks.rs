//! Tasks.

use regatta_api::page::{PageQuery, SeqQuery, WaitQuery};
use regatta_api::subtask::{EventPage, LogPage};
use regatta_api::task::{
    BulkResults, CancelTask, CreateTask, CreateTasks, Decomposed, ReadySubtasks, SubtaskList, TaskChanged, TaskCreated,
    TaskDetail, TaskIds, TaskList, TaskProgress, TasksCreated, TasksQuery,
};
use reqwest::Method;
use uuid::Uuid;

use crate::{Client, Result};

impl Client {
    /// Submits a task. A repetition after a lost answer makes it only once.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn submit(&self, task: &CreateTask) -> Result<TaskCreated> {
        self.submit_with_key(task, &Uuid::now_v7().to_string()).await
    }

    /// Submits a task under the caller's own idempotency key (1 to 255 characters): the same key and task give the same
    /// answer for 24 hours.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when the key was used for another task.
    pub async fn submit_with_key(&self, task: &CreateTask, key: &str) -> Result<TaskCreated> {
        self.call(Method::POST, "/tasks").json(task)?.idempotency_key(key).send().await
    }

    /// Submits 1 to 1000 tasks, all or none.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn submit_batch(&self, tasks: &CreateTasks) -> Result<TasksCreated> {
        self.call(Method::POST, "/tasks/batch").json(tasks)?.idempotency_key(Uuid::now_v7()).send().await
    }

    /// A page of tasks, newest first.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn tasks(&self, query: &TasksQuery) -> Result<TaskList> {
        self.call(Method::GET, "/tasks").query(query).send().await
    }

    /// One task, with its subtasks.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn task(&self, task: Uuid) -> Result<TaskDetail> {
        self.call(Method::GET, format!("/tasks/{task}")).send().await
    }

    /// One task, as soon as it has ended, or after `seconds` (0 to 60).
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn wait_for_task(&self, task: Uuid, seconds: u32) -> Result<TaskDetail> {
        self.call(Method::GET, format!("/tasks/{task}"))
            .query(&WaitQuery { wait_seconds: Some(seconds) })
            .wait(seconds)
            .send()
            .await
    }

    /// How far a task is.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn task_progress(&self, task: Uuid) -> Result<TaskProgress> {
        self.call(Method::GET, format!("/tasks/{task}/progress")).send().await
    }

    /// Plans a waiting task and starts it; the plan of one already planned comes again.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when it was cancelled before.
    pub async fn decompose(&self, task: Uuid) -> Result<Decomposed> {
        self.call(Method::POST, format!("/tasks/{task}/decompose")).harmless().send().await
    }

    /// Cancels a task.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when it completed or failed.
    pub async fn cancel(&self, task: Uuid, reason: Option<&str>) -> Result<TaskChanged> {
        self.call(Method::POST, format!("/tasks/{task}/cancel"))
            .json(&CancelTask { reason: reason.map(str::to_owned) })?
            .harmless()
            .send()
            .await
    }

    /// Sends what failed or was cancelled back to the queue.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when the task is neither failed nor cancelled.
    pub async fn retry(&self, task: Uuid) -> Result<TaskChanged> {
        // A second retry finds the task running and would report a conflict that is none.
        self.call(Method::POST, format!("/tasks/{task}/retry")).send().await
    }

    /// Cancels 1 to 1000 tasks, each by itself.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn cancel_many(&self, tasks: &TaskIds) -> Result<BulkResults> {
        self.call(Method::POST, "/tasks/cancel").json(tasks)?.harmless().send().await
    }

    /// Retries 1 to 1000 tasks, each by itself.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn retry_many(&self, tasks: &TaskIds) -> Result<BulkResults> {
        self.call(Method::POST, "/tasks/retry").json(tasks)?.send().await
    }

    /// Forgets a task.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when it has not ended.
    pub async fn remove_task(&self, task: Uuid) -> Result<()> {
        self.call(Method::DELETE, format!("/tasks/{task}")).harmless_removal().done().await
    }

    /// A page of a task's subtasks, in the order of the plan.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn subtasks(&self, task: Uuid, page: &PageQuery) -> Result<SubtaskList> {
        self.call(Method::GET, format!("/tasks/{task}/subtasks")).query(page).send().await
    }

    /// A task's subtasks that are queued.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn ready_subtasks(&self, task: Uuid, page: &PageQuery) -> Result<ReadySubtasks> {
        self.call(Method::GET, format!("/tasks/{task}/ready-subtasks")).query(page).send().await
    }

    /// A page of a task's kept log lines, oldest first.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn logs(&self, task: Uuid, page: &SeqQuery) -> Result<LogPage> {
        self.call(Method::GET, format!("/tasks/{task}/logs")).query(page).send().await
    }

    /// A page of a task's kept events, oldest first.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn events(&self, task: Uuid, page: &SeqQuery) -> Result<EventPage> {
        self.call(Method::GET, format!("/tasks/{task}/events")).query(page).send().await
    }
}
