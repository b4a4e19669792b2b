//! The worker's dealings with its server: registration, then line after line, until there is a reason to leave.

use std::sync::Arc;
use std::time::Duration;

use regatta_api::frames::worker::ServerFrame;
use regatta_api::worker::RegisterWorker;
use regatta_client::{Backoff, Closed, Error, WorkerLine, WorkerLineReader, WorkerLineWriter};
use tokio::time::Instant;
use uuid::Uuid;

use super::agent::Agent;
use super::figures::system_info;
use super::outbox::Outgoing;
use super::{Registration, RunError};

/// Pauses between attempts to reach the server.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A line that held for this long was a good one: after it, pauses start from the shortest.
const GOOD_LINE: Duration = Duration::from_secs(10);

/// Registers and keeps a line until the worker is told to leave (`Ok`) or may not go on.
pub(super) async fn keep(agent: Arc<Agent>, registration: Registration) -> Result<(), RunError> {
    loop {
        let worker = register(&agent, &registration).await?;
        agent.set_worker_id(Some(worker));
        agent.beat_now.notify_one();
        tokio::select! {
            ended = keep_line(&agent, worker) => match ended? {
                Ended::Left => return Ok(()),
                Ended::Forgotten => {}
            },
            () = agent.forgotten.notified() => agent.outbox.shut(),
        }
        tracing::warn!(%worker, "the server does not know this worker any more; registering again");
        agent.set_worker_id(None);
    }
}

/// Whether the server will answer the same however often it is asked.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Options(_)) || matches!(error.status(), Some(400..=403 | 413 | 415 | 422))
}

async fn register(agent: &Agent, registration: &Registration) -> Result<Uuid, RunError> {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut said = String::new();
    loop {
        let body = RegisterWorker {
            machine_id: agent.machine_id.clone(),
            machine_name: agent.name.clone(),
            system_info: system_info(&agent.tools.simulated()),
            tools: agent.tools.names().to_vec(),
            labels: registration.labels.clone(),
            slots: agent.slots,
            reserved: registration.reserved,
            local_tools: registration.local_tools.clone(),
            running: Some(agent.leases()),
        };
        match agent.client.join(&body).await {
            Ok((registered, cluster)) => {
                agent.joined(cluster);
                tracing::info!(worker = %registered.worker_id, name = agent.name, tools = agent.tools.names().join(","), "registered with {}", agent.client.server());
                return Ok(registered.worker_id);
            }
            Err(error) if is_final(&error) => return Err(RunError::Refused(error.to_string())),
            Err(error) => say_once(&mut said, &error, "cannot register yet; trying again"),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// The same trouble is said once, not with every attempt.
fn say_once(said: &mut String, error: &Error, what: &str) {
    let text = error.to_string();
    if *said != text {
        tracing::warn!(error = text, "{what}");
        *said = text;
    }
}

enum Ended {
    Left,
    Forgotten,
}

async fn keep_line(agent: &Arc<Agent>, worker: Uuid) -> Result<Ended, RunError> {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut said = String::new();
    loop {
        match agent.client.worker_line(worker).await {
            Ok(line) => {
                said.clear();
                let opened = Instant::now();
                let served = serve(agent, line).await;
                agent.outbox.shut();
                match served {
                    Served::Left => return Ok(Ended::Left),
                    Served::Closed(closed) if closed.is_superseded() => return Err(RunError::Superseded),
                    Served::Closed(closed) if closed.is_unregistered() => return Err(RunError::Unregistered),
                    Served::Closed(closed) => tracing::warn!(%closed, "the line is gone; connecting again"),
                }
                if opened.elapsed() >= GOOD_LINE {
                    backoff.reset();
                }
            }
            Err(error) => match error.status() {
                Some(404) => return Ok(Ended::Forgotten),
                Some(409) => return Err(RunError::Unregistered),
                _ if is_final(&error) => return Err(RunError::Refused(error.to_string())),
                _ => say_once(&mut said, &error, "cannot open the line; trying again"),
            },
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

enum Served {
    Closed(Closed),
    Left,
}

/// Serves one line until it is closed. Reading and writing do not wait for each other.
async fn serve(agent: &Arc<Agent>, line: WorkerLine) -> Served {
    let (mut reader, mut writer) = line.split();
    let left = {
        let writing = write(agent, &mut writer);
        tokio::pin!(writing);
        let reading = read(agent, &mut reader);
        tokio::pin!(reading);
        tokio::select! {
            () = &mut reading => false,
            left = &mut writing => {
                // Either all is said, and the server answers the close frame; or the line broke, and the reader will see it.
                reading.await;
                left
            }
        }
    };
    match reader.closed() {
        Some(closed) if !left => Served::Closed(closed.clone()),
        _ if left => Served::Left,
        _ => Served::Closed(Closed { code: None, reason: "it ended".into() }),
    }
}

/// Sends what the outbox gives; `true` when it was closed because the worker leaves.
async fn write(agent: &Agent, writer: &mut WorkerLineWriter) -> bool {
    while let Some(batch) = agent.outbox.next().await {
        for out in batch {
            let frame = match out {
                Outgoing::Frame(frame) => frame,
                Outgoing::Result(lease) => match agent.result_frame(&lease) {
                    Some(frame) => frame,
                    None => continue,
                },
            };
            match writer.feed(&frame).await {
                Ok(()) => {}
                Err(Error::Closed(_)) => return false,
                Err(error) => tracing::error!(%error, "a frame could not be sent"),
            }
        }
        // Everything that is there goes out at once; nothing waits for more to come.
        if writer.flush().await.is_err() {
            return false;
        }
    }
    writer.close().await;
    true
}

/// Takes what the server says until the line is closed.
async fn read(agent: &Arc<Agent>, reader: &mut WorkerLineReader) {
    loop {
        match reader.recv().await {
            Ok(Some(frame)) => handle(agent, frame),
            Ok(None) => return,
            Err(error) => tracing::error!(%error, "a frame of the server could not be read"),
        }
    }
}

fn handle(agent: &Arc<Agent>, frame: ServerFrame) {
    match frame {
        ServerFrame::Connected { data } => {
            tracing::info!(worker = %data.worker_id, "connected");
            agent.connected();
        }
        ServerFrame::Resumed { kept, dropped } => agent.resumed(&kept, &dropped),
        ServerFrame::TaskAssignment { data } => agent.assigned(*data),
        ServerFrame::TaskCancel { data } => agent.cancel(data.subtask_id, &data.reason),
        ServerFrame::ResultAck { subtask_id, lease, accepted, detail } => {
            agent.settled(subtask_id, lease.as_deref(), accepted, detail.as_deref());
        }
        ServerFrame::Ping => agent.outbox.control(regatta_api::frames::worker::WorkerFrame::Pong),
        ServerFrame::Pong => {}
        ServerFrame::Error { data } => tracing::warn!(message = data.message, "the server did not take a frame"),
    }
}
