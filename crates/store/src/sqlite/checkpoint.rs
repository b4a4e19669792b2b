//! Moving what is committed from the write-ahead log into the database, beside the writer.
//!
//! A thread copies every few milliseconds while something is written, and the writer adds a short copy of what
//! came since, between two groups: then nothing is left in the log and it starts from the front again. The
//! thread alone never gets there under load and the log grows without bound; the writer alone stalls for tens
//! of milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

/// Pause between two copies of the thread.
const EVERY: Duration = Duration::from_millis(40);
/// Pages in the log below which the writer need not help.
const SHORT: i64 = 512;
/// Pages in the log (64 MiB) beyond which the writer copies by itself, whatever it costs.
const LONG: i64 = 16_384;

/// What the writer and the thread tell each other.
#[derive(Default)]
pub(super) struct Checkpoints {
    /// Something was written since the last copy.
    written: Mutex<bool>,
    woken: Condvar,
    closed: AtomicBool,
    /// Pages in the log at the last copy.
    pages: AtomicI64,
    /// The thread has just copied, so little is left.
    nearly: AtomicBool,
}

/// How long is waited after a copy that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// One passive copy: pages in the log, and pages of them that are copied.
fn copy(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

impl Checkpoints {
    /// The thread's work, until closed.
    pub(super) fn run(self: &Arc<Self>, conn: &Connection) {
        while !self.closed.load(Ordering::Acquire) {
            {
                let mut written = self.written.lock();
                while !*written && !self.closed.load(Ordering::Acquire) {
                    self.woken.wait(&mut written);
                }
                *written = false;
            }
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(EVERY);
            match copy(conn) {
                Ok((pages, copied)) => {
                    self.pages.store(pages, Ordering::Relaxed);
                    self.nearly.store(pages > SHORT, Ordering::Release);
                    if copied < pages {
                        *self.written.lock() = true;
                    }
                }
                Err(error) => {
                    // The log only grows meanwhile, and the writer copies when it is long.
                    tracing::warn!(%error, "a checkpoint failed; it is tried again");
                    *self.written.lock() = true;
                    // A disk that is full stays so for a while, and each try says so in the log.
                    std::thread::sleep(AFTER_ERROR);
                }
            }
        }
    }

    /// Told by the writer after each commit, between two groups.
    pub(super) fn committed(&self, conn: &Connection) {
        {
            let mut written = self.written.lock();
            if !*written {
                *written = true;
                self.woken.notify_one();
            }
        }
        if self.nearly.swap(false, Ordering::AcqRel) || self.pages.load(Ordering::Relaxed) > LONG {
            match copy(conn) {
                Ok((pages, _)) => self.pages.store(pages, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "a checkpoint of the writer failed; it is tried again"),
            }
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let _written = self.written.lock();
        self.woken.notify_all();
    }
}
