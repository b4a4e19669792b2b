//! The schema's way forward: numbered files, each applied once, in order, in a transaction of its own.

use std::path::Path;

use rusqlite::{Connection, params};

use super::backup;
use super::error::DbError;
use super::pack_wide;
use crate::StoreError;
use crate::schema::{self, Applied, File, checksum, min_binary};

/// Changes rows as SQL alone cannot.
type Code = fn(&Connection) -> Result<(), DbError>;

/// A step of the schema.
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    /// What SQL cannot do, after it and in the same transaction.
    pub(super) code: Option<Code>,
}

/// All steps, in order.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "ledger", sql: include_str!("../../migrations/sqlite/0001_ledger.sql"), code: None },
    Migration {
        version: 2,
        name: "order_in_memory",
        sql: include_str!("../../migrations/sqlite/0002_order_in_memory.sql"),
        code: None,
    },
    Migration {
        version: 3,
        name: "packed_subtasks",
        sql: include_str!("../../migrations/sqlite/0003_packed_subtasks.sql"),
        code: Some(pack_wide::pack),
    },
    Migration {
        version: 4,
        name: "packed_events",
        sql: include_str!("../../migrations/sqlite/0004_packed_events.sql"),
        code: None,
    },
    Migration {
        version: 5,
        name: "worker_figures",
        sql: include_str!("../../migrations/sqlite/0005_worker_figures.sql"),
        code: None,
    },
    Migration { version: 6, name: "tokens", sql: include_str!("../../migrations/sqlite/0006_tokens.sql"), code: None },
    Migration {
        version: 7,
        name: "fewer_indexes",
        sql: include_str!("../../migrations/sqlite/0007_fewer_indexes.sql"),
        code: None,
    },
];

const TABLE: &str = include_str!("../../migrations/sqlite/schema_migrations.sql");

/// Why the schema cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
    #[error("{0}")]
    Code(#[from] DbError),
    #[error("{0}")]
    Refused(String),
    /// No copy of the database could be made before it is changed.
    #[error("{0}")]
    Copy(StoreError),
}

impl Migration {
    fn file(&self) -> File {
        File { version: self.version, name: self.name, sql: self.sql }
    }
}

/// The files of this binary.
pub(super) fn files(migrations: &[Migration]) -> impl Iterator<Item = File> + Clone {
    migrations.iter().map(Migration::file)
}

