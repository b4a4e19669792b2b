//! What can go wrong between the ledger and the database.

use tokio_postgres::error::SqlState;

use super::wanted::Wanted;
use crate::StoreError;
use crate::pack::PackError;

/// Why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// PostgreSQL said so, or the way to it.
    #[error("{}", text(.0))]
    Sql(#[from] tokio_postgres::Error),
    /// It did not answer in time; the connection is given up.
    #[error("PostgreSQL did not answer within {0} s")]
    Late(u64),
    /// There is no connection, and none could be made.
    #[error("PostgreSQL cannot be reached: {0}")]
    Unreachable(String),
    /// Others hold rows that were not known to be needed when locks were taken in order: to be tried again with them.
    #[error("rows are held by another transaction")]
    Locked(Box<Wanted>),
    /// A row holds what this program never writes.
    #[error("the database holds {0}; restore it from a backup")]
    Corrupt(String),
    /// Something packed is damaged or does not fit.
    #[error("{0}")]
    Pack(#[from] PackError),
    /// A command asked for what is not there: a fault of ours.
    #[error("{0}")]
    Missing(String),
    /// The ledger panicked: a fault of ours, kept to the one command.
    #[error("internal error: {0}")]
    Panicked(String),
}

/// What PostgreSQL says, which `Display` alone does not tell.
fn text(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => format!("{}: {} ({})", said.severity(), said.message(), said.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl DbError {
    fn state(&self) -> Option<&SqlState> {
        let Self::Sql(error) = self else { return None };
        error.code()
    }

    /// Whether the connection is no good any more: nothing that was not committed is there.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Late(_) | Self::Unreachable(_) => true,
            Self::Sql(error) => match error.code() {
                // Shut down, crashed, or ended for having been idle; and class 08, connections.
                Some(state) => {
                    let code = state.code();
                    code.starts_with("57P") || code.starts_with("08") || code == "25P03" || code == "25P04"
                }
                // Without words of the server's it is the way to it that failed, or a value that does not fit.
                None => {
                    error.is_closed() || std::error::Error::source(error).is_some_and(|why| why.is::<std::io::Error>())
                }
            },
            _ => false,
        }
    }

    /// Whether the same transaction may do when it is tried again: others were in its way.
    pub(super) fn is_contention(&self) -> bool {
        matches!(self, Self::Locked(_))
            || self.state().is_some_and(|state| {
                [
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::UNIQUE_VIOLATION,
                ]
                .contains(state)
            })
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        (&error).into()
    }
}

impl From<&DbError> for StoreError {
    fn from(error: &DbError) -> Self {
        let code = error.state().map_or("", SqlState::code);
        let advice = match code {
            "53100" => "make room on PostgreSQL's disk",
            "53200" => "give PostgreSQL more memory",
            "53300" => "PostgreSQL has no connection left: raise its max_connections, or give each node a smaller pool",
            "58030" => "check the disk of PostgreSQL",
            "25006" => "this PostgreSQL takes no writes (a standby?): name the primary",
            "57014" => "a statement took longer than it may: see what else the database does",
            _ if error.ends_connection() => "see that PostgreSQL runs and can be reached",
            _ if error.is_contention() => "others were in its way; try again",
            _ => return StoreError::Database(error.to_string()),
        };
        StoreError::Failing(format!("{error}; {advice}"))
    }
}
