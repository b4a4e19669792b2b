//! A server: `regatta serve` on any free port of this machine, with the embedded store or on services that are there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::process::Process;
use crate::trial::Trouble;

/// So long it may take to begin to serve.
const READY: Duration = Duration::from_secs(60);
/// How often is looked whether it serves.
const LOOK: Duration = Duration::from_millis(10);

/// A server that serves.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Where it listens.
    pub url: String,
}

/// What its ready file says.
#[derive(Deserialize)]
struct Ready {
    url: String,
}

/// The services that servers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// The URL of a PostgreSQL database in which nothing is.
    pub database: String,
    /// The URL of a Redis.
    pub redis: Option<String>,
}

impl Server {
    /// Starts `binary` as a server that keeps everything in `folder`, or in these services.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it serves.
    pub async fn start(binary: &Path, folder: &Path, services: Option<&Services>) -> Result<Self, Trouble> {
        let ready = folder.join("ready.json");
        let config = empty_config(folder)?;
        let database = format!("sqlite:{}", folder.join("regatta.db").display());
        let arguments: Vec<OsString> = vec![
            "serve".into(),
            "--config".into(),
            config.into(),
            "--listen".into(),
            "localhost:0".into(),
            "--ready-file".into(),
            ready.clone().into(),
            "--exit-with-parent".into(),
            "--log-format".into(),
            "json".into(),
            // A line for each answer, with the id of its request: what a check that fails shows.
            "--log-level".into(),
            "info,regatta_server::front=debug".into(),
        ];
        // By the environment, which not everybody on the machine sees: there are passwords in them.
        let mut environment = vec![("REGATTA_DATABASE", services.map_or(&*database, |services| &services.database))];
        if let Some(redis) = services.and_then(|services| services.redis.as_deref()) {
            environment.push(("REGATTA_REDIS", redis));
        }
        let mut process = Process::start(binary, &arguments, &environment, folder.join("server.log"))?;
        let started = Instant::now();
        loop {
            if let Some(Ready { url }) = std::fs::read(&ready).ok().and_then(|text| serde_json::from_slice(&text).ok())
            {
                return Ok(Self { process, url });
            }
            if let Some(how) = process.ended() {
                return Err(Trouble(format!("the platform's server {how}")));
            }
            if started.elapsed() > READY {
                return Err(Trouble(format!("the platform's server does not serve after {} s", READY.as_secs())));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.process.output
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.process.terminate();
        self.process.gone().await;
    }
}

/// A configuration that says nothing, so that the user's own changes no measurement.
fn empty_config(folder: &Path) -> Result<PathBuf, Trouble> {
    let file = folder.join("server.toml");
    std::fs::write(&file, "").map_err(|error| Trouble(format!("{} cannot be written: {error}", file.display())))?;
    Ok(file)
}
