//! What can go wrong between the ledger and the database.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;
use crate::pack::PackError;

/// Why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DbError {
    /// SQLite said so.
    #[error("{0}")]
    Sql(#[from] Error),
    /// A row holds what this program never writes.
    #[error("the database holds {0}; restore it from a backup")]
    Corrupt(String),
    /// The file is not where it was.
    #[error("{0}")]
    Gone(String),
    /// Something packed is damaged or does not fit.
    #[error("{0}")]
    Pack(#[from] PackError),
    /// A command asked for what is not there: a fault of ours.
    #[error("{0}")]
    Missing(String),
    /// A limit of the format was reached.
    #[error("{0}")]
    Limit(String),
    /// The ledger panicked: a fault of ours, kept to the one command.
    #[error("internal error: {0}")]
    Panicked(String),
}

impl DbError {
    /// Whether the disk or the memory failed: only then is the outcome of a failed COMMIT not known. The log may have
    /// been written before.
    pub(super) fn leaves_open(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory))
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        (&error).into()
    }
}

impl From<&DbError> for StoreError {
    fn from(error: &DbError) -> Self {
        let code = match error {
            DbError::Sql(sql) => sql.sqlite_error_code(),
            DbError::Gone(why) => return StoreError::Failing(why.clone()),
            _ => None,
        };
        let advice = match code {
            Some(ErrorCode::DiskFull) => "make room on its disk",
            Some(ErrorCode::SystemIoFailure) => "check its disk",
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                "see that its folder is there and that this user may write to it"
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "restore it from a backup",
            Some(ErrorCode::OutOfMemory) => "give this process more memory",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                "see which other program uses it"
            }
            _ => return StoreError::Database(error.to_string()),
        };
        StoreError::Failing(format!("{error}; {advice}"))
    }
}
