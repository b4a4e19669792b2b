//! `regatta migrate`: the schema of a database.

use std::io::Write;

use clap::Args;
use regatta_store::sqlite;
use serde_json::json;

use super::database::DatabaseArgs;
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::node::store_failure;
use crate::ui;
use crate::ui::style::{GOOD, WARN};
use crate::ui::table::{Cell, Table};

/// Look at a database's schema, or bring it up to date
///
/// Brings a database's schema up to date. A server does that too when it starts; this is for doing it, or looking, before.
/// Changes only add: an older server of the same major version goes on working. No server may use the database meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
With --check nothing is changed: exit code 0 when there is nothing to do, 1 when there is.

Examples:
  regatta migrate --check
  regatta migrate --database sqlite:/var/lib/regatta/regatta.db")]
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

impl Migrate {
    pub fn run(self, context: &Context) -> Outcome {
        let path = self.database.path(context)?;
        let missing =
            |schema: &[sqlite::SchemaChange]| schema.iter().filter(|change| change.applied_at.is_none()).count();
        let mut schema = sqlite::schema(&path).map_err(store_failure)?;
        // Where nothing is to be done, a server that uses the database need not stop.
        if !self.check && missing(&schema) > 0 {
            sqlite::migrate(&path).map_err(store_failure)?;
            schema = sqlite::schema(&path).map_err(store_failure)?;
        }
        let pending = missing(&schema);
        if self.json {
            let changes: Vec<_> = schema
                .iter()
                .map(|change| json!({"version": change.version, "name": change.name, "applied_at": change.applied_at}))
                .collect();
            ui::json::print(&json!({"database": path, "pending": pending, "changes": changes}))?;
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
                _ if !path.exists() => "does not exist yet; a server, or this without --check, makes it".to_owned(),
                1 => "one change to apply".to_owned(),
                _ => format!("{pending} changes to apply"),
            };
            writeln!(out, "{}: {state}", path.display())?;
            write!(out, "{}", table.render(ui::terminal().map(|(width, _)| width)))?;
        }
        Ok(if pending == 0 { Exit::Done } else { Exit::Failed })
    }
}
