//! A worker that a check steers by itself, over a line of its own: reserved for one part of a run, so that it gets the tasks
//! that are meant for it and no others.

use std::time::Duration;

use regatta_client::api::frames::worker::{About, ServerFrame, WorkerFrame};
use regatta_client::api::subtask::{AppendLog, ReportResult, ResultStatus};
use regatta_client::api::worker::{Assignment, RegisterWorker};
use regatta_client::api::{JsonObject, LogLevel};
use regatta_client::{Client, WorkerLineWriter};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use crate::trial::Trouble;

/// So long an assignment may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker on its line.
pub struct Agent {
    /// Its id.
    pub id: Uuid,
    writer: WorkerLineWriter,
    assignments: UnboundedReceiver<Box<Assignment>>,
}

impl Agent {
    /// Registers and opens the line. On a `LocalSet`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn join(client: &Client, worker: &RegisterWorker) -> Result<Self, Trouble> {
        let id = client.register(worker).await?.worker_id;
        let (mut reader, mut writer) = client.worker_line(id).await?.split();
        writer.send(&WorkerFrame::Resume { running: Vec::new() }).await?;
        let (sender, assignments) = unbounded_channel();
        // It must be read all the time: reading answers the server's pings.
        tokio::task::spawn_local(async move {
            loop {
                match reader.recv().await {
                    Ok(Some(ServerFrame::TaskAssignment { data })) => {
                        if sender.send(data).is_err() {
                            return;
                        }
                    }
                    Ok(Some(_)) => {}
                    // A frame that does not fit leaves the line usable, and matters to nobody here.
                    Err(regatta_client::Error::Protocol(_)) => {}
                    Ok(None) | Err(_) => return,
                }
            }
        });
        Ok(Self { id, writer, assignments })
    }

    /// The next task that it is given.
    ///
    /// # Errors
    /// When none comes.
    pub async fn assignment(&mut self) -> Result<Box<Assignment>, Trouble> {
        match tokio::time::timeout(PATIENCE, self.assignments.recv()).await {
            Ok(Some(assignment)) => {
                let (subtask_id, lease) = (assignment.subtask_id, assignment.lease.clone());
                self.writer.send(&WorkerFrame::Ack { subtask_id, lease }).await?;
                Ok(assignment)
            }
            Ok(None) => Err(Trouble::new("the server closed the line of a worker")),
            Err(_) => Err(Trouble(format!("a worker was given no task within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Says a line of log about what it runs.
    ///
    /// # Errors
    /// When the line is closed.
    pub async fn log(&mut self, assignment: &Assignment, message: String) -> Result<(), Trouble> {
        let body = AppendLog {
            level: LogLevel::Info,
            message,
            metadata: None,
            lease: Some(assignment.lease.clone()),
            worker_id: Some(self.id),
        };
        let frame = WorkerFrame::Log { data: About { subtask_id: assignment.subtask_id, body } };
        Ok(self.writer.send(&frame).await?)
    }

    /// Completes what it runs.
    ///
    /// # Errors
    /// When the line is closed.
    pub async fn complete(&mut self, assignment: &Assignment, result: JsonObject) -> Result<(), Trouble> {
        Ok(self.writer.send(&completed(assignment, result)).await?)
    }

    /// Leaves in order.
    pub async fn leave(mut self) {
        self.writer.close().await;
    }
}

/// The result of a task.
pub(super) fn completed(assignment: &Assignment, result: JsonObject) -> WorkerFrame {
    let body = ReportResult {
        status: ResultStatus::Completed,
        result,
        execution_time: 0.0,
        error: None,
        exit_code: None,
        simulated: false,
        lease: Some(assignment.lease.clone()),
    };
    WorkerFrame::Result { data: About { subtask_id: assignment.subtask_id, body } }
}
