//! Where a run was measured: what must be alike for two runs to be compared.

use std::process::Command;

use serde::Serialize;

/// The machine, the build and the commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// The version of this program.
    pub regatta: String,
    /// `release` or `debug`.
    pub build: String,
    /// The commit of the working directory, or the one that CI names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether files of the working directory differ from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// The machine's name.
    pub host: String,
    /// The operating system and its kernel.
    pub system: String,
    /// The processor's architecture.
    pub architecture: String,
    /// The processor's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
}

impl Environment {
    /// This one.
    pub fn here() -> Self {
        let system = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        let proc = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = proc("/proc/meminfo", "MemTotal");
        Self {
            regatta: env!("CARGO_PKG_VERSION").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            commit: std::env::var("GITHUB_SHA").ok().or_else(|| git(&["rev-parse", "HEAD"])),
            dirty: git(&["status", "--porcelain", "--untracked-files=no"]).map(|changed| !changed.is_empty()),
            host: text(system.nodename()),
            system: format!("{} {}", text(system.sysname()), text(system.release())),
            architecture: text(system.machine()),
            cpu: proc("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.and_then(|kib| Some(kib.split_whitespace().next()?.parse::<u64>().ok()? / 1024)),
        }
    }
}

/// What git says; nothing where there is none, or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).stderr(std::process::Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
