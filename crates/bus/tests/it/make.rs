//! Effects and their parts, made up, and what was delivered in a form that tests can compare.

use std::sync::Arc;

use regatta_bus::{Body, Delivery, Subscriber, Topic};
use regatta_model::event::{Event, LogRecord, Stop, SubtaskRecord, TaskRecord, What};
use regatta_model::ledger::{Effects, ProgressChange};
use regatta_model::routing::{Offer, Resources};
use regatta_model::subtask::SubtaskHead;
use regatta_model::task::{Progress, TaskHead};
use regatta_model::worker::{Profile, WorkerRow};
use regatta_model::{
    LaneKey, Lease, LogLevel, Priority, Span, SubtaskStatus, TaskId, TaskKey, TaskStatus, TaskType, Timestamp,
    WorkerId, WorkerKey, WorkerStatus,
};
use uuid::Uuid;

/// The id of task `number`.
pub fn task(number: u64) -> TaskId {
    TaskId::from_random(Uuid::from_u128(u128::from(number) << 14))
}

/// The id of worker `number`.
pub fn worker(number: u64) -> WorkerId {
    WorkerId(Uuid::from_u128(u128::from(number)))
}

pub fn task_topic(number: u64) -> Topic {
    Topic::Task(task(number))
}

pub fn worker_topic(number: u64) -> Topic {
    Topic::Worker(worker(number))
}

fn event(number: u64, seq: u64, what: What) -> Event {
    let head = TaskHead {
        key: TaskKey(number as i64),
        id: task(number),
        user: "someone".into(),
        summary: "a task of the bus's tests".into(),
        task_type: TaskType::Custom,
        priority: Priority::Normal,
        created_at: Timestamp(0),
    };
    Event { task: Arc::new(head), seq, at: Timestamp(seq as i64), what }
}

pub fn task_event(number: u64, seq: u64) -> Event {
    event(number, seq, What::Task(TaskRecord { status: TaskStatus::InProgress, progress: 50 }))
}

pub fn log_event(number: u64, seq: u64) -> Event {
    let record = LogRecord {
        subtask: task(number).subtask(0),
        level: LogLevel::Info,
        message: "a line".into(),
        worker: None,
        metadata: None,
        stale: false,
    };
    event(number, seq, What::Log(record))
}

pub fn subtask_event(number: u64, seq: u64) -> Event {
    let head = SubtaskHead {
        key: TaskKey(number as i64).subtask(0),
        id: task(number).subtask(0),
        name: "step".into(),
        dependencies: Box::default(),
        dependents: Box::default(),
        complexity: 1,
        priority: 0,
        timeout_seconds: 60,
        max_attempts: 3,
        lane: LaneKey(1),
        head_start: Span::seconds(0),
    };
    let record = SubtaskRecord {
        status: SubtaskStatus::InProgress,
        progress: 0,
        attempt: 1,
        worker: None,
        tool: None,
        error: None,
        queued_at: None,
        started_at: None,
        completed_at: None,
        simulated: false,
    };
    event(number, seq, What::Subtask(Arc::new(head), record))
}

/// Worker `number` with so many slots in use: the number that tells its rows apart.
pub fn worker_row(number: u64, used: u32) -> WorkerRow {
    let profile = Profile {
        machine_id: format!("machine-{number}").into(),
        machine_name: "machine".into(),
        offer: Offer::default(),
        slots: 1_000_000,
        owner: None,
    };
    WorkerRow {
        key: WorkerKey(number as i64),
        id: worker(number),
        profile: Arc::new(profile),
        session: 1,
        used,
        said: WorkerStatus::Online,
        draining: false,
        unregistered: false,
        uses_leases: true,
        resources: Resources::default(),
        figures: None,
        current_task: None,
        last_heartbeat: Timestamp(0),
        registered_at: Timestamp(0),
    }
}

pub fn stop(number: u64, epoch: i64) -> Stop {
    Stop { worker: worker(number), lease: Lease { subtask: task(1).subtask(0), epoch }, reason: "a test".into() }
}

pub fn effects(fill: impl FnOnce(&mut Effects)) -> Arc<Effects> {
    let mut effects = Effects::default();
    fill(&mut effects);
    Arc::new(effects)
}

pub fn events(events: impl IntoIterator<Item = Event>) -> Arc<Effects> {
    effects(|effects| effects.events.extend(events))
}

pub fn workers(rows: impl IntoIterator<Item = WorkerRow>) -> Arc<Effects> {
    effects(|effects| effects.workers.extend(rows))
}

pub fn removed(ids: impl IntoIterator<Item = u64>) -> Arc<Effects> {
    effects(|effects| effects.removed_workers.extend(ids.into_iter().map(worker)))
}

pub fn lanes(keys: impl IntoIterator<Item = i64>) -> Arc<Effects> {
    effects(|effects| effects.lanes.extend(keys.into_iter().map(LaneKey)))
}

pub fn stops(stops: impl IntoIterator<Item = Stop>) -> Arc<Effects> {
    effects(|effects| effects.stops.extend(stops))
}

pub fn counters(number: u64, version: u64) -> ProgressChange {
    let progress = Progress {
        version,
        status: TaskStatus::InProgress,
        total: 10,
        completed: version as u32,
        running: 0,
        failed: 0,
    };
    ProgressChange { task: task(number), progress: Some(progress) }
}

pub fn deleted(number: u64) -> ProgressChange {
    ProgressChange { task: task(number), progress: None }
}

/// A delivery in one comparable line: `task 1.4`, `log 1.5`, `worker 2.1`, `removed 2`, `lagged 3`, `resync`.
pub fn line(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Lagged(missed) => format!("lagged {missed}"),
        Delivery::Resync => "resync".into(),
        Delivery::Notice(notice) => body_line(&notice.body),
    }
}

pub fn body_line(body: &Body) -> String {
    match body {
        Body::Event(event) => {
            let kind = match event.what {
                What::Task(_) => "task",
                What::Subtask(..) => "subtask",
                What::Log(_) => "log",
            };
            format!("{kind} {}.{}", event.task.key.0, event.seq)
        }
        Body::Worker(row) => format!("worker {}.{}", row.key.0, row.used),
        Body::WorkerRemoved(id) => format!("removed {}", id.uuid().as_u128()),
    }
}

/// The next `count` deliveries.
pub async fn take(subscriber: &mut Subscriber, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        lines.push(line(&subscriber.next().await));
    }
    lines
}
