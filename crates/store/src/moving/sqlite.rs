//! The file's side.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{BATCH, COUNTERS, Meta, Row, Sum, Sums, TABLES, Table, Value};
use crate::StoreError;
use crate::sqlite::files;

/// Rows on their way, with the place of their table.
pub(super) type Batches = mpsc::Sender<Result<(usize, Vec<Row>), StoreError>>;

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Real(number),
        // PostgreSQL has no text with a NUL in it, see `without_nul`.
        ValueRef::Text(text) => Value::Text(crate::postgres::without_nul(&String::from_utf8_lossy(text)).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

fn select(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|(column, _)| format!("x.{column}")).collect();
    let which = if table.name == COUNTERS { " WHERE count <> 0".to_owned() } else { table.which() };
    format!("SELECT {} FROM {} AS x{which}", columns.join(", "), table.name)
}

/// Calls `each` with every row of a table.
fn read(
    conn: &Connection,
    table: &Table,
    mut each: impl FnMut(Row) -> Result<(), StoreError>,
) -> Result<Sum, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Open(format!("{} cannot be read: {error}", table.name));
    let mut statement = conn.prepare(&select(table)).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut sum = Sum::default();
    while let Some(row) = rows.next().map_err(failed)? {
        let row: rusqlite::Result<Row> =
            (0..table.columns.len()).map(|column| Ok(value(row.get_ref(column)?))).collect();
        let row = row.map_err(failed)?;
        sum.add(&row);
        each(row)?;
    }
    Ok(sum)
}

/// Sends all rows of a finished file, and says what they came to.
pub(super) fn send(file: &Path, to: &Batches) -> Result<Sums, StoreError> {
    let conn = files::immutable(file)?;
    let old: i64 = conn
        .query_row("SELECT count(*) FROM events WHERE packed IS NULL", [], |row| row.get(0))
        .map_err(|error| files::cannot_open(file, &error))?;
    if old > 0 {
        return Err(StoreError::Open(format!(
            "{} has {old} events of the first version, which cannot be moved; remove the tasks they belong to before",
            file.display()
        )));
    }
    let gone = |_| StoreError::Closed;
    let mut sums = Sums::new();
    for (place, table) in TABLES.iter().enumerate() {
        let mut batch = Vec::with_capacity(BATCH);
        let sum = read(&conn, table, |row| {
            batch.push(row);
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                to.blocking_send(Ok((place, full))).map_err(gone)?;
            }
            Ok(())
        })?;
        // The last of a table, which may be empty.
        to.blocking_send(Ok((place, batch))).map_err(gone)?;
        sums.insert(table.name, sum);
    }
    Ok(sums)
}

/// The sums of a finished file.
pub(super) fn sums(file: &Path) -> Result<Sums, StoreError> {
    let conn = files::immutable(file)?;
    TABLES.iter().map(|table| Ok((table.name, read(&conn, table, |_| Ok(()))?))).collect()
}

/// The single values of a finished file.
pub(super) fn meta(file: &Path) -> Result<Meta, StoreError> {
    let conn = files::immutable(file)?;
    let noted = |name: &str| -> Result<Value, StoreError> {
        let found = conn.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| Ok(value(row.get_ref(0)?)));
        match found {
            Ok(value) => Ok(value),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(Value::Null),
            Err(error) => Err(files::cannot_open(file, &error)),
        }
    };
    let number = |name: &str| Ok::<_, StoreError>(if let Value::Int(number) = noted(name)? { number } else { 0 });
    let cluster = match noted("cluster_id")? {
        Value::Blob(bytes) => Uuid::from_slice(&bytes).ok(),
        _ => None,
    };
    let cluster = cluster.ok_or_else(|| StoreError::Open(format!("{} has no cluster id", file.display())))?;
    Ok(Meta { cluster, last_task: number("last_task")?, last_worker: number("last_worker")? })
}

/// Puts rows into a new file as they come. The file is whole and on the disk when this returns.
pub(super) fn receive(
    file: &Path,
    meta: &Meta,
    mut from: mpsc::Receiver<Result<(usize, Vec<Row>), StoreError>>,
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| files::cannot_open(file, &error);
    let conn = files::new_database(file)?;
    conn.execute_batch("BEGIN; DELETE FROM lanes; DELETE FROM counters").map_err(failed)?;
    while let Some(batch) = from.blocking_recv() {
        let (place, rows) = batch?;
        let table = &TABLES[place];
        let mut columns: Vec<&str> = table.columns.iter().map(|(column, _)| *column).collect();
        let mut values: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
        if table.name == "events" {
            // As the store writes those that are packed.
            columns.push("records");
            values.push("''".into());
        }
        let sql = format!("INSERT INTO {} ({}) VALUES ({})", table.name, columns.join(", "), values.join(", "));
        let mut insert = conn.prepare_cached(&sql).map_err(failed)?;
        for row in rows {
            insert.execute(params_from_iter(row)).map_err(failed)?;
        }
    }
    let note = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let mut note = conn.prepare(note).map_err(failed)?;
    note.execute(("cluster_id", meta.cluster.as_bytes().as_slice())).map_err(failed)?;
    note.execute(("last_task", meta.last_task)).map_err(failed)?;
    note.execute(("last_worker", meta.last_worker)).map_err(failed)?;
    drop(note);
    conn.execute_batch("COMMIT; PRAGMA journal_mode = delete").map_err(failed)
}
