//! The limit of HTTP: axum without middleware, extractors or a store, in a process of its own, answering
//! bytes it was given.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::get;

/// First argument that makes this program the bare server.
pub const ROLE: &str = "bare-server";

/// A running bare server; ends with its owner.
pub struct Bare {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bare {
    /// Starts one that answers every GET with `status` 200 and every POST with 201, and these bytes.
    pub fn start(answer: &[u8]) -> anyhow::Result<Self> {
        use std::io::Write;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the bare server does not start")?;
        child.stdin.take().context("no stdin")?.write_all(answer)?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bare server's main: reads the answer from stdin, prints its address, serves.
pub fn serve() -> anyhow::Result<()> {
    let mut answer = Vec::new();
    std::io::stdin().read_to_end(&mut answer)?;
    let answer = Bytes::from(answer);
    let json = || [(header::CONTENT_TYPE, "application/json")];
    let created = answer.clone();
    let routes = Router::new().route(
        "/{*path}",
        get(move || std::future::ready((StatusCode::OK, json(), answer.clone())))
            .post(move |_body: Bytes| std::future::ready((StatusCode::CREATED, json(), created.clone()))),
    );
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        axum::serve(listener, routes).await?;
        Ok(())
    })
}
