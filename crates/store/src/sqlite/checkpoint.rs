//! Moving what is committed from the write-ahead log into the database, beside the writer.
//!
//! A thread copies whenever the log has grown by a few megabytes, and the writer adds a short copy of what came
//! since, between two groups: then nothing is left in the log and it starts from the front again. The thread
//! alone never gets there under load and the log grows without bound; the writer alone stalls for tens of
//! milliseconds. Copying more often than that costs more than it gives: each copy syncs log and database, and a
//! commit that meets these syncs waits for them; and pages that many commits write are copied once for each.
//! When nothing is written for a moment, the rest is copied: then nobody waits for it.
//!
//! The log is made as long as it gets by this when the database is opened: to write over bytes that the file has
//! is one sync of these bytes, to make a file longer is a transaction of the file system's as well.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::backup::beside;

/// Pause between two looks of the thread.
const EVERY: Duration = Duration::from_millis(40);
/// Pages in the log that are not copied yet from which on the thread copies.
const ENOUGH: i64 = 1_000;
/// Looks in a row between which nothing was written before the rest is copied.
const QUIET: u32 = 25;
/// Pages in the log below which the writer need not help.
const SHORT: i64 = 512;
/// What the log is made long to, in bytes: somewhat more than [`ENOUGH`] pages.
const READY_BYTES: u64 = 6 << 20;
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

/// Only looks: the same numbers as [`copy`] tells.
fn look(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// Makes the log of the database at `path` as long as it gets. What is behind the last commit in it is never read.
///
/// # Errors
/// Those of the file system and of the database; nothing depends on this but speed.
pub(super) fn lengthen_log(conn: &Connection, path: &Path) -> Result<(), rusqlite::Error> {
    // Nobody else writes into the log meanwhile.
    conn.execute_batch("BEGIN IMMEDIATE")?;
    if let Err(error) = lengthen(&beside(path, "-wal")) {
        tracing::debug!(%error, "the log could not be lengthened beforehand; it grows by itself");
    }
    conn.execute_batch("ROLLBACK")
}

fn lengthen(log: &Path) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let file = OpenOptions::new().write(true).open(log)?;
    let before = file.metadata()?.len();
    let mut at = before;
    while at < READY_BYTES {
        let length = ZEROS.len().min((READY_BYTES - at) as usize);
        if let Err(error) = file.write_all_at(&ZEROS[..length], at) {
            file.set_len(before)?;
            return Err(error);
        }
        at += length as u64;
    }
    // Else the first commit would have to wait for it.
    if before < READY_BYTES { file.sync_data() } else { Ok(()) }
}

impl Checkpoints {
    /// The thread's work, until closed.
    pub(super) fn run(self: &Arc<Self>, conn: &Connection) {
        let mut quiet = 0;
        while !self.closed.load(Ordering::Acquire) {
            {
                let mut written = self.written.lock();
                // With something left to copy it looks again also when nothing is written.
                while quiet == 0 && !*written && !self.closed.load(Ordering::Acquire) {
                    self.woken.wait(&mut written);
                }
                quiet = if std::mem::take(&mut *written) { 1 } else { quiet + 1 };
            }
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(EVERY);
            match self.step(conn, quiet > QUIET) {
                Ok(left) => {
                    if left == 0 {
                        quiet = 0;
                    }
                }
                Err(error) => {
                    // The log only grows meanwhile, and the writer copies when it is long.
                    tracing::warn!(%error, "a checkpoint failed; it is tried again");
                    // A disk that is full stays so for a while, and each try says so in the log.
                    std::thread::sleep(AFTER_ERROR);
                }
            }
        }
    }

    /// One look, and a copy where there is enough of it or nobody else wants the disk; pages that are left to copy.
    fn step(&self, conn: &Connection, is_quiet: bool) -> rusqlite::Result<i64> {
        let (mut pages, mut copied) = look(conn)?;
        if pages - copied >= ENOUGH || (is_quiet && copied < pages) {
            (pages, copied) = copy(conn)?;
            self.nearly.store(pages > SHORT, Ordering::Release);
        }
        self.pages.store(pages, Ordering::Relaxed);
        Ok(pages - copied)
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
