//! `regatta import`: an exported file into an empty PostgreSQL database.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use regatta_model::Timestamp;
use regatta_store::moving;
use serde_json::json;

use super::database::{Database, DatabaseArgs};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::node::store_failure;
use crate::ui::{self, time};

/// Bring an exported database into an empty PostgreSQL
///
/// Brings what `regatta export` or `regatta backup` wrote into an empty PostgreSQL database, whole or not at all, and compares
/// counts and checksums of every table before it counts. No server may run on either meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
What ran when the file was written goes back to the queue, and what its worker may still report of it counts no more. The \
servers give out no work for one lease time, so that workers have ended by then what they still run. Workers need only \
the new servers' address: their names, ids and tokens came along.

Examples:
  regatta import moving.db --database postgres://regatta:secret@db/regatta
  REGATTA_DATABASE=postgres://... regatta import regatta-20261123-221500.db --json")]
pub struct Import {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    database: DatabaseArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Import {
    pub async fn run(self, context: &Context) -> Outcome {
        let database = self.database.database(context)?;
        let Database::Postgres(url) = &database else {
            return Err(Failure::usage("this brings a file into PostgreSQL, and the database is a file itself")
                .hint("name one with --database postgres://USER:PASSWORD@HOST/NAME; a file takes another's place by regatta restore"));
        };
        let now = Timestamp(time::now().as_micros());
        let shown = ui::counting::Counting::new(context.globals.quiet || self.json);
        let imported = moving::import(&self.file, url, now, |table, rows| shown.show(table, rows)).await;
        drop(shown);
        let imported = imported.map_err(store_failure)?;
        if self.json {
            ui::json::print(&json!({
                "file": self.file,
                "database": database.to_string(),
                "rows": imported.rows,
                "requeued": imported.requeued,
            }))?;
        } else if !context.globals.quiet {
            let rows = |table: &str| imported.rows.get(table).copied().unwrap_or(0);
            let mut out = anstream::stdout().lock();
            writeln!(
                out,
                "{database} has it all, compared by counts and checksums: tasks {}, subtasks {}, log lines {}, workers {}, tokens {}",
                rows("tasks"),
                rows("subtasks"),
                rows("logs"),
                rows("workers"),
                rows("tokens")
            )?;
            writeln!(out, "back in the queue, because they ran: {}", imported.requeued)?;
            writeln!(out, "start servers on it: regatta serve --database {database}")?;
        }
        Ok(Exit::Done)
    }
}
