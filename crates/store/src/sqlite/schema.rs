//! Looking at a database's schema, and changing it, without a store: for those who do that before a server starts.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::lock::DatabaseLock;
use super::make_folder;
use super::migrate::{MIGRATIONS, files};
use super::open::{self, Options};
use crate::StoreError;
use crate::schema::{SchemaChange, list};

/// Brings the schema up to date; a database that is not there is made.
///
/// # Errors
/// As [`super::SqliteStore::open`].
pub fn migrate(path: &Path) -> Result<(), StoreError> {
    make_folder(path)?;
    let lock = DatabaseLock::take(path)?;
    open::writer(&Options::new(path))?;
    drop(lock);
    Ok(())
}

/// Every change that this binary or the database knows, in order. Nothing is changed, and a database that is not there is not
/// made. A server may use it meanwhile.
///
/// # Errors
/// [`StoreError::Open`] when the file cannot be read or is no database.
pub fn schema(path: &Path) -> Result<Vec<SchemaChange>, StoreError> {
    let applied = match path.exists() {
        true => applied(path).map_err(|error| open::cannot_open(path, &error))?,
        false => Vec::new(),
    };
    Ok(list(files(MIGRATIONS), applied))
}

fn applied(path: &Path) -> rusqlite::Result<Vec<SchemaChange>> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let known: Option<i64> = conn
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'", [], |row| {
            row.get(0)
        })
        .optional()?;
    if known.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare("SELECT version, name, applied_at FROM schema_migrations ORDER BY version")?;
    let rows = statement
        .query_map([], |row| Ok(SchemaChange { version: row.get(0)?, name: row.get(1)?, applied_at: row.get(2)? }))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_changes_nothing_and_migrating_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regatta.db");
        let before = schema(&path).unwrap();
        assert!(!before.is_empty() && before.iter().all(|change| change.applied_at.is_none()));
        assert!(!path.exists());

        migrate(&path).unwrap();
        let after = schema(&path).unwrap();
        assert_eq!(after.len(), before.len());
        assert!(after.iter().all(|change| change.applied_at.is_some()));
        migrate(&path).unwrap();
        assert_eq!(schema(&path).unwrap(), after);
    }

    #[test]
    fn what_is_no_database_is_told_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a database, but long enough to be looked at as one").unwrap();
        let error = schema(file.path()).unwrap_err().to_string();
        assert!(error.contains("is not a Regatta database"), "{error}");
    }
}
