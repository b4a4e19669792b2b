//! One server of a test's own, and how it is called.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use regatta_engine::bus::LocalBus;
use regatta_engine::store::sqlite::{self, SqliteStore};
use regatta_engine::{CommitSink, Engine};
use regatta_server::{Handle, Options};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Long enough that only what hangs is cut off.
const HANG: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// A server that runs.
pub struct Rig {
    pub engine: Engine,
    pub store: Arc<SqliteStore>,
    pub handle: Handle,
    pub http: reqwest::Client,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<std::io::Result<()>>>,
    _dir: tempfile::TempDir,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(Options::default(), regatta_engine::Options::default()).await
    }

    /// A server that other machines could reach: it asks for tokens.
    pub async fn beyond_loopback(options: Options) -> Self {
        Self::listening("0.0.0.0:0", options, regatta_engine::Options::default()).await
    }

    pub async fn with(options: Options, engine_options: regatta_engine::Options) -> Self {
        Self::listening("localhost:0", options, engine_options).await
    }

    async fn listening(listen: &str, options: Options, engine_options: regatta_engine::Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sink = CommitSink::new(Arc::new(LocalBus::default()));
        let store_options = sqlite::Options {
            path: dir.path().join("regatta.db"),
            synchronous: sqlite::Synchronous::Off,
            ..Default::default()
        };
        let store = Arc::new(SqliteStore::open(store_options, sink.clone()).unwrap());
        let (engine, loops) = engine_options.build(store.clone(), &sink).await.unwrap();
        let options = Options { listen: vec![listen.to_owned()], ..options };
        let (service, handle) = options.build(engine.clone()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        tokio::spawn(loops.run(until(stopped.clone())));
        let server = Some(tokio::spawn(service.run(until(stopped))));
        // Bodies are looked at as they come: compression is asked for by the tests that are about it.
        let http = plain_client();
        Self { engine, store, handle, http, stop, server, _dir: dir }
    }

    /// Tells the server to drain.
    pub fn drain(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end of a server that drains.
    pub async fn ended(&mut self) {
        soon("the end of the server", self.server.take().unwrap()).await.unwrap().unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.handle.url())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.http.post(self.url(path)).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.http.delete(self.url(path))).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = soon("an answer", request.send()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = soon("a body", response.bytes()).await.unwrap().to_vec();
        Answer { status, headers, bytes }
    }

    /// Submits a task with these steps and returns its id.
    pub async fn task(&self, steps: Value) -> String {
        let body = json!({"description": "Count the words of a folder", "task_type": "custom", "subtasks": steps});
        let made = self.post("/api/v1/tasks", body).await;
        made.is(StatusCode::CREATED);
        made.text("task_id")
    }

    /// Registers a worker and returns its id.
    pub async fn worker(&self, name: &str, slots: u32) -> String {
        let body = json!({"machine_id": name, "machine_name": name, "system_info": {"os": "linux"}, "tools": ["command"],
            "slots": slots});
        let registered = self.post("/api/v1/workers/register", body).await;
        registered.is(StatusCode::OK);
        registered.text("worker_id")
    }

    pub async fn socket(&self, path: &str) -> Socket {
        match self.try_socket(path, &[]).await {
            Ok(socket) => socket,
            Err((status, body)) => panic!("{path} was answered {status}: {body}"),
        }
    }

    /// Opens a WebSocket; else the status and body that came instead of the 101.
    pub async fn try_socket(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, (StatusCode, Value)> {
        let mut request = self.url(path).replacen("http", "ws", 1).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match soon("a handshake", tokio_tungstenite::connect_async(request)).await {
            Ok((inner, _)) => Ok(Socket { inner }),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status(), serde_json::from_slice(body).unwrap()))
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// A worker with an open line, its `connected` frame read.
    pub async fn line(&self, name: &str, slots: u32) -> (String, Socket) {
        let worker = self.worker(name, slots).await;
        let mut line = self.socket(&format!("/api/v1/workers/{worker}/ws")).await;
        assert_eq!(line.next().await["type"], "connected");
        (worker, line)
    }
}

/// A client of servers without TLS.
fn plain_client() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

/// A step that runs a program.
pub fn step(name: &str, depends_on: &[&str]) -> Value {
    json!({"name": name, "depends_on": depends_on, "tool": "command", "input": {"argv": ["true"]}})
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.bytes) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {}: {}", self.status, String::from_utf8_lossy(&self.bytes)),
        }
    }

    #[track_caller]
    pub fn is(&self, status: StatusCode) -> &Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no text {field} in {}", self.json())).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn contains(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.bytes).contains(text)
    }

    /// The fields that a 422 names.
    #[track_caller]
    pub fn fields(&self) -> Vec<String> {
        self.is(StatusCode::UNPROCESSABLE_ENTITY);
        let body = self.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {body}"));
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// The client's end of a WebSocket.
pub struct Socket {
    pub inner: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        soon("sending", self.inner.send(Message::text(text))).await.unwrap();
    }

    /// The next JSON frame.
    pub async fn next(&mut self) -> Value {
        match self.next_or_close().await {
            Ok(frame) => frame,
            Err(close) => panic!("closed with {close:?} instead of a frame"),
        }
    }

    /// The next JSON frame, or the code of the close.
    pub async fn next_or_close(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match soon("a frame", self.inner.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next frame of a type; others are passed over.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The code of the close; frames before it are passed over.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.next_or_close().await {
                return code;
            }
        }
    }

    /// The data of the next assignment.
    pub async fn assignment(&mut self) -> Value {
        self.next_of("task_assignment").await["data"].clone()
    }

    /// Reports an assignment as completed and waits for the acknowledgement.
    pub async fn complete(&mut self, assignment: &Value, result: Value) -> Value {
        self.send(json!({"type": "result", "data": {"subtask_id": assignment["subtask_id"], "status": "completed",
            "result": result, "lease": assignment["lease"]}}))
            .await;
        self.next_of("result_ack").await
    }
}
