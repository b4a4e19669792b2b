//! Servers of the tests: axum where an answer is a proper one, a bare socket where it is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use regatta_load::engine::{Error, Observer};
use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::{Engine, Options, Outcome, Plan, ScenarioError, Totals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server on a thread of its own; it lives as long as the test's process.
pub fn start(routes: Router) -> SocketAddr {
    let (address, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, routes).await.unwrap();
        });
    });
    port.recv().unwrap()
}

/// A server that answers every connection with what `answer` makes of it; it reads one request's head first.
pub fn bare<F, Fut>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (address, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                let mut head = vec![0; 4096];
                let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut head)).await;
                // Whoever only looked whether we are there sends nothing.
                if matches!(read, Ok(Ok(1..))) {
                    tokio::spawn(answer(stream));
                }
            }
        });
    });
    port.recv().unwrap()
}

/// Writes these bytes and hangs up.
pub async fn write_and_close(mut stream: TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
}

/// Counts calls.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn plan(text: &str, host: SocketAddr, choices: Choices) -> Result<Plan, ScenarioError> {
    let source = Source { name: "test.toml".to_owned(), text: text.to_owned(), folder: std::env::temp_dir() };
    regatta_load::scenario::load(
        &source,
        &Choices { host: Some(format!("http://{host}")), run: "r1".into(), ..choices },
    )
}

/// Looks on and does nothing.
pub struct Nobody;
impl Observer for Nobody {}

/// Runs a scenario to its end.
pub fn run(text: &str, host: SocketAddr, options: Options) -> Outcome {
    let plan = plan(text, host, Choices::default()).unwrap();
    Engine::new(plan, options).unwrap().run(&mut Nobody).unwrap()
}

/// So many users for so many milliseconds, all there at once.
pub fn users(users: u64, millis: u64) -> Options {
    Options {
        users,
        spawn_rate: 10_000.0,
        run_time: Some(Duration::from_millis(millis)),
        threads: 2,
        ..Options::default()
    }
}

/// Stops the run as soon as so many requests are done.
pub struct After(pub u64, pub regatta_load::engine::Handle);
impl Observer for After {
    fn second(&mut self, totals: &Totals) {
        if totals.all.requests >= self.0 {
            self.1.stop();
        }
    }
}

/// Why a run does not begin.
pub fn refused(text: &str, host: SocketAddr, options: Options) -> Error {
    let plan = plan(text, host, Choices::default()).unwrap();
    Engine::new(plan, options).unwrap_err()
}
