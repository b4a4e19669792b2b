//! What stores keep packed into BLOBs, and how keys are made of keys: the same bytes in every database.
//!
//! [`subtask`] packs a subtask's row, [`records`] the events of a task, both of [`bytes`]; [`keys`] says which keys belong
//! to a task. Not here: columns and statements, which are each store's own.

pub(crate) mod bytes;
pub(crate) mod keys;
pub(crate) mod records;
pub(crate) mod subtask;

/// Why something packed could not be unpacked, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PackError {
    /// Bytes that nobody of ours wrote.
    #[error("the database holds {0}; restore it from a backup")]
    Corrupt(String),
    /// A limit of the format was reached.
    #[error("{0}")]
    Limit(String),
}
