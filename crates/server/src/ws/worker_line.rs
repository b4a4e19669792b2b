//! `/workers/{id}/ws`: a worker's line.
//!
//! What the worker says is worked on side by side, so that a heartbeat does not wait for a line of log to be written.
//! Each piece is begun in the order of the frames, the store keeps that order for each kind, and a result waits for
//! the lines of its subtask.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use regatta_api::frames::worker::{ConnectedData, ServerFrame, TaskCancelData, WorkerFrame};
use regatta_engine::{HeartbeatRequest, Line, LineEvent, LineHandle, LineMessage, LogRequest};
use regatta_model::{Lease, SubtaskId, TokenId, WorkerId};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::socket::{End, Gone, Incoming, Input, Outgoing, SILENCE, Upgrade, error_frame, finish};
use crate::app::App;
use crate::body;
use crate::convert::events::text;
use crate::convert::{self, subtasks, workers};
use crate::identity::Identity;
use crate::metrics;
use crate::path::Id;
use crate::problem::{Failure, Kind};
use crate::reply::Result;
use crate::routes::subtasks::{take_log, take_progress, take_result};

/// Frames of one worker that are worked on at once; beyond that no more are read.
const AT_ONCE: usize = 512;
/// Answers that may wait for the writing half.
const ANSWERS: usize = 1_024;
/// Messages that go out together.
const TOGETHER: usize = 64;
/// How often and how long something is tried again while the store has too much to do.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const TRIES: u32 = 30;
/// How long what is under way may take when the line ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A worker's line; the newest wins
#[utoipa::path(get, path = "/api/v1/workers/{worker_id}/ws", tag = "websockets",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")), responses(
    (status = 101, description = "`ServerFrame` from the server, `WorkerFrame` from the worker. Closes: 4001 superseded, 4002 unregistered, 1012 the node drains"),
    (status = 409, description = "The worker has unregistered", body = regatta_api::Problem, content_type = "application/problem+json"),
    (status = 426, description = "This is no WebSocket handshake", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn open(
    State(app): State<App>,
    caller: Identity,
    Id(worker): Id<WorkerId>,
    upgrade: Upgrade,
) -> Result<Response> {
    let line = app.engine.open_line(worker).await?;
    let (serving, bound) = (app.clone(), caller.bound());
    Ok(upgrade.open(&app, caller, move |incoming, outgoing| serve(serving, bound, line, incoming, outgoing)))
}

/// What became of a frame: an answer to send, if any.
type Work = BoxFuture<'static, Option<Bytes>>;

async fn serve(app: App, bound: Option<TokenId>, mut line: Line, mut incoming: Incoming, mut outgoing: Outgoing) {
    let speaker = Speaker {
        app: app.clone(),
        line: line.handle(),
        bound,
        modern: Arc::new(AtomicBool::new(line.worker().uses_leases)),
        logging: Arc::default(),
        log_gate: Arc::default(),
    };
    let name = line.worker().profile.machine_name.clone();
    tracing::info!(worker_id = %speaker.line.worker_id(), %name, "a worker's line is open");
    let mut work: FuturesUnordered<Work> = FuturesUnordered::new();
    let (answers, waiting) = mpsc::channel(ANSWERS);
    let end = tokio::select! {
        end = listen(&speaker, &mut incoming, &mut work, answers) => end,
        end = tell(&app, &mut line, &speaker, &mut outgoing, waiting) => end,
    };
    tracing::info!(worker_id = %speaker.line.worker_id(), %name, ?end, "a worker's line is closed");
    // What was begun is finished, so that a draining node leaves no result in doubt.
    let _ = tokio::time::timeout(LAST_WORDS, async {
        while let Some(answer) = work.next().await {
            if let (Some(answer), true) = (answer, end != End::Gone)
                && outgoing.send(answer).await.is_err()
            {
                break;
            }
        }
    })
    .await;
    finish(end, incoming, outgoing).await;
}

/// The writing half.
async fn tell(
    app: &App,
    line: &mut Line,
    speaker: &Speaker,
    outgoing: &mut Outgoing,
    mut answers: mpsc::Receiver<Bytes>,
) -> End {
    let row = line.worker();
    let connected = ServerFrame::Connected {
        data: ConnectedData { worker_id: row.id.uuid(), machine_name: row.profile.machine_name.to_string() },
    };
    if outgoing.write(&connected).await.is_err() {
        return End::Gone;
    }
    let mut draining = pin!(app.until_draining());
    loop {
        let sent = tokio::select! {
            () = &mut draining => return End::Draining,
            event = line.next() => match event {
                LineEvent::Message(message) => send_all(message_frame(&message), line, &mut answers, outgoing).await,
                LineEvent::Close(code, reason) => return End::Code(code, reason),
            },
            Some(answer) = answers.recv() => send_all(answer, line, &mut answers, outgoing).await,
            () = outgoing.ping_due() => ping(speaker, outgoing).await,
        };
        if sent.is_err() {
            return End::Gone;
        }
    }
}

/// Sends what there is, together: a write for each frame would cost more than the frames.
async fn send_all(
    first: Bytes,
    line: &mut Line,
    answers: &mut mpsc::Receiver<Bytes>,
    outgoing: &mut Outgoing,
) -> std::result::Result<(), Gone> {
    outgoing.feed(first).await?;
    for _ in 1..TOGETHER {
        let next = match line.try_next() {
            Some(message) => message_frame(&message),
            None => match answers.try_recv() {
                Ok(answer) => answer,
                Err(_) => break,
            },
        };
        outgoing.feed(next).await?;
    }
    outgoing.flush().await
}

/// Older agents may not answer pings while they work, and expect a frame besides.
async fn ping(speaker: &Speaker, outgoing: &mut Outgoing) -> std::result::Result<(), Gone> {
    if !speaker.modern.load(Ordering::Relaxed) {
        outgoing.write(&ServerFrame::Ping).await?;
    }
    outgoing.ping().await
}

fn message_frame(message: &LineMessage) -> Bytes {
    text(&match message {
        LineMessage::Assign(assignment) => {
            ServerFrame::TaskAssignment { data: Box::new(subtasks::assignment(assignment)) }
        }
        LineMessage::Stop(stop) => ServerFrame::TaskCancel {
            data: TaskCancelData { subtask_id: stop.lease.subtask.uuid(), reason: stop.reason.to_string() },
        },
    })
}

/// The reading half: every frame is a sign of life, and most begin some work.
async fn listen(
    speaker: &Speaker,
    incoming: &mut Incoming,
    work: &mut FuturesUnordered<Work>,
    answers: mpsc::Sender<Bytes>,
) -> End {
    loop {
        let answer = tokio::select! {
            // First what is under way: so a piece of work is begun before the next frame is read.
            biased;
            Some(answer) = work.next() => answer,
            input = incoming.next(), if work.len() < AT_ONCE => match input {
                Input::Frame(frame) => {
                    speaker.line.heard();
                    match body::parse::<WorkerFrame>(frame.as_bytes()) {
                        Ok(frame) => match speaker.take(frame) {
                            Taken::Work(begun) => {
                                work.push(begun);
                                None
                            }
                            Taken::Answer(answer) => Some(answer),
                            Taken::Nothing => None,
                        },
                        Err(failure) => Some(refusal(&failure)),
                    }
                }
                Input::Refused(why) => {
                    speaker.line.heard();
                    metrics::frame_refused(Kind::Invalid);
                    Some(error_frame(why))
                }
                Input::Sign => {
                    speaker.line.heard();
                    None
                }
                Input::Silent => match speaker.heard_elsewhere().await {
                    Some(ago) => {
                        incoming.heard_at(ago);
                        None
                    }
                    None => return End::Silent,
                },
                Input::TooLarge => {
                    metrics::frame_refused(Kind::TooLarge);
                    return End::TooLarge;
                }
                Input::Closed => return End::Gone,
                Input::Revoked => return End::REVOKED,
            },
        };
        if let Some(answer) = answer
            && answers.send(answer).await.is_err()
        {
            return End::Gone;
        }
    }
}

/// What a frame asks for.
enum Taken {
    Work(Work),
    Answer(Bytes),
    Nothing,
}

/// The worker at the other end.
#[derive(Clone)]
struct Speaker {
    app: App,
    line: LineHandle,
    /// The worker's token that the line was opened with, where it was one.
    bound: Option<TokenId>,
    /// Whether it has shown that it knows leases: then it is no older agent.
    modern: Arc<AtomicBool>,
    /// The lines of log that are under way, by subtask: each holds a receiver. The store may write a result before
    /// lines that were given to it earlier, and these would then count as late.
    logging: Arc<Mutex<HashMap<SubtaskId, watch::Sender<()>>>>,
    /// Held while a line of log is tried again.
    log_gate: Arc<tokio::sync::Mutex<()>>,
}

/// Subtasks whose lines are kept apart, before those with none under way are forgotten.
const LOGGING: usize = 1_024;

impl Speaker {
    /// To be held until a line of this subtask is written.
    fn logs(&self, subtask: SubtaskId) -> watch::Receiver<()> {
        let mut logging = self.logging.lock();
        if logging.len() >= LOGGING {
            logging.retain(|_, lines| lines.receiver_count() > 0);
        }
        logging.entry(subtask).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    fn is_modern(&self) {
        self.modern.store(true, Ordering::Relaxed);
    }

    /// How long ago the worker was heard over HTTP; `None` when that is too long.
    async fn heard_elsewhere(&self) -> Option<Duration> {
        let worker = self.app.engine.worker(self.line.worker_id()).await.ok()?;
        let ago = (self.app.engine.now() - worker.row.last_heartbeat).0;
        let ago = Duration::from_micros(u64::try_from(ago).unwrap_or(0));
        (ago < SILENCE).then_some(ago)
    }

    fn take(&self, frame: WorkerFrame) -> Taken {
        let speaker = self.clone();
        match frame {
            WorkerFrame::Ping => Taken::Answer(text(&ServerFrame::Pong)),
            WorkerFrame::Pong => Taken::Nothing,
            WorkerFrame::Ack { subtask_id, .. } => {
                self.is_modern();
                let Some(subtask) = convert::subtask_id(subtask_id) else { return no_such(subtask_id) };
                Taken::Work(Box::pin(async move { speaker.patiently(|| speaker.acknowledge(subtask)).await.err() }))
            }
            WorkerFrame::Resume { running } => {
                self.is_modern();
                Taken::Work(Box::pin(async move {
                    let (leases, others) = convert::running(&running);
                    let resumed = speaker.patiently(|| speaker.resume(leases.clone())).await;
                    Some(match resumed {
                        Ok(resumed) => text(&ServerFrame::Resumed {
                            kept: resumed.kept.iter().map(convert::lease_ref).collect(),
                            // What is no lease of ours is over as well.
                            dropped: resumed.dropped.iter().map(convert::lease_ref).chain(others).collect(),
                        }),
                        Err(error) => error,
                    })
                }))
            }
            WorkerFrame::Status { data } => {
                if data.running.is_some() {
                    self.is_modern();
                }
                let beat = HeartbeatRequest {
                    said: data.status,
                    resources: data.resources.as_ref().map(workers::resources),
                    figures: data.resources.as_ref().and_then(workers::figures),
                    current_task: None,
                    running: data.running.as_deref().map(|named| convert::running(named).0),
                };
                Taken::Work(Box::pin(async move { speaker.patiently(|| speaker.heartbeat(beat.clone())).await.err() }))
            }
            WorkerFrame::Log { data } => {
                let Some(subtask) = convert::subtask_id(data.subtask_id) else { return no_such(data.subtask_id) };
                let line = subtasks::log(subtask, Some(self.line.worker_id()), self.bound, data.body);
                let under_way = self.logs(subtask);
                Taken::Work(Box::pin(async move {
                    let error = speaker.log(line).await.err();
                    drop(under_way);
                    error
                }))
            }
            WorkerFrame::Progress { data } => {
                let Some(subtask) = convert::subtask_id(data.subtask_id) else { return no_such(data.subtask_id) };
                let progress = subtasks::progress(subtask, Some(self.line.worker_id()), self.bound, data.body);
                Taken::Work(Box::pin(async move {
                    speaker.patiently(|| take_progress(&speaker.app, progress.clone())).await.err()
                }))
            }
            WorkerFrame::Result { data } => {
                if data.body.lease.is_some() {
                    self.is_modern();
                }
                let logged = convert::subtask_id(data.subtask_id).and_then(|id| self.logging.lock().remove(&id));
                Taken::Work(Box::pin(async move {
                    if let Some(logged) = logged {
                        logged.closed().await;
                    }
                    speaker.result(data.subtask_id, data.body).await
                }))
            }
            WorkerFrame::TaskRejected { subtask_id, reason, lease } => {
                let Some(subtask) = convert::subtask_id(subtask_id) else { return no_such(subtask_id) };
                let lease = lease.as_deref().map(|text| convert::lease(subtask, text));
                let reason: Arc<str> = reason.into();
                Taken::Work(Box::pin(async move {
                    speaker.patiently(|| speaker.reject(subtask, lease, reason.clone())).await.err()
                }))
            }
        }
    }

    /// Takes a line of log. While one is tried again those behind it wait, so that lines keep their order.
    async fn log(&self, line: LogRequest) -> std::result::Result<(), Bytes> {
        let write = || async { take_log(&self.app, line.clone()).await.map(drop) };
        let free = self.log_gate.try_lock().is_ok();
        if free {
            match write().await {
                Err(failure) if passes(&failure) => {}
                done => return done.map_err(|failure| refusal(&failure)),
            }
        }
        let _turn = self.log_gate.lock().await;
        self.patiently(write).await
    }

    async fn acknowledge(&self, subtask: SubtaskId) -> Result<()> {
        self.line.acknowledge().await?;
        self.known(subtask).await
    }

    /// Whether there is such a subtask; told by its task's counters, which are usually in the cache.
    async fn known(&self, subtask: SubtaskId) -> Result<()> {
        let steps = match self.app.engine.progress(subtask.task()).await {
            Ok(progress) => progress.total,
            Err(regatta_engine::Error::NotFound { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        if u32::from(subtask.position()) < steps {
            Ok(())
        } else {
            Err(Failure::no_such("subtask", &subtask.to_string()))
        }
    }

    async fn resume(&self, leases: Vec<Lease>) -> Result<regatta_model::command::Resumed> {
        Ok(self.line.resume(leases).await?)
    }

    async fn heartbeat(&self, beat: HeartbeatRequest) -> Result<()> {
        Ok(self.app.engine.heartbeat(self.line.worker_id(), beat).await?)
    }

    async fn reject(&self, subtask: SubtaskId, lease: Option<Lease>, reason: Arc<str>) -> Result<()> {
        if self.line.reject(subtask, lease, reason).await? {
            return Ok(());
        }
        // That it is not the worker's to give is no news to it: the lease was taken away.
        self.known(subtask).await
    }

    /// Takes a result and acknowledges it. What cannot be written down now is not acknowledged at all: the worker
    /// keeps it and sends it again over its next line.
    async fn result(&self, subtask_id: Uuid, report: regatta_api::subtask::ReportResult) -> Option<Bytes> {
        let lease = report.lease.clone();
        let outcome = match convert::subtask_id(subtask_id) {
            None => Err(Failure::no_such("subtask", &subtask_id.to_string())),
            Some(subtask) => {
                let report = subtasks::report(subtask, Some(self.line.worker_id()), self.bound, report);
                self.retried(|| take_result(&self.app, report.clone())).await
            }
        };
        let (accepted, detail) = match outcome {
            Ok(_) => (true, None),
            Err(failure) if passes(&failure) => return Some(refusal(&failure)),
            Err(failure) => {
                metrics::frame_refused(failure.kind());
                (false, Some(failure.sentence()))
            }
        };
        Some(text(&ServerFrame::ResultAck { subtask_id, lease, accepted, detail }))
    }

    /// Does something, again and again while the store has too much to do; an error becomes a frame.
    async fn patiently<T, F: Future<Output = Result<T>>>(&self, work: impl Fn() -> F) -> std::result::Result<T, Bytes> {
        self.retried(work).await.map_err(|failure| refusal(&failure))
    }

    async fn retried<T, F: Future<Output = Result<T>>>(&self, work: impl Fn() -> F) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match work().await {
                Err(failure) if passes(&failure) => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        work().await
    }
}

fn no_such(subtask_id: Uuid) -> Taken {
    Taken::Answer(refusal(&Failure::no_such("subtask", &subtask_id.to_string())))
}

/// The frame that says why something was not done; counted where the worker is to blame for it.
fn refusal(failure: &Failure) -> Bytes {
    if !passes(failure) {
        metrics::frame_refused(failure.kind());
    }
    error_frame(&failure.sentence())
}

/// Whether a failure is the server's, and may be gone in a moment.
fn passes(failure: &Failure) -> bool {
    matches!(failure.kind(), Kind::Overloaded | Kind::Unavailable | Kind::Internal)
}
