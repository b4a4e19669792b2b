//! The load: connections that each send the same request again as soon as it is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came of a run.
pub struct Load {
    /// Answers per second.
    pub rate: f64,
    /// Microseconds from request to answer.
    pub latency: Histogram<u64>,
}

impl Load {
    /// A percentile in milliseconds.
    pub fn ms(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1_000.0
    }
}

/// A GET of `path`.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// A POST of JSON to `path`.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Loads servers, each with the same share, for a time from `connections` connections on one thread; a fifth as long goes
/// before as warm-up. Every answer must have this status.
pub fn load(
    addresses: &[SocketAddr],
    request: &[u8],
    status: u16,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begin = Instant::now() + time / 5;
        let end = begin + time;
        let mut users = tokio::task::JoinSet::new();
        for &address in addresses.iter().cycle().take(connections) {
            let request = request.to_vec();
            users.spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut latency = Histogram::<u64>::new(3)?;
                loop {
                    let sent = Instant::now();
                    if sent >= end {
                        return anyhow::Ok(latency);
                    }
                    let answered = connection.call(&request).await?;
                    if answered != status {
                        bail!("status {answered} instead of {status}");
                    }
                    if sent >= begin {
                        latency.record(sent.elapsed().as_micros() as u64)?;
                    }
                }
            });
        }
        let mut latency = Histogram::<u64>::new(3)?;
        while let Some(user) = users.join_next().await {
            latency.add(user??)?;
        }
        Ok(Load { rate: latency.len() as f64 / time.as_secs_f64(), latency })
    })
}

/// A keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and reads its whole answer; its status.
    pub async fn call(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        Ok(self.exchange(request).await?.0)
    }

    /// Sends a request; its answer's status and body.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (head, length) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(head) = find_end(&self.buffer) {
                break (head, content_length(&self.buffer[..head])?);
            }
        };
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection within an answer");
            }
        }
        let status = std::str::from_utf8(self.buffer.get(9..12).context("no status")?)?.parse()?;
        Ok((status, &self.buffer[head..head + length]))
    }
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|place| place + 4)
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    for line in std::str::from_utf8(head)?.split("\r\n") {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(value.trim().parse()?);
        }
    }
    bail!("an answer without Content-Length")
}

/// One call on a connection of its own: status and body.
pub fn once(address: SocketAddr, request: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = Connection::open(address).await?;
        let (status, body) = connection.exchange(request).await?;
        Ok((status, body.to_vec()))
    })
}
