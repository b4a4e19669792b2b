//! News between two servers, by PostgreSQL's notifications and by Redis: a task submitted at one, seen by a worker and by a
//! watcher of the other. What that costs is what the other's watcher hears later than one of the same server, beside a bare
//! trip through the same Redis.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use regatta_services::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::database::Server;
use super::nodes;
use crate::http::{self, Connection};
use crate::latency::{ROUNDS, submit_to_start};
use crate::platform::Platform;
use crate::table::{Table, percentiles};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// About as long as the news of a task.
const MESSAGE: usize = 400;

/// Measures both ways.
pub fn run(table: &mut Table, server: &Server) -> anyhow::Result<()> {
    let Some(redis) = Redis::start("the bench of many servers") else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bare = round_trip(&redis).await?;
        let url = redis.url();
        for (by, more) in [("notifications", &[][..]), ("Redis", &["--redis", &url])] {
            let nodes = nodes(2, &server.database("news")?, more)?;
            let seen = Seen::measure(&nodes[0], &nodes[1]).await?;
            table.figure(&format!("submit to a watcher, {by}: same server"), percentiles(&seen.here), "", None);
            table.figure("  another server", percentiles(&seen.there), "", None);
            table.latency("  how much later", &seen.later, "bare PUBLISH and SUBSCRIBE", &bare);
            let same = submit_to_start(&nodes[0], &nodes[0]).await?;
            let other = submit_to_start(&nodes[0], &nodes[1]).await?;
            table.latency(&format!("submit to arrival at another server's worker, {by}"), &other, "same server", &same);
        }
        Ok(())
    })
}

/// When watchers saw what was submitted.
struct Seen {
    here: Histogram<u64>,
    there: Histogram<u64>,
    later: Histogram<u64>,
}

impl Seen {
    async fn measure(here: &Platform, there: &Platform) -> anyhow::Result<Self> {
        let (mut near, mut far) = (watch(here).await?, watch(there).await?);
        let mut connection = Connection::open(here.address).await?;
        let mut seen = Self { here: Histogram::new(3)?, there: Histogram::new(3)?, later: Histogram::new(3)? };
        for round in 0..ROUNDS {
            let mark = format!("round {round} of the bench");
            let request = http::post("/api/v1/tasks", &format!(r#"{{"description":"{mark}","task_type":"custom"}}"#));
            let begin = Instant::now();
            let (status, here, there) =
                tokio::join!(connection.call(&request), arrival(&mut near, &mark), arrival(&mut far, &mark));
            ensure!(status? == 201, "the task was not taken");
            let (here, there) = (here?, there?);
            if round >= ROUNDS / 10 {
                seen.here.record(micros(here - begin))?;
                seen.there.record(micros(there - begin))?;
                seen.later.record(micros(there.saturating_duration_since(here)))?;
            }
        }
        Ok(seen)
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// Somebody who watches all tasks.
async fn watch(node: &Platform) -> anyhow::Result<Socket> {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/api/v1/ws", node.address)).await?;
    socket.send(Message::text(r#"{"action":"subscribe","type":"tasks"}"#)).await?;
    loop {
        let message = socket.next().await.context("a watcher's socket was closed")??;
        if matches!(&message, Message::Text(text) if text.starts_with(r#"{"type":"subscribed""#)) {
            return Ok(socket);
        }
    }
}

/// When the task with this text was first seen.
async fn arrival(socket: &mut Socket, mark: &str) -> anyhow::Result<Instant> {
    loop {
        let message = socket.next().await.context("a watcher's socket was closed")??;
        if matches!(&message, Message::Text(text) if text.contains(mark)) {
            return Ok(Instant::now());
        }
    }
}

/// From PUBLISH to its arrival at who subscribed, without any library.
async fn round_trip(redis: &Redis) -> anyhow::Result<Histogram<u64>> {
    let open = async || {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).await?;
        stream.set_nodelay(true)?;
        stream.write_all(format!("AUTH {}\r\n", redis.password()).as_bytes()).await?;
        expect(&mut stream, "+OK\r\n").await?;
        anyhow::Ok(stream)
    };
    let (mut subscriber, mut publisher) = (open().await?, open().await?);
    subscriber.write_all(b"SUBSCRIBE bench\r\n").await?;
    expect(&mut subscriber, "*3\r\n$9\r\nsubscribe\r\n$5\r\nbench\r\n:1\r\n").await?;
    let message = "x".repeat(MESSAGE);
    let publish = format!("PUBLISH bench {message}\r\n");
    let arrives = format!("*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n${MESSAGE}\r\n{message}\r\n");
    let mut latency = Histogram::new(3)?;
    for round in 0..ROUNDS {
        let begin = Instant::now();
        publisher.write_all(publish.as_bytes()).await?;
        expect(&mut subscriber, &arrives).await?;
        if round >= ROUNDS / 10 {
            latency.record(micros(begin.elapsed()))?;
        }
        expect(&mut publisher, ":1\r\n").await?;
    }
    Ok(latency)
}

async fn expect(stream: &mut TcpStream, answer: &str) -> anyhow::Result<()> {
    let mut bytes = vec![0; answer.len()];
    stream.read_exact(&mut bytes).await?;
    ensure!(bytes == answer.as_bytes(), "Redis answered {:?}", String::from_utf8_lossy(&bytes));
    Ok(())
}
