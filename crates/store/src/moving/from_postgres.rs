//! PostgreSQL's contents as a SQLite file.

use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{BATCH, COUNTERS, Kind, Meta, Row, Sum, Sums, TABLES, Table, Value, WAITING, compare, sqlite};
use crate::StoreError;
use crate::postgres::{DbError, connect_to};
use crate::sqlite::{Contents, files, inspect};

fn select(table: &Table) -> String {
    if table.name == COUNTERS {
        return "SELECT kind::bigint, id, sum(count)::bigint FROM counters GROUP BY 1, 2 HAVING sum(count) <> 0".into();
    }
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|(column, kind)| match kind {
            Kind::Int => format!("x.{column}::bigint"),
            Kind::Bool => format!("x.{column}::int::bigint"),
            Kind::Real | Kind::Text | Kind::Blob | Kind::Uuid | Kind::Uuids => format!("x.{column}"),
        })
        .collect();
    format!("SELECT {} FROM {} AS x{}", columns.join(", "), table.name, table.which())
}

fn value(row: &tokio_postgres::Row, column: usize, kind: Kind) -> Result<Value, DbError> {
    Ok(match kind {
        Kind::Int | Kind::Bool => row.try_get::<_, Option<i64>>(column)?.map_or(Value::Null, Value::Int),
        Kind::Real => row.try_get::<_, Option<f64>>(column)?.map_or(Value::Null, Value::Real),
        Kind::Text => row.try_get::<_, Option<String>>(column)?.map_or(Value::Null, Value::Text),
        Kind::Blob => row.try_get::<_, Option<Vec<u8>>>(column)?.map_or(Value::Null, Value::Blob),
        Kind::Uuid => {
            row.try_get::<_, Option<Uuid>>(column)?.map_or(Value::Null, |id| Value::Blob(id.as_bytes().to_vec()))
        }
        Kind::Uuids => row
            .try_get::<_, Option<Vec<Uuid>>>(column)?
            .map_or(Value::Null, |ids| Value::Blob(ids.iter().flat_map(|id| *id.as_bytes()).collect())),
    })
}

/// Calls `each` with the rows of a table, [`BATCH`] at a time; the last of them may be empty.
async fn read<F: Future<Output = Result<(), StoreError>>>(
    client: &Client,
    table: &Table,
    mut each: impl FnMut(Vec<Row>) -> F,
) -> Result<Sum, StoreError> {
    let none: [&str; 0] = [];
    let mut rows = pin!(client.query_raw(&select(table), none).await.map_err(DbError::from)?);
    let mut sum = Sum::default();
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(row) = rows.try_next().await.map_err(DbError::from)? {
        let kinds = table.columns.iter().enumerate();
        let row: Row = kinds.map(|(column, &(_, kind))| value(&row, column, kind)).collect::<Result<_, _>>()?;
        sum.add(&row);
        batch.push(row);
        if batch.len() == BATCH {
            each(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await?;
        }
    }
    each(batch).await?;
    Ok(sum)
}

/// The sums of all tables, as this connection's transaction sees them.
pub(super) async fn sums(client: &Client) -> Result<Sums, StoreError> {
    let mut sums = Sums::new();
    for table in TABLES {
        sums.insert(table.name, read(client, table, |_| std::future::ready(Ok(()))).await?);
    }
    Ok(sums)
}

async fn meta(client: &Client) -> Result<Meta, StoreError> {
    let sql = "SELECT (SELECT value FROM meta WHERE name = 'cluster_id'), \
               (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM task_keys), \
               (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM worker_keys)";
    let row = client.query_one(sql, &[]).await.map_err(DbError::from)?;
    let cluster: Option<String> = row.try_get(0).map_err(DbError::from)?;
    let cluster = cluster.and_then(|text: String| Uuid::parse_str(&text).ok());
    Ok(Meta {
        cluster: cluster.ok_or_else(|| StoreError::Open("the database has no cluster id".into()))?,
        last_task: row.try_get(1).map_err(DbError::from)?,
        last_worker: row.try_get(2).map_err(DbError::from)?,
    })
}

/// Copies what is in a PostgreSQL database at one moment into a SQLite file, whether servers run on it or not, and checks the
/// file before it gets its name. `progress` hears of each table's rows as they come.
///
/// # Errors
/// [`StoreError::Open`] with what to do: the database cannot be reached or is of another version, the file is there already
/// (without `replace`) or cannot be written.
pub async fn export(
    url: &str,
    target: &Path,
    replace: bool,
    mut progress: impl FnMut(&str, u64),
) -> Result<Contents, StoreError> {
    files::refuse_existing(target, replace)?;
    if crate::postgres::schema(url).await?.iter().any(|change| change.applied_at.is_none()) {
        return Err(StoreError::Open("the database's schema is not up to date; run regatta migrate before".into()));
    }
    let client = connect_to(url, "export").await?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await.map_err(DbError::from)?;
    let meta = meta(&client).await?;
    let part: PathBuf = files::beside(target, ".part");
    let (to, from) = mpsc::channel(WAITING);
    let file = part.clone();
    let writing = tokio::task::spawn_blocking(move || sqlite::receive(&file, &meta, from));
    let sent = send(&client, to, &mut progress).await;
    let written = writing.await.map_err(|error| StoreError::Open(format!("the file was given up: {error}")))?;
    let target = target.to_owned();
    let finish = move || -> Result<Contents, StoreError> {
        let look = || {
            let sums = match (written, sent) {
                (Ok(()), Ok(sums)) => sums,
                // Either hears only that the other has stopped.
                (Err(StoreError::Closed), Err(error)) | (Err(error), _) | (Ok(()), Err(error)) => return Err(error),
            };
            let contents = inspect(&part)?;
            compare(&sums, &sqlite::sums(&part)?)?;
            files::put_in_place(&part, &target)?;
            Ok(contents)
        };
        let finished = look();
        if finished.is_err() {
            files::forget(&part);
        }
        finished
    };
    tokio::task::spawn_blocking(finish)
        .await
        .map_err(|error| StoreError::Open(format!("the file was given up: {error}")))?
}

async fn send(client: &Client, to: sqlite::Batches, progress: &mut impl FnMut(&str, u64)) -> Result<Sums, StoreError> {
    let mut sums = Sums::new();
    for (place, table) in TABLES.iter().enumerate() {
        let mut rows = 0;
        let sum = read(client, table, |batch| {
            rows += batch.len() as u64;
            progress(table.name, rows);
            let sending = to.send(Ok((place, batch)));
            async { sending.await.map_err(|_| StoreError::Closed) }
        })
        .await;
        match sum {
            Ok(sum) => sums.insert(table.name, sum),
            Err(error) => {
                // Without this the file would look finished.
                let _ = to.send(Err(StoreError::Closed)).await;
                return Err(error);
            }
        };
    }
    Ok(sums)
}
