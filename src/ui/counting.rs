//! A line that counts, for work of a known kind and an unknown end; only on a terminal.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is drawn, at most.
const EVERY: Duration = Duration::from_millis(100);

/// The line. It is gone when this is.
pub struct Counting {
    /// When it was drawn last; `None` where it is not drawn.
    drawn: Cell<Option<Instant>>,
}

impl Counting {
    /// Draws nothing when `quiet`, and where standard error is no terminal.
    pub fn new(quiet: bool) -> Self {
        let shows = !quiet && std::io::stderr().is_terminal();
        Self { drawn: Cell::new(shows.then(Instant::now)) }
    }

    /// How far it is.
    pub fn show(&self, what: &str, count: u64) {
        if self.drawn.get().is_some_and(|drawn| drawn.elapsed() >= EVERY) {
            self.drawn.set(Some(Instant::now()));
            // Where this cannot be written, nobody reads it.
            let _ = write!(std::io::stderr(), "\r\x1b[K{what}: {count}");
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if self.drawn.get().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
