//! What can go wrong between a caller and the server, told apart as far as a caller acts differently on it.

use std::fmt::Write as _;
use std::time::Duration;

use regatta_api::Problem;

use crate::Closed;

/// Why a call has no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The options cannot work.
    #[error("{0}")]
    Options(String),
    /// No connection could be made: the call was not done.
    #[error(
        "no Regatta server answers at {url} ({reason}); start one with `regatta up`, or name another with --server or REGATTA_SERVER"
    )]
    Unreachable {
        /// The server's address.
        url: String,
        /// Why, as the system says it.
        reason: String,
    },
    /// The connection broke before the answer was complete: whether the call was done is not known.
    #[error(
        "the connection to {url} broke before the answer was there ({reason}); see what the server has before doing it again"
    )]
    Interrupted {
        /// The server's address.
        url: String,
        /// Why, as the system says it.
        reason: String,
    },
    /// The server did not answer in time: whether the call was done is not known.
    #[error(
        "{call} was not answered within {} s; see whether the server at {url} is overloaded, then try again",
        .after.as_secs_f32()
    )]
    Timeout {
        /// The server's address.
        url: String,
        /// Method and path.
        call: String,
        /// How long this client waited.
        after: Duration,
    },
    /// The server answered with an error.
    #[error("{}", describe(.0))]
    Problem(Box<Problem>),
    /// The server sent what this client does not understand.
    #[error("{0}; client and server may be of different versions")]
    Protocol(String),
    /// A frame over the wire's limit; it was not sent.
    #[error("a frame of {bytes} bytes is over the limit of {limit} bytes and was not sent")]
    FrameTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The WebSocket is closed.
    #[error("{0}")]
    Closed(Closed),
}

impl Error {
    /// The status of the server's error answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// The server's error answer.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the server could not be reached, or was lost before it answered.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Timeout { .. } | Self::Closed(_))
    }
}

/// A problem in one sentence or a few lines, for people.
fn describe(problem: &Problem) -> String {
    let mut text = if problem.detail.is_empty() {
        format!("the server answered {} {}", problem.status, problem.title)
    } else {
        problem.detail.clone()
    };
    for error in &problem.errors {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {}: {}", error.field, error.message);
    }
    if problem.status >= 500 && !problem.request_id.is_empty() {
        let _ = write!(text, " (request {}; the server's log has more)", problem.request_id);
    }
    text
}

/// The innermost cause of an error, as the system says it: "Connection refused (os error 111)".
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_api::FieldError;

    #[test]
    fn a_problem_names_its_fields_and_a_fault_its_request() {
        let mut problem = Problem {
            kind: "about:blank".to_owned(),
            title: "Unprocessable Content".to_owned(),
            status: 422,
            detail: "Correct the named fields.".to_owned(),
            request_id: "r-1".to_owned(),
            errors: vec![FieldError { field: "subtasks[1].name".to_owned(), message: "is given twice".to_owned() }],
        };
        assert_eq!(
            Error::Problem(Box::new(problem.clone())).to_string(),
            "Correct the named fields.\n  subtasks[1].name: is given twice"
        );
        problem.status = 500;
        problem.errors.clear();
        let error = Error::Problem(Box::new(problem));
        assert!(error.to_string().contains("r-1"), "{error}");
        assert_eq!((error.status(), error.is_unreachable()), (Some(500), false));
    }
}
