//! `regatta export`: what is in a database as a file that goes anywhere.

use std::io::Write;

use clap::Args;
use regatta_store::{moving, sqlite};
use serde_json::json;

use super::backup::{CopyArgs, in_words, print_json};
use super::database::Database;
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::node::store_failure;
use crate::ui;

/// Write what is in a database to a file, to move it
///
/// Writes everything in a database, as it is at one moment, to one file, and checks it: tasks, results, logs, workers, tokens.
/// `regatta import` brings it into PostgreSQL; and the file is a SQLite database that a server can be started on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
From one server with SQLite to many with PostgreSQL: stop the server, then
  regatta export --output moving.db
  regatta import moving.db --database postgres://USER:PASSWORD@HOST/NAME
  regatta serve --database postgres://USER:PASSWORD@HOST/NAME
And back: stop the servers, then
  regatta export --database postgres://USER:PASSWORD@HOST/NAME --output moving.db
  regatta restore moving.db

From PostgreSQL it is also a copy to look into, while servers run.")]
pub struct Export {
    #[command(flatten)]
    copy: CopyArgs,
}

impl Export {
    pub async fn run(self, context: &Context) -> Outcome {
        let copy = &self.copy;
        let database = copy.database.database(context)?;
        let output = copy.output();
        let contents = match &database {
            Database::Sqlite(path) => sqlite::backup(path, &output, copy.force),
            Database::Postgres(url) => {
                let shown = ui::counting::Counting::new(context.globals.quiet || copy.json);
                moving::export(url, &output, copy.force, |table, rows| shown.show(table, rows)).await
            }
        };
        let contents = contents.map_err(store_failure)?;
        if copy.json {
            print_json(&output, &contents, json!({"database": database.to_string()}))?;
        } else if !context.globals.quiet {
            let mut out = anstream::stdout().lock();
            writeln!(out, "{database} is exported and checked")?;
            writeln!(out, "{}: {}", output.display(), in_words(&contents))?;
            writeln!(
                out,
                "regatta import {} --database postgres://USER:PASSWORD@HOST/NAME brings it there",
                output.display()
            )?;
        }
        Ok(Exit::Done)
    }
}
