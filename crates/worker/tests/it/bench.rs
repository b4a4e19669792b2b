//! A worker beside a small server: in this process, or as a process of its own that can be killed.

use std::path::Path;
use std::time::Duration;

use regatta_worker::runtime::RunError;
use regatta_worker::supervisor::proc;
use regatta_worker::{Handle, Options, build};
use rustix::process::{Pid, Signal};
use tokio::task::JoinHandle;

use crate::server::Server;

/// A worker in this process.
pub struct Inside {
    pub handle: Handle,
    run: JoinHandle<Result<(), RunError>>,
}

pub fn options(server: &Server, data: &Path, tools: &[&str]) -> Options {
    let mut options = Options {
        server: server.url(),
        name: Some("w".into()),
        data_dir: Some(data.to_owned()),
        slots: 4,
        heartbeat_seconds: Some(0.05),
        supervisor: Some(vec![env!("CARGO_BIN_EXE_regatta-worker-agent").into()]),
        ..Options::default()
    };
    options.tools.offered = tools.iter().map(|&tool| tool.to_owned()).collect();
    options
}

impl Inside {
    pub fn start(options: Options) -> Self {
        let service = build(options).unwrap();
        let handle = service.handle();
        let run = tokio::spawn(service.run(std::future::pending()));
        Self { handle, run }
    }

    pub async fn end(self) -> Result<(), RunError> {
        self.run.await.unwrap()
    }

    pub async fn stop(self) -> Result<(), RunError> {
        self.handle.stop_now();
        self.end().await
    }
}

/// A worker as a process.
pub struct Outside {
    child: tokio::process::Child,
    pub machine_id: String,
}

impl Outside {
    pub async fn start(server: &Server, data: &Path, more: &str) -> Self {
        let registered = server.all("register").len();
        let child = Self::spawn(server, data, more);
        let register = server.nth("register", registered + 1).await;
        Self { child, machine_id: register["machine_id"].as_str().unwrap().to_owned() }
    }

    pub fn spawn(server: &Server, data: &Path, more: &str) -> tokio::process::Child {
        let config = data.join("worker.toml");
        let text = format!(
            "server = {:?}\nname = \"w\"\nslots = 4\ndata_dir = {:?}\n{more}\n",
            server.url(),
            data.display().to_string()
        );
        std::fs::write(&config, text).unwrap();
        tokio::process::Command::new(env!("CARGO_BIN_EXE_regatta-worker-agent"))
            .arg(&config)
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    pub fn pid(&self) -> Pid {
        self.child.id().and_then(|pid| Pid::from_raw(pid as i32)).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    pub async fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// The most memory it has used, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The processes that its tools are.
    pub fn processes(&self) -> Vec<Pid> {
        processes(&self.machine_id)
    }
}

pub fn processes(machine_id: &str) -> Vec<Pid> {
    let mut pids = proc::marked(&proc::entry(proc::WORKER_VARIABLE, machine_id));
    pids.retain(|pid| proc::is_alive(*pid));
    pids
}

pub async fn until_no_processes(machine_id: &str) {
    while !processes(machine_id).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
