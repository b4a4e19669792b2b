//! Opening the database: the file, its settings, its schema, and errors that say what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use uuid::Uuid;

use super::error::DbError;
use super::migrate::{MIGRATIONS, MigrateError, migrate};
use super::sql;
use crate::StoreError;

/// How hard a commit is pressed onto the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// An answer survives the loss of power.
    #[default]
    Full,
    /// An answer survives the end of the process, not that of the machine: for tests and throw-away data.
    Off,
}

/// How a [`super::SqliteStore`] is opened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The database file; it and its folder are made where they are missing.
    pub path: PathBuf,
    /// How durable an answer is.
    pub synchronous: Synchronous,
    /// Most work that may wait for the writer before calls are refused as overloaded, in rows (a text counts
    /// as one more row for each KiB). What workers say has as much again for itself, and so have log lines.
    pub queue_rows: usize,
    /// Most memory that the writer uses for pages, in KiB; each reading connection uses up to a quarter of it.
    pub cache_kib: u32,
    /// How long the commands of a group may run before the rest waits for the next commit, in milliseconds.
    pub group_millis: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            synchronous: Synchronous::Full,
            queue_rows: 65_536,
            cache_kib: 8_192,
            group_millis: 2,
        }
    }
}

impl Options {
    /// The usual options for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

/// Statements kept prepared on each connection; more than there are.
const STATEMENTS_KEPT: usize = 128;

/// How long a connection waits for another one's lock. Only checkpoints and recovery ever hold one.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// A sentence about a database that could not be opened.
pub(crate) fn cannot_open(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    StoreError::Open(match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => format!("{path} is not a Regatta database; choose another file"),
        Some(ErrorCode::DatabaseCorrupt) => format!("the database {path} is damaged; restore it from a backup"),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            format!("the database {path} cannot be written ({error}); let this user write to it and its folder")
        }
        Some(ErrorCode::DiskFull) => format!("there is no room for the database {path}; make room on its disk"),
        _ => format!("the database {path} cannot be opened: {error}"),
    })
}

fn configure(conn: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    conn.busy_timeout(BUSY)?;
    // Query Planner Stability Guarantee: without it SQLite looks at what is bound to `LIMIT ?` and prepares the
    // statement anew whenever that changes, which took half the time of a claim.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "temp_store", "memory")
}

/// The writer's connection, with the schema up to date.
pub(super) fn writer(options: &Options) -> Result<Connection, StoreError> {
    let path = &options.path;
    let open = || -> Result<Connection, MigrateError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags)?;
        configure(&conn, options.cache_kib)?;
        conn.pragma_update(None, "journal_mode", "wal")?;
        let synchronous = match options.synchronous {
            Synchronous::Full => "full",
            Synchronous::Off => "off",
        };
        conn.pragma_update(None, "synchronous", synchronous)?;
        // Checkpoints are made beside the writer, see `checkpoint`.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        refuse_foreign(&conn, path)?;
        migrate(&mut conn, MIGRATIONS, env!("CARGO_PKG_VERSION"))?;
        Ok(conn)
    };
    open().map_err(|error| at_migration(path, error))
}

/// A sentence about a database whose schema cannot be used.
pub(super) fn at_migration(path: &Path, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Sql(error) => cannot_open(path, &error),
        MigrateError::Code(DbError::Sql(error)) => cannot_open(path, &error),
        MigrateError::Code(error) => StoreError::Open(format!("{}: {error}", path.display())),
        MigrateError::Refused(why) => StoreError::Open(format!("{}: {why}", path.display())),
        MigrateError::Copy(error) => error,
    }
}

/// Another program's SQLite database is left alone.
pub(super) fn refuse_foreign(conn: &Connection, path: &Path) -> Result<(), MigrateError> {
    let (tables, ours): (i64, i64) = conn.query_row(
        "SELECT count(*), count(*) FILTER (WHERE name = 'schema_migrations') FROM sqlite_schema WHERE type = 'table'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if tables > 0 && ours == 0 {
        return Err(MigrateError::Refused(format!(
            "{} is another program's database; choose another file",
            path.display()
        )));
    }
    Ok(())
}

/// A connection that changes a few rows beside the writer, whose process need not be this one. Its commits are as durable.
pub(super) fn beside(options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&options.path, flags)?;
    conn.busy_timeout(BUSY)?;
    let synchronous = if options.synchronous == Synchronous::Off { "off" } else { "full" };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

/// A connection that only reads.
pub(super) fn reader(options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&options.path, flags)?;
    configure(&conn, options.cache_kib / 4)?;
    Ok(conn)
}

/// A connection that only makes checkpoints.
pub(super) fn checkpointer(options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&options.path, flags)?;
    conn.busy_timeout(Duration::ZERO)?;
    // The database must be on the disk before the log is written over.
    let synchronous = if options.synchronous == Synchronous::Off { "off" } else { "full" };
    conn.pragma_update(None, "synchronous", synchronous)?;
    Ok(conn)
}

/// The id of this store, made at its first opening: results from another one's workers are told apart by it.
pub(super) fn cluster_id(conn: &Connection) -> rusqlite::Result<Uuid> {
    let found =
        conn.prepare_cached(sql::META)?.query_row(["cluster_id"], |row| row.get::<_, [u8; 16]>(0)).optional()?;
    if let Some(bytes) = found {
        return Ok(Uuid::from_bytes(bytes));
    }
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    conn.prepare_cached(sql::SET_META)?.execute(rusqlite::params!["cluster_id", id.as_bytes()])?;
    Ok(id)
}
