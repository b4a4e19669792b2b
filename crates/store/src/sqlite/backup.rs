//! Copies of a database: whole, of one moment, and looked at before anybody relies on them.
//!
//! A copy is made with `VACUUM INTO` over a connection of its own: one read transaction, so a server may go on writing,
//! and nothing it commits meanwhile gets in or makes the copy begin anew (SQLite's online backup API begins anew after every
//! commit of another connection, unless it copies in one step, and carries free pages and the journal mode along). While a
//! copy is made the server's log cannot start from the front, so it grows by what is written meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use regatta_model::TaskKey;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::DbError;
use super::migrate::{self, MIGRATIONS, MigrateError};
use super::open;
use super::rows::{SUBTASKS, TASKS};
use crate::StoreError;

/// What is in a copy of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The newest schema change in it.
    pub schema: i64,
    /// The rows of each table, by name.
    pub rows: BTreeMap<String, u64>,
}

/// A path with something at its end: `regatta.db` and `.part` make `regatta.db.part`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a rename in a folder did is on the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An empty file that only its owner reads: what tasks say and what tokens hash to is in it.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    remove_if_there(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A sentence about a copy that could not be written.
fn not_written(target: &Path, error: &dyn std::fmt::Display, full: bool) -> StoreError {
    let advice = if full { "make room on its disk" } else { "choose another place, or let this user write there" };
    StoreError::Open(format!("the copy {} cannot be written: {error}; {advice}", target.display()))
}

fn at_file(target: &Path) -> impl Fn(io::Error) -> StoreError {
    move |error| not_written(target, &error, error.kind() == io::ErrorKind::StorageFull)
}

/// Copies what `conn` sees at one moment into `target`, whole or not at all; what was there is replaced.
pub(super) fn copy(conn: &Connection, target: &Path) -> Result<(), StoreError> {
    copy_and(conn, target, |_| Ok(()))
}

/// [`copy`], which `look`s at the copy before it gets its name.
fn copy_and<T>(
    conn: &Connection,
    target: &Path,
    look: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let part = beside(target, ".part");
    let made = copy_to_part(conn, target, &part).and_then(|()| look(&part)).and_then(|looked| {
        std::fs::rename(&part, target).and_then(|()| sync_folder(target)).map_err(at_file(target))?;
        Ok(looked)
    });
    if made.is_err() {
        // What is left of it helps nobody; the error that is told is the first one.
        let _ = remove_if_there(&part);
    }
    made
}

fn copy_to_part(conn: &Connection, target: &Path, part: &Path) -> Result<(), StoreError> {
    let Some(name) = part.to_str() else {
        return Err(StoreError::Open(format!("{} is no name in UTF-8; choose another", target.display())));
    };
    let file = private_file(part).map_err(at_file(target))?;
    conn.execute("VACUUM INTO ?1", [name]).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DbError::from(error).into(),
        code => not_written(target, &error, code == Some(ErrorCode::DiskFull)),
    })?;
    file.sync_all().map_err(at_file(target))
}

/// A file that is there is not replaced unasked.
pub(crate) fn refuse_existing(target: &Path, replace: bool) -> Result<(), StoreError> {
    if target.exists() && !replace {
        return Err(StoreError::Open(format!(
            "{} is there already; choose another file, or replace it with --force",
            target.display()
        )));
    }
    Ok(())
}

/// Copies a database into a file, whether a server runs on it or not, and looks at the copy before it is called that.
///
/// # Errors
/// [`StoreError::Open`] with what to do: there is no database, the file is there already (without `replace`), it cannot
/// be written, or what was copied is damaged.
pub fn backup(database: &Path, target: &Path, replace: bool) -> Result<Contents, StoreError> {
    if !database.exists() {
        return Err(StoreError::Open(format!(
            "there is no database {}; name the one to back up with --database or --data-dir",
            database.display()
        )));
    }
    refuse_existing(target, replace)?;
    if std::fs::canonicalize(target).ok().is_some_and(|same| std::fs::canonicalize(database).ok() == Some(same)) {
        return Err(StoreError::Open(format!("{} is the database itself; choose another file", target.display())));
    }
    let at_database = |error: rusqlite::Error| open::cannot_open(database, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database, flags).map_err(at_database)?;
    conn.busy_timeout(open::BUSY).map_err(at_database)?;
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(at_database)?;
    if tables == 0 {
        return Err(StoreError::Open(format!("{} is empty; there is nothing to back up", database.display())));
    }
    open::refuse_foreign(&conn, database).map_err(|error| open::at_migration(database, error))?;
    copy_and(&conn, target, inspect)
}

