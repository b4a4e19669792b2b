//! A SQLite file's contents in an empty PostgreSQL database.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt;
use regatta_model::command::Resume;
use regatta_model::ledger::ProgressChange;
use regatta_model::{Timestamp, WorkerId};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{Kind, Meta, Row, Sums, TABLES, Table, Value, WAITING, compare, counts, from_postgres, sqlite};
use crate::postgres::{self, DbError, PostgresStore, connect_to};
use crate::sqlite::inspect;
use crate::{Committed, Sink, Store, StoreError, StoreExt};

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The rows of each table, by name.
    pub rows: BTreeMap<String, u64>,
    /// Subtasks that ran and are in the queue again.
    pub requeued: u64,
}

/// Nobody watches.
struct Nobody;

impl Sink for Nobody {
    fn progressed(&self, _: &[ProgressChange]) {}
    fn committed(&self, _: Committed) {}
}

fn columns(table: &Table) -> String {
    let own = table.columns.iter().map(|(column, _)| *column);
    own.chain(table.added.iter().map(|(column, _)| *column)).collect::<Vec<_>>().join(", ")
}

/// Adds a value in the text form of COPY.
fn push(line: &mut String, value: &Value, kind: Kind) -> Result<(), StoreError> {
    let unfit = || StoreError::Database(format!("{value:?} in a column of the kind {kind:?}"));
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| unfit());
    match (value, kind) {
        (Value::Null, _) => line.push_str("\\N"),
        (Value::Int(number), Kind::Bool) => line.push(if *number == 0 { 'f' } else { 't' }),
        (Value::Int(number), _) => {
            let _ = write!(line, "{number}");
        }
        (Value::Real(number), _) => {
            let _ = write!(line, "{number:?}");
        }
        (Value::Text(text), _) => {
            for character in text.chars() {
                match character {
                    '\\' => line.push_str("\\\\"),
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    '\t' => line.push_str("\\t"),
                    other => line.push(other),
                }
            }
        }
        (Value::Blob(bytes), Kind::Uuid) => {
            let _ = write!(line, "{}", uuid(bytes)?);
        }
        (Value::Blob(bytes), Kind::Uuids) => {
            let ids: Result<Vec<Uuid>, StoreError> = bytes.chunks(16).map(uuid).collect();
            let ids: Vec<String> = ids?.iter().map(Uuid::to_string).collect();
            let _ = write!(line, "{{{}}}", ids.join(","));
        }
        (Value::Blob(bytes), _) => {
            line.push_str("\\\\x");
            for byte in bytes {
                let _ = write!(line, "{byte:02x}");
            }
        }
    }
    Ok(())
}

fn lines(table: &Table, rows: &[Row]) -> Result<Bytes, StoreError> {
    let mut text = String::with_capacity(rows.len() * 256);
    for row in rows {
        for (place, (value, (_, kind))) in row.iter().zip(table.columns).enumerate() {
            if place > 0 {
                text.push('\t');
            }
            push(&mut text, value, *kind)?;
        }
        if let Some((_, of)) = &table.added {
            text.push('\t');
            push(&mut text, &of(row)?, Kind::Int)?;
        }
        text.push('\n');
    }
    Ok(text.into())
}

/// Brings what is in a finished SQLite file, as [`export`](super::export) and a backup make them, into an empty PostgreSQL
/// database, whole or not at all. What ran goes back to the queue: the next lease of each has a higher epoch, so that what its
/// former worker may still report counts no more. The servers on the file must be stopped, and none may run on the database.
/// `progress` hears of each table's rows as they come.
///
/// # Errors
/// [`StoreError::Open`] with what to do: the file is none, or damaged; the database cannot be reached, is not empty, or is in use.
pub async fn import(
    file: &Path,
    url: &str,
    now: Timestamp,
    progress: impl FnMut(&str, u64),
) -> Result<Imported, StoreError> {
    let path = file.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        inspect(&path)?;
        sqlite::meta(&path)
    });
    let meta = looking.await.map_err(|error| StoreError::Open(format!("reading was given up: {error}")))??;
    postgres::migrate(url).await?;
    let client = connect_to(url, "import").await?;
    let sums = match fill(&client, file, &meta, now, progress).await {
        Ok(sums) => sums,
        Err(error) => {
            // It ends with the connection in any case.
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(error);
        }
    };
    let requeued = requeue(&client, url, now).await?;
    Ok(Imported { rows: counts(&sums), requeued })
}

