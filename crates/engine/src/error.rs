//! Why the engine would not do something, in the terms of who asked.

use regatta_model::plan::{FieldError, MAX_STEPS, PlanError};
use regatta_store::StoreError;

/// What the engine's calls return.
pub type Result<T> = std::result::Result<T, Error>;

/// See the module. Nothing was changed unless the variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("there is no {kind} {id}")]
    NotFound {
        /// What kind: `task`, `subtask`, `worker`.
        kind: &'static str,
        /// As it was asked for.
        id: String,
    },
    /// Fields that do not fit.
    #[error("the request does not fit")]
    Invalid(Vec<FieldError>),
    /// Something is over its limit.
    #[error("{what} has {size}, and the limit is {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The state does not allow it; the sentence says which state and what would.
    #[error("{0}")]
    Conflict(String),
    /// Too much is waiting; try again in a moment.
    #[error("the server has too much to do; try again in a moment")]
    Overloaded,
    /// The store does not answer, or is closed; whether a change was made may be unknown.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours or of the database; the text is for the operator's log, never for the caller.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    pub(crate) fn not_found(kind: &'static str, id: impl ToString) -> Self {
        Self::NotFound { kind, id: id.to_string() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::Overloaded,
            StoreError::Closed => {
                Self::Unavailable("the server is shutting down; try another node, or again later".into())
            }
            StoreError::Unknown(_) => Self::Unavailable(
                "the connection to the database was lost at the commit; look whether it was done, then try again"
                    .into(),
            ),
            StoreError::Failing(_) => Self::Unavailable(
                "the database's disk is full or fails, and nothing was changed; the server's log says more to whoever \
                 runs it; try again later"
                    .into(),
            ),
            StoreError::Database(text) | StoreError::Open(text) => Self::Internal(text),
        }
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Invalid(errors) => Self::Invalid(errors),
            PlanError::TooLarge(size) => Self::TooLarge { what: "the plan (steps)", size, limit: MAX_STEPS },
        }
    }
}
