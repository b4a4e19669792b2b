//! Which database a command means that works on one without a server: flags, environment, the configuration file, the default.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use regatta_store::postgres;

use crate::context::Context;
use crate::exit::Failure;

/// The flags that name a database.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite:PATH, or postgres://USER:PASSWORD@HOST/NAME for many servers [default: sqlite:DIR/regatta.db]
    #[arg(long, value_name = "URL", env = "REGATTA_DATABASE", hide_env_values = true)]
    database: Option<String>,

    /// The folder of the default database [default: ~/.local/share/regatta]
    #[arg(long, value_name = "DIR", env = "REGATTA_DATA", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

/// A database.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file, for one server.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database, for many.
    Postgres(String),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => f.write_str(&postgres::without_password(url)),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl DatabaseArgs {
    /// The database that was named, else the file in the data folder. `DATABASE_URL`, which other programs read too, counts
    /// where nothing of ours says anything, and only when it names a PostgreSQL.
    ///
    /// # Errors
    /// When the name is none, or there is no folder.
    pub fn database(&self, context: &Context) -> Result<Database, Failure> {
        let shared = std::env::var("DATABASE_URL").ok().filter(|url| is_postgres(url) && self.data_dir.is_none());
        match self.database.as_deref().or(context.file.serve.database.as_deref()).or(shared.as_deref()) {
            Some(url) => database(url),
            None => Ok(Database::Sqlite(context.data_dir(self.data_dir.as_deref())?.join("regatta.db"))),
        }
    }

    /// The same for what works on a file alone.
    ///
    /// # Errors
    /// Also when it is none; `instead` says what does it there.
    pub fn file(&self, context: &Context, instead: &str) -> Result<PathBuf, Failure> {
        match self.database(context)? {
            Database::Sqlite(path) => Ok(path),
            Database::Postgres(_) => {
                Err(Failure::usage("this works on a database in a file, and this one is a PostgreSQL").hint(instead))
            }
        }
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// The database of a URL.
///
/// # Errors
/// When it is none that regatta knows.
fn database(url: &str) -> Result<Database, Failure> {
    let hint = "give sqlite:PATH, such as sqlite:/var/lib/regatta/regatta.db, or postgres://USER:PASSWORD@HOST/NAME";
    if is_postgres(url) {
        return Ok(Database::Postgres(url.to_owned()));
    }
    let path = match url.split_once(':') {
        Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
        // What is no URL may be a password.
        _ if url.contains('@') => return Err(Failure::usage("this is no database that regatta knows").hint(hint)),
        _ => return Err(Failure::usage(format!("{url:?} is no database that regatta knows")).hint(hint)),
    };
    if path.is_empty() {
        return Err(Failure::usage(format!("{url:?} names no file")).hint(hint));
    }
    Ok(Database::Sqlite(Path::new(path).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_database_is_a_file_or_a_postgres() {
        assert_eq!(database("sqlite:a/b.db").unwrap(), Database::Sqlite("a/b.db".into()));
        assert_eq!(database("sqlite:///var/b.db").unwrap(), Database::Sqlite("/var/b.db".into()));
        let many = database("postgres://me:secret@h/db").unwrap();
        assert_eq!(many.to_string(), "postgres://me@h/db");
        for (url, says) in [("mysql://h/db", "no database"), ("b.db", "no database"), ("sqlite:", "no file")] {
            let failure = database(url).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.what.contains(says), "{failure}");
        }
        assert!(!database("mongo://me:secret@h").unwrap_err().what.contains("secret"));
    }
}
