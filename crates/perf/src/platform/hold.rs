//! The task that shows that tasks run at the same moment: it notes that it began, waits until it is released, and answers
//! from when to when it ran. It waits for others instead of for a time, so that a slow machine shows the same as a fast one.
//!
//! A round is a folder: a file for each that began, and one called `release`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The tool's name among those of a worker.
pub const TOOL: &str = "regatta_perf_hold";
/// However it is forgotten, it ends.
const LONGEST: Duration = Duration::from_secs(120);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// From when to when it ran, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// It began.
    pub from: f64,
    /// It ended.
    pub to: f64,
}

/// A round of tasks that wait for one another.
#[derive(Debug, Clone)]
pub struct Round {
    folder: PathBuf,
}

impl Round {
    /// The round of this name in a folder that all processes share.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn new(folder: &Path, name: &str) -> std::io::Result<Self> {
        // The name comes from a task's input: it names one folder below ours and nothing else.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(std::io::Error::other("a round's name is letters, digits and hyphens"));
        }
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Notes that one began; when.
    ///
    /// # Errors
    /// When the note cannot be made.
    pub fn begin(&self, who: &str) -> std::io::Result<f64> {
        // Before anybody sees the note: the round may be released, and others end, before this process goes on.
        let from = now();
        std::fs::write(self.folder.join(format!("began-{who}")), "")?;
        Ok(from)
    }

    /// How many began.
    pub fn began(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return 0 };
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("began-")).count()
    }

    /// Lets all go on.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn release(&self) -> std::io::Result<()> {
        std::fs::write(self.folder.join("release"), "")
    }

    /// Whether they may go on.
    pub fn is_released(&self) -> bool {
        self.folder.join("release").exists()
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The program: begins, waits, and prints its span.
///
/// # Errors
/// When the round cannot be used.
pub fn main(folder: &Path, round: &str) -> std::io::Result<()> {
    let round = Round::new(folder, round)?;
    let from = round.begin(&std::process::id().to_string())?;
    let started = Instant::now();
    while !round.is_released() && started.elapsed() < LONGEST {
        std::thread::sleep(LOOK);
    }
    let span = Span { from, to: now() };
    println!("{}", serde_json::to_string(&span)?);
    Ok(())
}

/// The most that ran at one moment.
pub fn most_at_once(spans: &[Span]) -> usize {
    let mut edges: Vec<(f64, i64)> = spans.iter().flat_map(|span| [(span.from, 1), (span.to, -1)]).collect();
    // At the same moment an end comes first: to touch is not to overlap.
    edges.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let (mut now, mut most) = (0, 0);
    for (_, change) in edges {
        now += change;
        most = most.max(now);
    }
    usize::try_from(most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlap_is_of_one_moment() {
        let span = |from: f64, to: f64| Span { from, to };
        assert_eq!(most_at_once(&[]), 0);
        assert_eq!(most_at_once(&[span(0.0, 1.0), span(1.0, 2.0)]), 1);
        assert_eq!(most_at_once(&[span(0.0, 3.0), span(1.0, 2.0), span(1.5, 4.0), span(3.5, 5.0)]), 3);
    }

    #[test]
    fn a_round_counts_who_began_and_keeps_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let round = Round::new(folder.path(), "parallel-1").unwrap();
        round.begin("1").unwrap();
        round.begin("2").unwrap();
        assert_eq!((round.began(), round.is_released()), (2, false));
        round.release().unwrap();
        assert_eq!((round.began(), round.is_released()), (2, true));
        for bad in ["", "..", "a/b"] {
            assert!(Round::new(folder.path(), bad).is_err(), "{bad}");
        }
    }
}
