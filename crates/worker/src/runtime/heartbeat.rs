//! Heartbeats: what the machine uses and what really runs. Their acknowledgement is what renews leases.
//!
//! They go over HTTP, not over the line: a frame has no answer, and without one the worker could not know that a lease goes on.

use std::sync::Arc;
use std::time::Duration;

use regatta_api::WorkerStatus;
use regatta_api::worker::{Heartbeat, LeaseRef};
use regatta_client::Error;
use uuid::Uuid;

use super::RunError;
use super::agent::Agent;
use super::figures::Figures;
use crate::clock::boot_ms;

/// How soon a heartbeat that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Sends heartbeats for ever; ends only when the worker may not go on.
pub(super) async fn keep(agent: Arc<Agent>) -> Result<(), RunError> {
    let mut figures = Figures::new(&agent.folder);
    let mut failing = false;
    loop {
        let every = agent.beat_every();
        let pause = if failing { (every / 3).min(AGAIN) } else { every };
        // Workers that started together should not beat together for ever.
        let pause = pause.mul_f64(rand::random_range(0.9..=1.0));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = agent.beat_now.notified() => {}
        }
        let Some(worker) = agent.worker_id() else { continue };
        match beat(&agent, worker, &mut figures, every).await {
            Ok(()) => {
                if failing {
                    tracing::info!("heartbeats are answered again");
                }
                failing = false;
            }
            Err(error) => match error.status() {
                Some(404) => agent.forgotten.notify_one(),
                Some(409) => return Err(RunError::Unregistered),
                _ => {
                    if !failing {
                        tracing::warn!(%error, "a heartbeat was not answered; trying again");
                    }
                    failing = true;
                }
            },
        }
    }
}

async fn beat(agent: &Agent, worker: Uuid, figures: &mut Figures, every: Duration) -> Result<(), Error> {
    let leases = agent.leases();
    let (runs, _) = agent.counts();
    let draining = agent.is_draining();
    if !draining || !leases.is_empty() {
        let busy = draining || runs >= agent.slots as usize;
        let status = if busy { WorkerStatus::Busy } else { WorkerStatus::Online };
        let asked = boot_ms();
        say(agent, worker, figures, status, leases.clone(), every).await?;
        agent.renewed(&leases, asked);
    }
    if draining {
        // Nothing new is given to a worker that is offline; but neither is anything renewed, hence the one before.
        say(agent, worker, figures, WorkerStatus::Offline, leases, every).await?;
    }
    Ok(())
}

async fn say(
    agent: &Agent,
    worker: Uuid,
    figures: &mut Figures,
    status: WorkerStatus,
    running: Vec<LeaseRef>,
    every: Duration,
) -> Result<(), Error> {
    let current_task = agent.running().first().map(|run| run.subtask_id.to_string());
    let beat = Heartbeat { status, resources: figures.measure(), current_task, running: Some(running) };
    let limit = ANSWER.min(every.max(Duration::from_millis(500)));
    let url = agent.client.server().to_owned();
    match tokio::time::timeout(limit, agent.client.heartbeat(worker, &beat)).await {
        Ok(answer) => answer.map(drop),
        Err(_) => {
            // A server that says nothing must not cost the leases while another would answer.
            agent.client.leave(&url);
            Err(Error::Timeout { url, call: "POST heartbeat".to_owned(), after: limit })
        }
    }
}
