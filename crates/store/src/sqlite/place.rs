//! Whether the database's file is still where it was opened.
//!
//! A file whose folder was removed, or whose mount is gone, can be written for as long as it is held open, and what is
//! written so is lost with the process: it would be acknowledged and never seen again. So the writer looks before each
//! commit (a system call of about a microsecond, where a commit takes hundreds), and refuses while the path names
//! nothing or another file. It goes on by itself when the file is back, as after a mount that was mounted again.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::error::DbError;

/// A path and the file that it named when the database was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: Identity,
}

/// What tells files apart.
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Elsewhere only that there is a file.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    (0, 0)
}

impl Place {
    /// The file at `path` as it is now.
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: identity(&std::fs::metadata(path)?) })
    }

    /// # Errors
    /// [`DbError::Gone`] when the path names that file no longer.
    pub(super) fn look(&self) -> Result<(), DbError> {
        let path = self.path.display();
        match std::fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.file => Ok(()),
            Ok(_) => Err(DbError::Gone(format!("another file is at {path} now; stop this server, and start it again"))),
            Err(error) => Err(DbError::Gone(format!(
                "the database {path} is not there any more ({error}); mount its disk again, or stop this server and \
                 restore a backup"
            ))),
        }
    }
}
