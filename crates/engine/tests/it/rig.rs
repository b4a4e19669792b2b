//! An engine over a real SQLite store in its own directory, and workers connected to it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use regatta_engine::bus::LocalBus;
use regatta_engine::store::TaskDetail;
use regatta_engine::store::sqlite::{self, SqliteStore};
use regatta_engine::{
    CommitSink, Engine, Line, LineEvent, LineMessage, NewTaskRequest, Options, RegisterRequest, ReportRequest,
};
use regatta_model::command::{Assignment, Registered, Reported, TakeOver};
use regatta_model::plan::Step;
use regatta_model::routing::{Labels, Offer};
use regatta_model::task::Start;
use regatta_model::worker::Profile;
use regatta_model::{CheckpointFrequency, Priority, Privacy, TaskId, TaskStatus, TaskType};
use tokio::sync::oneshot;

/// Long enough that only what hangs is cut off.
const HANG: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub struct Rig {
    pub engine: Engine,
    pub dir: Arc<tempfile::TempDir>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<regatta_engine::Result<()>>>,
}

impl Rig {
    pub async fn start(options: Options) -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), options).await
    }

    /// An engine over the store that is in `dir`, or a fresh one.
    pub async fn over(dir: Arc<tempfile::TempDir>, options: Options) -> Self {
        let sink = CommitSink::new(Arc::new(LocalBus::default()));
        let store_options = sqlite::Options { path: dir.path().join("regatta.db"), ..Default::default() };
        let store = Arc::new(SqliteStore::open(store_options, sink.clone()).unwrap());
        let (engine, service) = options.build(store, &sink).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(service.run(async move {
            let _ = stopped.await;
        }));
        Self { engine, dir, stop: Some(stop), running: Some(running) }
    }

    /// Stops the loops and closes the store.
    pub async fn stop(mut self) -> Arc<tempfile::TempDir> {
        self.stop.take();
        soon("the end of the service", self.running.take().unwrap()).await.unwrap().unwrap();
        self.engine.store().close().await;
        self.dir.clone()
    }

    pub async fn register(&self, name: &str, offer: Offer, slots: u32) -> Registered {
        let profile = Profile { machine_id: name.into(), machine_name: name.into(), offer, slots, owner: None };
        let request =
            RegisterRequest { profile, system_info: "{}".into(), running: Some(Vec::new()), take_over: TakeOver::Any };
        self.engine.register(request).await.unwrap().unwrap()
    }

    pub async fn worker(&self, name: &str, tools: &[&str], slots: u32) -> Line {
        let worker = self.register(name, offer(tools), slots).await.worker;
        self.engine.open_line(worker).await.unwrap()
    }

    pub async fn submit(&self, request: NewTaskRequest) -> TaskId {
        self.engine.submit("tester", vec![request], None).await.unwrap()[0]
    }

    pub async fn complete(&self, assignment: &Assignment) -> Reported {
        self.report(assignment, Ok(()), r#"{"ok":true}"#).await
    }

    pub async fn report(&self, assignment: &Assignment, result: Result<(), &str>, output: &str) -> Reported {
        let request = ReportRequest {
            subtask: assignment.lease.subtask,
            lease: Some(assignment.lease),
            by: Some(assignment.worker),
            bound: None,
            result: result.map_err(Into::into),
            output: output.into(),
            execution_time: 0.5,
            exit_code: None,
            simulated: false,
        };
        self.engine.report(request).await.unwrap()
    }

    pub async fn ended(&self, id: TaskId) -> TaskDetail {
        let detail = self.engine.wait_for_end(id, HANG).await.unwrap();
        assert!(detail.row.status.is_ended(), "{:?}", detail.row);
        detail
    }

    pub async fn status(&self, id: TaskId) -> TaskStatus {
        self.engine.task(id).await.unwrap().row.status
    }
}

pub fn offer(tools: &[&str]) -> Offer {
    Offer { tools: tools.iter().map(|&tool| tool.into()).collect(), ..Offer::default() }
}

pub fn task(task_type: TaskType, steps: Option<Vec<Step>>) -> NewTaskRequest {
    NewTaskRequest {
        description: "Something worth doing".into(),
        task_type,
        requirements: None,
        checkpoint_frequency: CheckpointFrequency::Medium,
        privacy: Privacy::Normal,
        tool_preferences: Vec::new(),
        priority: Priority::Normal,
        requires: Labels::new(),
        metadata: None,
        steps,
        start: Start::Now,
    }
}

pub fn step(name: &str, depends_on: &[&str], tool: Option<&str>) -> Step {
    Step {
        name: name.into(),
        description: None,
        depends_on: depends_on.iter().map(|&d| d.to_owned()).collect(),
        tool: tool.map(Into::into),
        requires: Labels::new(),
        input: None,
        complexity: 1,
        priority: 0,
        timeout_seconds: 3_600,
        max_attempts: 3,
    }
}

/// The next assignment of a line; anything else is a failure.
pub async fn assigned(line: &mut Line) -> Assignment {
    match soon("an assignment", line.next()).await {
        LineEvent::Message(LineMessage::Assign(assignment)) => *assignment,
        other => panic!("{other:?} instead of an assignment"),
    }
}

/// The code with which a line is closed, whatever comes before.
pub async fn closed(line: &mut Line) -> u16 {
    loop {
        if let LineEvent::Close(code, _) = soon("a close", line.next()).await {
            return code;
        }
    }
}
