//! A backup takes the place of a database, at one stroke.
//!
//! At every moment of it either the old database is there with its log or the new one without: the old one's log is
//! folded in before, because SQLite would read a log that is left behind into the new file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::backup::{Contents, beside, inspect, private_file, remove_if_there, sync_folder};
use super::lock::DatabaseLock;
use super::open;
use super::{make_folder, sql};
use crate::StoreError;

/// Where the time of the restore is kept, in microseconds since 1970.
pub(super) const RESTORED_AT: &str = "restored_at";

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What is in the database now.
    pub contents: Contents,
    /// The database that was there before.
    pub replaced: Option<PathBuf>,
}

fn failed(database: &Path) -> impl Fn(io::Error) -> StoreError {
    move |error| {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull => "make room on its disk",
            _ => "let this user write to its folder",
        };
        StoreError::Open(format!("the database {} cannot be replaced: {error}; {advice}", database.display()))
    }
}

/// Puts a backup in the place of a database on which no server runs. With `replace` one that is there is kept beside,
/// under its name with `.replaced-` and `stamp`. The time `now` is noted in it, in microseconds since 1970.
///
/// # Errors
/// [`StoreError::Open`] with what to do: the file is no backup or damaged or too new, a server uses the database, there is
/// one already (without `replace`), or the files cannot be written. Nothing was changed then.
pub fn restore(file: &Path, database: &Path, replace: bool, stamp: &str, now: i64) -> Result<Restored, StoreError> {
    let contents = inspect(file)?;
    if std::fs::canonicalize(file).ok().is_some_and(|same| std::fs::canonicalize(database).ok() == Some(same)) {
        return Err(StoreError::Open(format!("{} is the database itself; name a backup of it", file.display())));
    }
    make_folder(database)?;
    let _lock = DatabaseLock::take(database)?;
    let there = database.exists() || beside(database, "-wal").exists();
    if there && !replace {
        return Err(StoreError::Open(format!(
            "there is a database {} already; restore to another one, or replace it with --force (it is kept beside)",
            database.display()
        )));
    }
    let at_database = failed(database);
    let next = beside(database, ".restoring");
    let made = make_next(file, &next, database, now);
    if made.is_err() {
        // What is left of it helps nobody; the error that is told is the first one.
        let _ = remove_if_there(&next);
    }
    made?;
    let replaced = if there { Some(keep_old(database, stamp).map_err(&at_database)?) } else { None };
    std::fs::rename(&next, database).and_then(|()| sync_folder(database)).map_err(&at_database)?;
    Ok(Restored { contents, replaced })
}

/// The database that is to be, whole and on the disk, under another name.
fn make_next(file: &Path, next: &Path, database: &Path, now: i64) -> Result<(), StoreError> {
    let at_database = failed(database);
    for ending in ["-wal", "-shm", "-journal"] {
        // Of an earlier try that was cut off.
        remove_if_there(&beside(next, ending)).map_err(&at_database)?;
    }
    let mut from = File::open(file).map_err(&at_database)?;
    let mut to = private_file(next).map_err(&at_database)?;
    io::copy(&mut from, &mut to).map_err(&at_database)?;
    to.sync_all().map_err(&at_database)?;
    let noted = || -> rusqlite::Result<()> {
        let conn = Connection::open_with_flags(next, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // No log beside it: the file alone is renamed.
        conn.pragma_update(None, "journal_mode", "delete")?;
        conn.pragma_update(None, "synchronous", "full")?;
        conn.execute(sql::SET_META, params![RESTORED_AT, now])?;
        Ok(())
    };
    noted().map_err(|error| open::cannot_open(next, &error))?;
    to.sync_all().map_err(&at_database)
}

/// Gives the old database a second name, with everything that was committed to it.
fn keep_old(database: &Path, stamp: &str) -> io::Result<PathBuf> {
    let mut kept = beside(database, &format!(".replaced-{stamp}"));
    let mut number = 1;
    while kept.exists() {
        number += 1;
        kept = beside(database, &format!(".replaced-{stamp}-{number}"));
    }
    if let Err(error) = fold_log(database) {
        // Damaged, perhaps that is why there is a restore: its log is kept beside it as it is.
        tracing::warn!(%error, database = %database.display(), "the old database's log cannot be folded into it");
        let log = beside(database, "-wal");
        if log.exists() {
            std::fs::rename(&log, beside(&kept, "-wal"))?;
        }
    }
    remove_if_there(&beside(database, "-wal"))?;
    remove_if_there(&beside(database, "-shm"))?;
    if !database.exists() {
        return Ok(kept);
    }
    // A second name for the same file, so that there is a database at every moment; where there are no links, a copy.
    if std::fs::hard_link(database, &kept).is_err() {
        std::fs::copy(database, &kept)?;
        File::open(&kept)?.sync_all()?;
    }
    sync_folder(database)?;
    Ok(kept)
}

/// After it everything committed is in the file itself.
fn fold_log(database: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database, flags)?;
    conn.busy_timeout(open::BUSY)?;
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("another process reads the database".to_owned()),
        ));
    }
    Ok(())
}
