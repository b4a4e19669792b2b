//! `regatta restore`: a backup takes the place of a database.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use regatta_store::sqlite;
use serde_json::json;

use super::backup::{file_stamp, in_words, print_json};
use super::database::DatabaseArgs;
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::node::store_failure;
use crate::ui::time;

/// Put a backup in the place of a server's database
///
/// Checks a backup and puts it in the place of a server's database, at one stroke. The server must not run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
With --force a database that is there is replaced, and kept beside under its name with .replaced-DATE-TIME. What was \
done since the backup is gone, steps that were done since run again, and tokens revoked since count again. After a \
restore the server gives out no work for one lease time, so that workers have ended by then what they were given after \
the backup; what they ran at the time of the backup they go on with.

Examples:
  regatta restore regatta-20261123-221500.db
  regatta restore /mnt/backups/regatta.db --force
  regatta restore regatta.db --database sqlite:/var/lib/regatta/regatta.db")]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Replace a database that is there; it is kept beside
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    database: DatabaseArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub fn run(self, context: &Context) -> Outcome {
        let database = self.database.file(context, "restore it with pg_restore, or regatta import")?;
        let now = time::now().as_micros();
        let restored = sqlite::restore(&self.file, &database, self.force, &file_stamp(), now).map_err(store_failure)?;
        if self.json {
            let more = json!({"database": database, "replaced": restored.replaced});
            print_json(&self.file, &restored.contents, more)?;
        } else if !context.globals.quiet {
            let mut out = anstream::stdout().lock();
            writeln!(out, "{} is restored: {}", database.display(), in_words(&restored.contents))?;
            if let Some(old) = &restored.replaced {
                writeln!(out, "the one before is kept as {}", old.display())?;
            }
        }
        Ok(Exit::Done)
    }
}