/// The changes that were applied, when this binary can work with them.
pub(super) fn check(conn: &Connection, migrations: &[Migration], binary: &str) -> Result<Vec<i64>, MigrateError> {
    let applied: Vec<Applied> = {
        let mut statement =
            conn.prepare("SELECT version, checksum, min_binary FROM schema_migrations ORDER BY version")?;
        let rows = statement.query_map([], |row| {
            Ok(Applied { version: row.get(0)?, checksum: row.get(1)?, min_binary: row.get(2)? })
        })?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    schema::check(&applied, files(migrations), binary).map_err(MigrateError::Refused)
}

/// A copy of a database before its first change that is missing: who wants the older regatta back has what it needs.
fn keep_copy(conn: &Connection, version: i64) -> Result<(), MigrateError> {
    // A database in memory has no path.
    let Some(path) = conn.path().filter(|path| !path.is_empty()) else { return Ok(()) };
    let copy = backup::beside(Path::new(path), &format!(".before-v{version}"));
    backup::copy(conn, &copy).map_err(MigrateError::Copy)?;
    tracing::info!(copy = %copy.display(), "the database is kept as it was before its schema changes");
    Ok(())
}

/// Applies what is missing. An existing database is copied before.
pub(super) fn migrate(conn: &mut Connection, migrations: &[Migration], binary: &str) -> Result<(), MigrateError> {
    conn.execute_batch(TABLE)?;
    let applied = check(conn, migrations, binary)?;
    let missing = migrations.iter().find(|migration| !applied.contains(&migration.version));
    if let Some(missing) = missing
        && !applied.is_empty()
    {
        keep_copy(conn, missing.version)?;
    }
    for migration in migrations {
        if applied.contains(&migration.version) {
            continue;
        }
        let transaction = conn.transaction()?;
        transaction.execute_batch(migration.sql)?;
        if let Some(code) = migration.code {
            code(&transaction)?;
        }
        transaction.execute(
            "INSERT INTO schema_migrations (version, name, checksum, min_binary, applied_at)
             VALUES (?1, ?2, ?3, ?4, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
            params![migration.version, migration.name, checksum(migration.sql), min_binary(migration.sql)],
        )?;
        transaction.commit()?;
        tracing::info!(version = migration.version, name = migration.name, "schema changed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration { version: 1, name: "one", sql: "CREATE TABLE a (x);", code: None };

    const SECOND: Migration = Migration { version: 2, name: "two", ..FIRST };

    fn columns(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM pragma_table_info('a')", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_step_is_applied_once_and_in_order() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &[FIRST], "0.1.0").unwrap();
        let second = Migration { sql: "-- min_binary: 0.2.0\nALTER TABLE a ADD COLUMN y;", ..SECOND };
        migrate(&mut conn, &[FIRST, second], "0.2.0").unwrap();
        assert_eq!(columns(&conn), 2);
        migrate(&mut conn, &[FIRST], "0.3.0").unwrap();
        let refused = migrate(&mut conn, &[FIRST], "0.1.9").unwrap_err().to_string();
        assert!(refused.contains("at least version 0.2.0"), "{refused}");
    }

    #[test]
    fn a_step_that_was_changed_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &[FIRST], "0.1.0").unwrap();
        let changed = Migration { sql: "CREATE TABLE a (x, y);", ..FIRST };
        assert!(migrate(&mut conn, &[changed], "0.1.0").is_err());
    }

    /// A database of the first schema with something in it.
    fn of_the_first_schema(path: &Path) -> Connection {
        let mut conn = Connection::open(path).unwrap();
        migrate(&mut conn, &MIGRATIONS[..1], "0.1.0").unwrap();
        conn.execute_batch("INSERT INTO meta VALUES ('kept', 7)").unwrap();
        conn
    }

    #[test]
    fn a_database_is_copied_before_it_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regatta.db");
        let copy = folder.path().join("regatta.db.before-v2");
        let mut conn = of_the_first_schema(&path);
        assert!(!copy.exists(), "a new database is not copied");
        migrate(&mut conn, MIGRATIONS, "0.1.0").unwrap();
        let kept = Connection::open(&copy).unwrap();
        let value: i64 = kept.query_row("SELECT value FROM meta WHERE name = 'kept'", [], |row| row.get(0)).unwrap();
        assert_eq!((value, check(&kept, MIGRATIONS, "0.1.0").unwrap()), (7, vec![1]));
        assert!(kept.prepare("SELECT due_at FROM subtasks").is_ok(), "with the tables of then");
        // With nothing to change there is nothing to copy.
        std::fs::remove_file(&copy).unwrap();
        migrate(&mut conn, MIGRATIONS, "0.1.0").unwrap();
        assert!(!copy.exists());
    }

    #[test]
    fn without_a_copy_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regatta.db");
        let mut conn = of_the_first_schema(&path);
        // A folder that is not empty is no place for a copy.
        std::fs::create_dir_all(folder.path().join("regatta.db.before-v2/x")).unwrap();
        let refused = migrate(&mut conn, MIGRATIONS, "0.1.0").unwrap_err().to_string();
        assert!(refused.contains("the copy") && refused.contains("cannot be written"), "{refused}");
        assert_eq!(check(&conn, MIGRATIONS, "0.1.0").unwrap(), [1]);
        assert!(!folder.path().join("regatta.db.before-v2.part").exists());
    }

    #[test]
    fn a_step_that_fails_leaves_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        let broken = Migration { sql: "ALTER TABLE a ADD COLUMN y; SELECT nonsense;", ..SECOND };
        assert!(migrate(&mut conn, &[FIRST, broken], "0.1.0").is_err());
        assert_eq!(columns(&conn), 1);
        let code: Code = |_| Err(DbError::Corrupt("a row".into()));
        let broken = Migration { sql: "ALTER TABLE a ADD COLUMN y;", code: Some(code), ..SECOND };
        assert!(migrate(&mut conn, &[FIRST, broken], "0.1.0").is_err());
        assert_eq!(columns(&conn), 1);
    }
}
