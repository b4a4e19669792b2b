//! Workers.

use regatta_api::worker::{
    Heartbeat, HeartbeatAck, Poll, Polled, RegisterWorker, Registered, Unregistered, WorkerDetail, WorkerList,
    WorkerSummary, WorkersQuery,
};
use reqwest::Method;
use uuid::Uuid;

use crate::transport::read;
use crate::{Client, Result};

impl Client {
    /// Registers a worker, or updates the one with this `machine_id`; starts a new session of it.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn register(&self, worker: &RegisterWorker) -> Result<Registered> {
        Ok(self.join(worker).await?.0)
    }

    /// As [`Client::register`], and says which system the worker is registered with now, as far as the server tells.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn join(&self, worker: &RegisterWorker) -> Result<(Registered, Option<Uuid>)> {
        let answer = self.call(Method::POST, "/workers/register").json(worker)?.harmless().answer().await?;
        Ok((read("POST /workers/register", &answer.body)?, answer.cluster))
    }

    /// Says that a worker lives and what it runs.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when it is unregistered.
    pub async fn heartbeat(&self, worker: Uuid, beat: &Heartbeat) -> Result<HeartbeatAck> {
        self.call(Method::POST, format!("/workers/{worker}/heartbeat")).json(beat)?.harmless().send().await
    }

    /// A page of workers, newest registered first.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn workers(&self, query: &WorkersQuery) -> Result<WorkerList> {
        self.call(Method::GET, "/workers").query(query).send().await
    }

    /// One worker.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn worker(&self, worker: Uuid) -> Result<WorkerDetail> {
        self.call(Method::GET, format!("/workers/{worker}")).send().await
    }

    /// Ends a worker's session; what it runs goes back to the queue.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn unregister(&self, worker: Uuid) -> Result<Unregistered> {
        self.call(Method::POST, format!("/workers/{worker}/unregister")).harmless().send().await
    }

    /// Gives a worker no new work; what runs goes on.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn drain(&self, worker: Uuid) -> Result<WorkerSummary> {
        self.call(Method::POST, format!("/workers/{worker}/drain")).harmless().send().await
    }

    /// Gives a worker work again.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn undrain(&self, worker: Uuid) -> Result<WorkerSummary> {
        self.call(Method::POST, format!("/workers/{worker}/undrain")).harmless().send().await
    }

    /// Forgets a worker.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when it is not offline.
    pub async fn remove_worker(&self, worker: Uuid) -> Result<()> {
        self.call(Method::DELETE, format!("/workers/{worker}")).harmless_removal().done().await
    }

    /// Asks for work without a line. An answer that is lost costs its assignments until their leases run out.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); a 409 when the worker is unregistered.
    pub async fn poll(&self, worker: Uuid, poll: &Poll) -> Result<Polled> {
        self.call(Method::POST, format!("/workers/{worker}/poll")).json(poll)?.wait(poll.wait_seconds).send().await
    }
}
