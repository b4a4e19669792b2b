//! The schema's way forward: numbered files, each applied once, in order, in a transaction of its own.
//!
//! Nodes that start together all come here; an advisory lock lets one of them work, and the others find it done.

use tokio_postgres::Client;

use super::connect::Connector;
use super::error::DbError;
use crate::StoreError;
use crate::schema::{self, Applied, File, SchemaChange, checksum, list, min_binary};

/// All steps, in order.
pub(super) const MIGRATIONS: &[File] =
    &[File { version: 1, name: "ledger", sql: include_str!("../../migrations/postgres/0001_ledger.sql") }];

const TABLE: &str = include_str!("../../migrations/postgres/schema_migrations.sql");
/// Of the lock under which the schema is changed.
const LOCK: i64 = 7_236_003_814;
/// The oldest PostgreSQL that is tested.
const OLDEST: i32 = 150_000;

async fn applied(client: &Client) -> Result<Vec<Applied>, DbError> {
    let rows =
        client.query("SELECT version, checksum, min_binary FROM schema_migrations ORDER BY version", &[]).await?;
    rows.iter()
        .map(|row| Ok(Applied { version: row.try_get(0)?, checksum: row.try_get(1)?, min_binary: row.try_get(2)? }))
        .collect()
}

fn refused(connector: &Connector, why: String) -> StoreError {
    StoreError::Open(format!("{}: {why}", connector.shown()))
}

/// Says in an error that nothing could be opened, and why.
pub(super) fn cannot_open(connector: &Connector, error: DbError) -> StoreError {
    let hint = match StoreError::from(&error) {
        StoreError::Failing(why) | StoreError::Database(why) => why,
        other => other.to_string(),
    };
    refused(connector, hint)
}

/// Applies what is missing, alone.
pub(super) async fn migrate(connector: &Connector, binary: &str) -> Result<(), StoreError> {
    let client = connector.connect("migrate").await.map_err(|error| cannot_open(connector, error))?;
    migrate_with(connector, &client, MIGRATIONS, binary).await
}

async fn migrate_with(connector: &Connector, client: &Client, files: &[File], binary: &str) -> Result<(), StoreError> {
    let failed = |error: tokio_postgres::Error| cannot_open(connector, error.into());
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    if version < OLDEST {
        let (found, oldest) = (version / 10_000, OLDEST / 10_000);
        return Err(refused(connector, format!("this is PostgreSQL {found}; regatta needs {oldest} or newer")));
    }
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(failed)?;
    // The lock goes with the connection, whatever happens.
    client.batch_execute(TABLE).await.map_err(failed)?;
    let found = applied(client).await.map_err(|error| cannot_open(connector, error))?;
    let done = schema::check(&found, files.iter().copied(), binary).map_err(|why| refused(connector, why))?;
    for file in files.iter().filter(|file| !done.contains(&file.version)) {
        let note = format!(
            "INSERT INTO schema_migrations (version, name, checksum, min_binary, applied_at) VALUES ({}, '{}', '{}', '{}',
             to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))",
            file.version,
            file.name,
            checksum(file.sql),
            min_binary(file.sql)
        );
        client.batch_execute(&format!("BEGIN; {}; {note}; COMMIT", file.sql)).await.map_err(failed)?;
        tracing::info!(version = file.version, name = file.name, "schema changed");
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.map_err(failed)?;
    Ok(())
}

/// Every change that this binary or the database knows; nothing is changed.
pub(super) async fn status(connector: &Connector) -> Result<Vec<SchemaChange>, StoreError> {
    let client = connector.connect("migrate").await.map_err(|error| cannot_open(connector, error))?;
    let failed = |error: tokio_postgres::Error| cannot_open(connector, error.into());
    let known: bool = client
        .query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    let mut found = Vec::new();
    if known {
        let sql = "SELECT version, name, applied_at FROM schema_migrations ORDER BY version";
        for row in client.query(sql, &[]).await.map_err(failed)? {
            let change = || -> Result<SchemaChange, tokio_postgres::Error> {
                Ok(SchemaChange { version: row.try_get(0)?, name: row.try_get(1)?, applied_at: row.try_get(2)? })
            };
            found.push(change().map_err(failed)?);
        }
    }
    Ok(list(MIGRATIONS.iter().copied(), found))
}
