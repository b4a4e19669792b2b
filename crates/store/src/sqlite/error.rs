//! What can go wrong between the ledger and the database.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

/// Why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DbError {
    /// SQLite said so.
    #[error("{0}")]
    Sql(#[from] Error),
    /// A row holds what this program never writes.
    #[error("the database holds {0}; restore it from a backup")]
    Corrupt(String),
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
    /// Whether the disk failed: only then is the outcome of a failed COMMIT not known.
    pub(super) fn is_io(&self) -> bool {
        matches!(self, Self::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        (&error).into()
    }
}

impl From<&DbError> for StoreError {
    fn from(error: &DbError) -> Self {
        let advice = match error {
            DbError::Sql(sql) => match sql.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => "; make room on its disk",
                Some(ErrorCode::SystemIoFailure) => "; check its disk",
                Some(ErrorCode::ReadOnly) => "; let this user write to its folder",
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "; restore it from a backup",
                _ => "",
            },
            _ => "",
        };
        StoreError::Database(format!("{error}{advice}"))
    }
}