async fn fill(
    client: &Client,
    file: &Path,
    meta: &Meta,
    now: Timestamp,
    mut progress: impl FnMut(&str, u64),
) -> Result<Sums, StoreError> {
    let names = TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
    let in_use = |why: &dyn std::fmt::Display| {
        StoreError::Open(format!("the database is in use ({why}); stop the servers that run on it, and try again"))
    };
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = '5s'").await.map_err(DbError::from)?;
    client.batch_execute(&format!("LOCK TABLE {names}, duties, meta IN ACCESS EXCLUSIVE MODE")).await.map_err(
        |error| match error.code() {
            Some(code) if code.code() == "55P03" => in_use(&"a table of it is locked"),
            _ => DbError::from(error).into(),
        },
    )?;
    let sql = "SELECT count(*) FROM duties WHERE until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let on_duty: i64 = client.query_one(sql, &[]).await.and_then(|row| row.try_get(0)).map_err(DbError::from)?;
    if on_duty > 0 {
        return Err(in_use(&"a server has work to do for all of them"));
    }
    for table in ["tasks", "workers", "tokens", "lanes", "idempotency"] {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
        let there: bool = client.query_one(&sql, &[]).await.and_then(|row| row.try_get(0)).map_err(DbError::from)?;
        if there {
            return Err(StoreError::Open(format!(
                "the database is not empty: there are {table} in it; import into an empty one (createdb makes one)"
            )));
        }
    }
    client.batch_execute("DELETE FROM counters").await.map_err(DbError::from)?;

    let (to, mut from) = mpsc::channel(WAITING);
    let path = file.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let sent = sqlite::send(&path, &to);
        if sent.is_err() {
            // Who takes it must not think that this was all.
            let _ = to.blocking_send(Err(StoreError::Closed));
        }
        sent
    });
    let taken = take(client, &mut from, &mut progress).await;
    drop(from);
    let read = reading.await.map_err(|error| StoreError::Open(format!("reading was given up: {error}")))?;
    let sums = match (read, taken) {
        (Ok(sums), Ok(())) => sums,
        // Who sends hears only that nobody takes it.
        (Err(StoreError::Closed), Err(error)) | (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
    };
    let noted = |name: &'static str, value: String| async move {
        let sql =
            "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        client.execute(sql, &[&name, &value]).await.map(drop)
    };
    noted(postgres::CLUSTER_ID, meta.cluster.to_string()).await.map_err(DbError::from)?;
    noted(postgres::RESTORED_AT, now.0.to_string()).await.map_err(DbError::from)?;
    for (sequence, last) in [("task_keys", meta.last_task), ("worker_keys", meta.last_worker)] {
        let sql = "SELECT setval($1::text::regclass, greatest($2::bigint, 1), $2::bigint > 0)";
        client.execute(sql, &[&sequence, &last]).await.map_err(DbError::from)?;
    }
    let sql =
        "SELECT setval(pg_get_serial_sequence('lanes', 'key'), greatest(max(key), 1), max(key) IS NOT NULL) FROM lanes";
    client.execute(sql, &[]).await.map_err(DbError::from)?;
    compare(&sums, &from_postgres::sums(client).await?)?;
    client.batch_execute("COMMIT").await.map_err(DbError::from)?;
    // Without figures of its tables the database would plan as for empty ones, until it looks by itself.
    client.batch_execute("ANALYZE").await.map_err(DbError::from)?;
    Ok(sums)
}

async fn take(
    client: &Client,
    from: &mut mpsc::Receiver<Result<(usize, Vec<Row>), StoreError>>,
    progress: &mut impl FnMut(&str, u64),
) -> Result<(), StoreError> {
    let (mut of, mut rows) = (0, 0);
    while let Some(batch) = from.recv().await {
        let (place, batch) = batch?;
        let table = &TABLES[place];
        if place != of {
            (of, rows) = (place, 0);
        }
        rows += batch.len() as u64;
        progress(table.name, rows);
        let copy = format!("COPY {} ({}) FROM STDIN", table.name, columns(table));
        let sink = client.copy_in(&copy).await.map_err(DbError::from)?;
        let mut sink = std::pin::pin!(sink);
        sink.send(lines(table, &batch)?).await.map_err(DbError::from)?;
        sink.finish().await.map_err(DbError::from)?;
    }
    Ok(())
}

/// Takes back what workers had, as if each had come back with nothing.
async fn requeue(client: &Client, url: &str, now: Timestamp) -> Result<u64, StoreError> {
    let running = "SELECT count(*) FROM subtasks WHERE state = 3";
    let workers = "SELECT uuid, session FROM workers WHERE key IN (SELECT worker FROM subtasks WHERE state = 3)";
    let count = async || -> Result<i64, DbError> { Ok(client.query_one(running, &[]).await?.try_get(0)?) };
    let before = count().await?;
    if before == 0 {
        return Ok(0);
    }
    let store = PostgresStore::open(postgres::Options::new(url), Arc::new(Nobody)).await?;
    for row in client.query(workers, &[]).await.map_err(DbError::from)? {
        let worker = WorkerId(row.try_get(0).map_err(DbError::from)?);
        let session = row.try_get(1).map_err(DbError::from)?;
        let lease = regatta_model::Span::seconds(90);
        let resume = Resume { worker, session, connected_at: Timestamp(i64::MAX), running: Vec::new(), lease };
        store.run(now, resume).await?;
    }
    store.close().await;
    Ok((before - count().await?).unsigned_abs())
}
