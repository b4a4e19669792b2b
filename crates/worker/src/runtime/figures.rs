//! What the machine uses, as heartbeats say it, and what it is, as the registration says it.

use std::path::{Path, PathBuf};

use regatta_api::JsonObject;
use regatta_api::worker::Resources;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Measures the machine; the first measure of the processor covers the time since this was made.
pub(super) struct Figures {
    system: System,
    /// The disk that counts is the one this is on.
    folder: PathBuf,
}

impl Figures {
    pub(super) fn new(folder: &Path) -> Self {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        Self { system: System::new_with_specifics(wanted), folder: folder.to_owned() }
    }

    /// What is in use now.
    pub(super) fn measure(&mut self) -> Resources {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let memory = match self.system.total_memory() {
            0 => None,
            total => Some(self.system.used_memory() as f64 / total as f64),
        };
        // Only this one disk: asking for all of them hangs when one of them is a network disk that does.
        let disk = rustix::fs::statvfs(&self.folder)
            .ok()
            .filter(|disk| disk.f_blocks > 0)
            .map(|disk| 1.0 - disk.f_bavail as f64 / disk.f_blocks as f64);
        Resources {
            cpu_percent: Some(percent(f64::from(self.system.global_cpu_usage()) / 100.0)),
            memory_percent: memory.map(percent),
            disk_percent: disk.map(percent),
            ..Resources::default()
        }
    }
}

/// A share as percent with one decimal.
fn percent(share: f64) -> f64 {
    (share.clamp(0.0, 1.0) * 1000.0).round() / 10.0
}

/// What the machine is.
pub(super) fn system_info(simulated: &[String]) -> JsonObject {
    let mut system = System::new();
    system.refresh_memory();
    let mut info = JsonObject::new();
    let mut say = |name: &str, value: serde_json::Value| {
        if !value.is_null() {
            info.insert(name.to_owned(), value);
        }
    };
    say("hostname", System::host_name().into());
    say("os", System::long_os_version().into());
    say("kernel", System::kernel_version().into());
    say("arch", std::env::consts::ARCH.into());
    say("cpus", std::thread::available_parallelism().ok().map(std::num::NonZero::get).into());
    say("memory_bytes", system.total_memory().into());
    say("agent", concat!("regatta-worker/", env!("CARGO_PKG_VERSION")).into());
    say("pid", std::process::id().into());
    if !simulated.is_empty() {
        say("simulated_tools", simulated.into());
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_this_machines() {
        let mut figures = Figures::new(Path::new("/"));
        let resources = figures.measure();
        for figure in [resources.cpu_percent, resources.memory_percent, resources.disk_percent] {
            assert!((0.0..=100.0).contains(&figure.unwrap()), "{resources:?}");
        }
        // A running machine uses some memory and some disk.
        assert!(resources.memory_percent.unwrap() > 0.0 && resources.disk_percent.unwrap() > 0.0);
        let info = system_info(&["x".into()]);
        assert!(info["memory_bytes"].as_u64().unwrap() > 0 && info["cpus"].as_u64().unwrap() > 0);
        assert_eq!(info["simulated_tools"][0], "x");
        assert!(!system_info(&[]).contains_key("simulated_tools"));
    }
}
