//! A process with many workers, each with a registration and a line of its own: what a fleet of more than a few dozen is
//! made of. They run only [`hold`](super::hold).

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use regatta_client::api::frames::worker::{ServerFrame, StatusData, WorkerFrame};
use regatta_client::api::worker::{Assignment, LeaseRef, RegisterWorker};
use regatta_client::api::{JsonObject, WorkerStatus};
use regatta_client::{Client, Options, RetryPolicy, WorkerLine};
use serde::Deserialize;
use tokio::task::{JoinSet, LocalSet};

use super::agent::completed;
use super::hold::{Round, Span, now};
use crate::fixtures::run_concurrent_timed;
use crate::trial::Trouble;

/// How often each says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How often is looked for a release.
const LOOK: Duration = Duration::from_millis(20);
/// So many register at once.
const BOUND: usize = 64;

/// What the process is told.
#[derive(Debug, Clone)]
pub struct AgentsOptions {
    /// The server.
    pub server: String,
    /// The token to show it.
    pub token: Option<String>,
    /// Certificates to believe.
    pub tls_ca: Option<PathBuf>,
    /// The number of the first worker.
    pub first: usize,
    /// How many workers.
    pub count: usize,
    /// The registration of all of them, but for machine and name.
    pub like: RegisterWorker,
    /// The folder of the rounds.
    pub rounds: PathBuf,
}

/// Which rounds were released: looked up once for all tasks of a round, for there are thousands of them at a scale.
#[derive(Default)]
struct Released(RefCell<HashMap<String, (Instant, bool)>>);

impl Released {
    fn has(&self, name: &str, round: &Round) -> bool {
        let mut known = self.0.borrow_mut();
        if let Some((looked, released)) = known.get(name)
            && (*released || looked.elapsed() < LOOK)
        {
            return *released;
        }
        let released = round.is_released();
        known.insert(name.to_owned(), (Instant::now(), released));
        released
    }
}

/// What a task's input says.
#[derive(Debug, Deserialize)]
struct Input {
    round: String,
}

/// Runs until `gone` is done.
///
/// # Errors
/// When the server cannot be used.
pub async fn run(options: AgentsOptions, gone: impl Future<Output = ()>) -> Result<(), Trouble> {
    let client = Client::new(Options {
        server: options.server.clone(),
        token: options.token.clone(),
        tls_ca: options.tls_ca.clone(),
        retry: RetryPolicy::within(Duration::from_secs(30)),
        ..Options::default()
    })?;
    let (options, released) = (Rc::new(options), Rc::new(Released::default()));
    let local = LocalSet::new();
    local
        .run_until(async move {
            let joining = (0..options.count).map(|index| join(&client, &options, options.first + index));
            let joined = run_concurrent_timed(joining, Some(BOUND)).await;
            let mut agents = JoinSet::new();
            for line in joined.results {
                agents.spawn_local(serve(line?, Rc::clone(&options), Rc::clone(&released)));
            }
            gone.await;
            Ok(())
        })
        .await
}

async fn join(client: &Client, options: &AgentsOptions, number: usize) -> Result<WorkerLine, Trouble> {
    let worker = RegisterWorker {
        machine_id: format!("{}-{number}", options.like.machine_id),
        machine_name: format!("{}-{number}", options.like.machine_name),
        ..options.like.clone()
    };
    let id = client.register(&worker).await?.worker_id;
    let mut line = client.worker_line(id).await?;
    line.send(&WorkerFrame::Resume { running: Vec::new() }).await?;
    Ok(line)
}

/// A worker's life: until its line is closed.
async fn serve(mut line: WorkerLine, options: Rc<AgentsOptions>, released: Rc<Released>) {
    let mut running: JoinSet<(Box<Assignment>, Option<Span>)> = JoinSet::new();
    let mut leases: Vec<LeaseRef> = Vec::new();
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        let frame = tokio::select! {
            received = line.recv() => match received {
                Ok(Some(ServerFrame::TaskAssignment { data })) => {
                    let (subtask_id, lease) = (data.subtask_id, data.lease.clone());
                    leases.push(LeaseRef { subtask_id, lease: lease.clone() });
                    running.spawn_local(held(data, options.rounds.clone(), Rc::clone(&released)));
                    WorkerFrame::Ack { subtask_id, lease }
                }
                Ok(Some(_)) | Err(regatta_client::Error::Protocol(_)) => continue,
                Ok(None) | Err(_) => return,
            },
            Some(Ok((assignment, span))) = running.join_next() => {
                leases.retain(|lease| lease.subtask_id != assignment.subtask_id);
                match span {
                    Some(span) => completed(&assignment, result(span)),
                    None => WorkerFrame::TaskRejected {
                        subtask_id: assignment.subtask_id,
                        reason: "it belongs to no round".to_owned(),
                        lease: Some(assignment.lease.clone()),
                    },
                }
            }
            _ = beat.tick() => WorkerFrame::Status {
                data: StatusData { status: WorkerStatus::Online, resources: None, running: Some(leases.clone()) },
            },
        };
        if line.send(&frame).await.is_err() {
            return;
        }
    }
}

async fn held(assignment: Box<Assignment>, rounds: PathBuf, released: Rc<Released>) -> (Box<Assignment>, Option<Span>) {
    let round = serde_json::from_str::<Input>(assignment.input.as_str())
        .ok()
        .and_then(|input| Some((Round::new(&rounds, &input.round).ok()?, input.round)))
        .and_then(|(round, name)| Some((round.begin(&assignment.subtask_id.to_string()).ok()?, round, name)));
    let Some((from, round, name)) = round else { return (assignment, None) };
    while !released.has(&name, &round) {
        tokio::time::sleep(LOOK).await;
    }
    (assignment, Some(Span { from, to: now() }))
}

fn result(span: Span) -> JsonObject {
    let mut result = JsonObject::new();
    result.insert("from".to_owned(), span.from.into());
    result.insert("to".to_owned(), span.to.into());
    result
}
