//! A small real server that speaks the contract's worker calls and line, and does what a test tells it to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// What a test tells the line.
enum Say {
    Frame(Value),
    Close(u16),
    Drop,
}

struct Shared {
    /// All that was seen: `(kind, body)` in order.
    seen: watch::Sender<Vec<(String, Value)>>,
    line: Mutex<Option<mpsc::UnboundedSender<Say>>>,
    workers: Mutex<HashMap<String, Uuid>>,
    /// What heartbeats and results over HTTP are answered with.
    heartbeat_status: AtomicU16,
    result_status: AtomicU16,
    /// Whether results over the line are acknowledged, and resumes answered by keeping all.
    acknowledges: AtomicBool,
    keeps: AtomicBool,
    /// Whether the line is read at all.
    reads: AtomicBool,
    /// The system that it is a node of.
    cluster: Option<Uuid>,
}

pub struct Server {
    shared: Arc<Shared>,
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_as(None).await
    }

    /// One that says which system it is a node of.
    pub async fn node_of(cluster: Uuid) -> Self {
        Self::start_as(Some(cluster)).await
    }

    async fn start_as(cluster: Option<Uuid>) -> Self {
        let shared = Arc::new(Shared {
            seen: watch::Sender::new(Vec::new()),
            line: Mutex::new(None),
            workers: Mutex::default(),
            heartbeat_status: AtomicU16::new(200),
            result_status: AtomicU16::new(200),
            acknowledges: AtomicBool::new(true),
            keeps: AtomicBool::new(true),
            reads: AtomicBool::new(true),
            cluster,
        });
        let routes = Router::new()
            .route("/api/v1/workers/register", post(register))
            .route("/api/v1/workers/{id}/heartbeat", post(heartbeat))
            .route("/api/v1/workers/{id}/unregister", post(unregister))
            .route("/api/v1/workers/{id}/ws", get(line))
            .route("/api/v1/subtasks/{id}/result", post(result))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // As the real server does: small frames must not wait for each other's acknowledgement.
        let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { shared, address, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All bodies of one kind so far.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        let seen = self.shared.seen.borrow();
        seen.iter().filter(|(of, _)| of == kind).map(|(_, body)| body.clone()).collect()
    }

    /// The order of kinds so far.
    pub fn kinds(&self) -> Vec<String> {
        self.shared.seen.borrow().iter().map(|(kind, _)| kind.clone()).collect()
    }

    /// Waits for the nth body of a kind, from 1.
    pub async fn nth(&self, kind: &str, number: usize) -> Value {
        self.find(kind, move |all| all.get(number - 1).cloned()).await
    }

    /// Waits for a body of a kind that is as wanted.
    pub async fn wait_for(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.find(kind, move |all| all.iter().find(|body| wanted(body)).cloned()).await
    }

    async fn find(&self, kind: &str, found: impl Fn(&[Value]) -> Option<Value>) -> Value {
        let mut seen = self.shared.seen.subscribe();
        loop {
            if let Some(body) = found(&self.all(kind)) {
                return body;
            }
            seen.changed().await.unwrap();
        }
    }

    pub fn send(&self, frame: Value) {
        self.say(Say::Frame(frame));
    }

    pub fn close(&self, code: u16) {
        self.say(Say::Close(code));
    }

    /// Cuts the line without a word.
    pub fn cut(&self) {
        self.say(Say::Drop);
    }

    fn say(&self, say: Say) {
        // A worker that has just gone hears nothing.
        let _ = self.shared.line.lock().as_ref().expect("a worker has connected").send(say);
    }

    pub fn answer_heartbeats(&self, status: u16) {
        self.shared.heartbeat_status.store(status, Ordering::SeqCst);
    }

    pub fn answer_results(&self, status: u16) {
        self.shared.result_status.store(status, Ordering::SeqCst);
    }

    pub fn acknowledge(&self, does: bool) {
        self.shared.acknowledges.store(does, Ordering::SeqCst);
    }

    pub fn keep(&self, does: bool) {
        self.shared.keeps.store(does, Ordering::SeqCst);
    }

    pub fn read(&self, does: bool) {
        self.shared.reads.store(does, Ordering::SeqCst);
    }

    /// Gives an assignment and says its subtask and lease.
    pub fn assign(&self, tool: &str, input: Value, change: impl FnOnce(&mut Value)) -> Given {
        let given = Given { subtask: Uuid::now_v7().to_string(), lease: Uuid::now_v7().to_string() };
        let mut data = json!({
            "subtask_id": given.subtask, "task_id": Uuid::now_v7(), "name": "Step", "description": "Do something",
            "assigned_tool": tool, "input": input, "context": {}, "complexity": 1, "priority": 0, "attempt": 1,
            "lease": given.lease, "lease_seconds": 90, "timeout_seconds": 3600,
        });
        change(&mut data);
        self.send(json!({"type": "task_assignment", "data": data}));
        given
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub subtask: String,
    pub lease: String,
}

impl Given {
    pub fn is(&self, body: &Value) -> bool {
        let body = body.get("data").unwrap_or(body);
        body["subtask_id"] == self.subtask.as_str() && body["lease"] == self.lease.as_str()
    }

    pub fn reference(&self) -> Value {
        json!({"subtask_id": self.subtask, "lease": self.lease})
    }
}

impl Shared {
    fn note(&self, kind: &str, body: Value) {
        self.seen.send_modify(|seen| seen.push((kind.to_owned(), body)));
    }
}

fn problem(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = json!({"type": "about:blank", "title": "t", "status": status.as_u16(), "detail": "as the test wants", "request_id": "r"});
    (status, Json(body)).into_response()
}

async fn register(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let machine = body["machine_id"].as_str().unwrap().to_owned();
    shared.note("register", body);
    let worker = *shared.workers.lock().entry(machine).or_insert_with(Uuid::now_v7);
    let mut answer = Json(json!({"status": "registered", "worker_id": worker, "message": "welcome"})).into_response();
    if let Some(cluster) = shared.cluster {
        answer.headers_mut().insert("regatta-cluster", cluster.to_string().parse().unwrap());
    }
    answer
}

async fn heartbeat(State(shared): State<Arc<Shared>>, Path(_): Path<Uuid>, Json(body): Json<Value>) -> Response {
    shared.note("heartbeat", body);
    match shared.heartbeat_status.load(Ordering::SeqCst) {
        200 => Json(json!({"acknowledged": true, "message": "ok"})).into_response(),
        status => problem(status),
    }
}

async fn unregister(State(shared): State<Arc<Shared>>, Path(id): Path<Uuid>) -> Response {
    shared.note("unregister", json!({"worker_id": id}));
    Json(json!({"status": "unregistered", "worker_id": id})).into_response()
}

async fn result(State(shared): State<Arc<Shared>>, Path(id): Path<Uuid>, Json(mut body): Json<Value>) -> Response {
    body["subtask_id"] = json!(id);
    shared.note("http result", body);
    match shared.result_status.load(Ordering::SeqCst) {
        200 => Json(
            json!({"subtask_id": id, "status": "completed", "progress": 100, "message": "ok", "newly_allocated": 0}),
        )
        .into_response(),
        status => problem(status),
    }
}

async fn line(State(shared): State<Arc<Shared>>, Path(id): Path<Uuid>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| serve(shared, id, socket))
}

