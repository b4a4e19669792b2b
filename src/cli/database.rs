//! Which database a command means that works on one without a server: flags, the configuration file, the default.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::context::Context;
use crate::exit::Failure;

/// The flags that name a database.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// The database, sqlite:PATH [default: sqlite:DIR/regatta.db]
    #[arg(long, value_name = "URL")]
    database: Option<String>,

    /// The folder of the default database [default: ~/.local/share/regatta]
    #[arg(long, value_name = "DIR", env = "REGATTA_DATA", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The database's file: the one that was named, else the one in the data folder.
    ///
    /// # Errors
    /// When the name is none, or there is no folder.
    pub fn path(&self, context: &Context) -> Result<PathBuf, Failure> {
        match self.database.as_deref().or(context.file.serve.database.as_deref()) {
            Some(url) => database(url),
            None => Ok(context.data_dir(self.data_dir.as_deref())?.join("regatta.db")),
        }
    }
}

/// The file of a database URL.
///
/// # Errors
/// When it is none that this version knows.
fn database(url: &str) -> Result<PathBuf, Failure> {
    let hint = "give sqlite:PATH, such as sqlite:/var/lib/regatta/regatta.db";
    let path = match url.split_once(':') {
        Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
        Some(("postgres" | "postgresql", _)) => {
            return Err(Failure::usage("PostgreSQL comes in a later version of regatta").hint(hint));
        }
        _ => return Err(Failure::usage(format!("{url:?} is no database that regatta knows")).hint(hint)),
    };
    if path.is_empty() {
        return Err(Failure::usage(format!("{url:?} names no file")).hint(hint));
    }
    Ok(Path::new(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_database_is_a_file_for_now() {
        assert_eq!(database("sqlite:a/b.db").unwrap(), Path::new("a/b.db"));
        assert_eq!(database("sqlite:///var/b.db").unwrap(), Path::new("/var/b.db"));
        for (url, says) in [("postgres://h/db", "later version"), ("b.db", "no database"), ("sqlite:", "no file")] {
            let failure = database(url).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.what.contains(says), "{failure}");
        }
    }
}