/// Looks at a copy of a database: whether it is sound, can be used by this regatta, and agrees with its own counts.
/// Nothing is changed, and nothing is written beside it.
///
/// # Errors
/// [`StoreError::Open`] with what is wrong with it.
pub fn inspect(file: &Path) -> Result<Contents, StoreError> {
    let unusable = |why: &dyn std::fmt::Display| StoreError::Open(format!("{}: {why}", file.display()));
    let bytes = std::fs::metadata(file).map_err(|error| unusable(&error))?.len();
    if std::fs::metadata(beside(file, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(unusable(
            &"it has a write-ahead log beside it, so it is no finished copy; make one with regatta backup",
        ));
    }
    if bytes == 0 {
        return Err(unusable(&"it is empty; choose another file"));
    }
    let conn = immutable(file)?;
    let at_file = |error: rusqlite::Error| open::cannot_open(file, &error);
    let ours: i64 = conn
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('schema_migrations', 'tasks', 'meta')",
            [],
            |row| row.get(0),
        )
        .map_err(at_file)?;
    if ours != 3 {
        return Err(unusable(&"it is no backup of a Regatta database; choose another file"));
    }
    let schema = migrate::check(&conn, MIGRATIONS, env!("CARGO_PKG_VERSION"))
        .map_err(|error: MigrateError| open::at_migration(file, error))?
        .into_iter()
        .max()
        .unwrap_or(0);
    let sound: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(at_file)?;
    if sound != "ok" {
        return Err(unusable(&format!("it is damaged ({sound}); use another backup")));
    }
    let rows = count(&conn).map_err(at_file)?;
    // Of a deleted task there may be rows left.
    let of_tasks = format!("WHERE key / {} IN (SELECT key FROM tasks)", TaskKey(1).subtask(0).0);
    for (kind, table, known) in [(TASKS, "tasks", ""), (SUBTASKS, "subtasks", of_tasks.as_str())] {
        let counted: i64 = conn
            .query_row("SELECT coalesce(sum(count), 0) FROM counters WHERE kind = ?1", [kind], |row| row.get(0))
            .map_err(at_file)?;
        let found: i64 =
            conn.query_row(&format!("SELECT count(*) FROM {table} {known}"), [], |row| row.get(0)).map_err(at_file)?;
        if found != counted {
            return Err(unusable(&format!(
                "it is not whole: {found} {table} are in it where {counted} were counted; use another backup"
            )));
        }
    }
    Ok(Contents { bytes, schema, rows })
}

/// A connection to a file that nobody changes: SQLite makes no files beside it and takes no locks.
pub(crate) fn immutable(file: &Path) -> Result<Connection, StoreError> {
    let absolute = std::path::absolute(file)
        .map_err(|error| StoreError::Open(format!("{} cannot be used: {error}", file.display())))?;
    let Some(name) = absolute.to_str() else {
        return Err(StoreError::Open(format!("{} is no name in UTF-8; choose another", file.display())));
    };
    // https://sqlite.org/uri.html: these three mean something in the path of a URI.
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)
        .map_err(|error| open::cannot_open(file, &error))
}

fn count(conn: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut statement =
        conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut counts = BTreeMap::new();
    for name in names {
        let rows: i64 =
            conn.query_row(&format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\"")), [], |row| row.get(0))?;
        counts.insert(name, rows.unsigned_abs());
    }
    Ok(counts)
}
