//! Programs of the Python Package Index that tests hold the platform against, each in an environment of its own.
//!
//! An environment is made once, below the target folder, from a list in which every version is pinned; a changed list
//! makes a new one. Where there is no Python, or no registry, a test says so and is skipped: see [`skipped`].

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use regatta_services::skipped;

/// A virtual environment.
pub struct Environment {
    dir: PathBuf,
}

impl Environment {
    /// The environment with what `requirements` (the text of a `requirements.txt`) lists. Where it cannot be made, that is
    /// said; in CI it is a failure.
    pub fn or_skip(name: &str, requirements: &str) -> Option<Self> {
        let made = Self::with(name, requirements);
        if let Err(why) = &made {
            assert!(std::env::var_os("CI").is_none(), "{name} cannot be installed with python3 -m venv and pip: {why}");
            skipped(name, why);
        }
        made.ok()
    }

    fn with(name: &str, requirements: &str) -> Result<Self, String> {
        let mut hasher = DefaultHasher::new();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // The programs in it name its path: where the folder was moved they are made anew.
        (requirements, folder).hash(&mut hasher);
        let dir = folder.join(format!("python-{name}-{:016x}", hasher.finish()));
        // Tests are processes that may want it at the same time; the first one makes it.
        let lock = File::create(dir.with_extension("lock")).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let complete = dir.join("complete");
        if !complete.exists() {
            let _ = std::fs::remove_dir_all(&dir);
            let list = dir.join("requirements.txt");
            run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
            std::fs::write(&list, requirements).map_err(|error| error.to_string())?;
            let mut install = Command::new(dir.join("bin/python"));
            install
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&list);
            run(&mut install)?;
            File::create(&complete).map_err(|error| error.to_string())?;
        }
        Ok(Self { dir })
    }

    /// A program that came with one of the packages.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{program} ended with {}: {last}", output.status))
}