async fn serve(shared: Arc<Shared>, id: Uuid, mut socket: WebSocket) {
    let (say, mut said) = mpsc::unbounded_channel();
    *shared.line.lock() = Some(say);
    let connected = json!({"type": "connected", "data": {"worker_id": id, "machine_name": "w"}});
    if socket.send(Message::text(connected.to_string())).await.is_err() {
        return;
    }
    shared.note("line", json!({"worker_id": id}));
    loop {
        tokio::select! {
            say = said.recv() => match say {
                Some(Say::Frame(frame)) => {
                    if socket.send(Message::text(frame.to_string())).await.is_err() {
                        return;
                    }
                }
                Some(Say::Close(code)) => {
                    let frame = CloseFrame { code, reason: "as the test wants".into() };
                    let _ = socket.send(Message::Close(Some(frame))).await;
                    return;
                }
                Some(Say::Drop) | None => return,
            },
            message = socket.recv(), if shared.reads.load(Ordering::SeqCst) => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(answer) = hear(&shared, serde_json::from_str(&text).unwrap()) {
                        let _ = socket.send(Message::text(answer.to_string())).await;
                    }
                }
                Some(Ok(Message::Close(_))) => shared.note("close", json!({})),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    shared.note("line end", json!({}));
                    return;
                }
            },
        }
    }
}

/// Notes a frame; some have an answer.
fn hear(shared: &Shared, frame: Value) -> Option<Value> {
    let kind = frame["type"].as_str().unwrap().to_owned();
    shared.note(&kind, frame.clone());
    match kind.as_str() {
        "resume" => {
            let (kept, dropped) = match shared.keeps.load(Ordering::SeqCst) {
                true => (frame["running"].clone(), json!([])),
                false => (json!([]), frame["running"].clone()),
            };
            Some(json!({"type": "resumed", "kept": kept, "dropped": dropped}))
        }
        "result" if shared.acknowledges.load(Ordering::SeqCst) => Some(json!({
            "type": "result_ack", "subtask_id": frame["data"]["subtask_id"], "lease": frame["data"]["lease"], "accepted": true,
        })),
        _ => None,
    }
}
