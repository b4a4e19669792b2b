//! `regatta migrate`: the schema of a database.

use std::io::Write;

use clap::Args;
use regatta_store::{SchemaChange, postgres, sqlite};
use serde_json::json;

use super::database::{Database, DatabaseArgs};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::node::store_failure;
use crate::ui;
use crate::ui::style::{GOOD, WARN};
use crate::ui::table::{Cell, Table};

/// Look at a database's schema, or bring it up to date
///
/// Brings a database's schema up to date. A server does that too when it starts; this is for doing it, or looking, before.
/// Changes only add: an older server of the same major version goes on working. No server may use a database in a file
/// meanwhile; those on a PostgreSQL go on.
#[derive(Debug, Args)]
#[command(after_help = "\
With --check nothing is changed: exit code 0 when there is nothing to do, 1 when there is.

Examples:
  regatta migrate --check
  regatta migrate --database sqlite:/var/lib/regatta/regatta.db
  regatta migrate --database postgres://regatta@db/regatta")]
pub struct Migrate {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Only show what has been applied and what would be
    #[arg(long)]
    check: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

async fn schema_of(database: &Database) -> Result<Vec<SchemaChange>, Failure> {
    match database {
        Database::Sqlite(path) => sqlite::schema(path),
        Database::Postgres(url) => postgres::schema(url).await,
    }
    .map_err(store_failure)
}

impl Migrate {
    pub async fn run(self, context: &Context) -> Outcome {
        let database = self.database.database(context)?;
        let missing = |schema: &[SchemaChange]| schema.iter().filter(|change| change.applied_at.is_none()).count();
        let mut schema = schema_of(&database).await?;
        // Where nothing is to be done, a server that uses the database need not stop.
        if !self.check && missing(&schema) > 0 {
            match &database {
                Database::Sqlite(path) => sqlite::migrate(path).map_err(store_failure)?,
                Database::Postgres(url) => postgres::migrate(url).await.map_err(store_failure)?,
            }
            schema = schema_of(&database).await?;
        }
        let pending = missing(&schema);
        if self.json {
            let changes: Vec<_> = schema
                .iter()
                .map(|change| json!({"version": change.version, "name": change.name, "applied_at": change.applied_at}))
                .collect();
            ui::json::print(&json!({"database": database.to_string(), "pending": pending, "changes": changes}))?;
        } else if !context.globals.quiet {
            let mut table = Table::new(["VERSION", "NAME", "APPLIED"], "NAME");
            for change in &schema {
                let applied = match &change.applied_at {
                    Some(at) => Cell::new(GOOD, at),
                    None => Cell::new(WARN, "not yet"),
                };
                table.row([Cell::from(change.version), Cell::from(&change.name), applied]);
            }
            let mut out = anstream::stdout().lock();
            let state = match pending {
                0 => "up to date".to_owned(),
                _ if matches!(&database, Database::Sqlite(path) if !path.exists()) => {
                    "does not exist yet; a server, or this without --check, makes it".to_owned()
                }
                1 => "one change to apply".to_owned(),
                _ => format!("{pending} changes to apply"),
            };
            writeln!(out, "{database}: {state}")?;
            write!(out, "{}", table.render(ui::terminal().map(|(width, _)| width)))?;
        }
        Ok(if pending == 0 { Exit::Done } else { Exit::Failed })
    }
}
