//! How a WebSocket ended.

use std::fmt;

use regatta_api::limits::{CLOSE_RESTART, CLOSE_SUPERSEDED, CLOSE_UNREGISTERED};

/// How a WebSocket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The close code of RFC 6455; `None` when the connection broke, or the server was silent for too long.
    pub code: Option<u16>,
    /// Why, in words.
    pub reason: String,
}

impl Closed {
    /// Whether a newer line or registration of the same worker took over (4001): do not connect again.
    pub fn is_superseded(&self) -> bool {
        self.code == Some(CLOSE_SUPERSEDED)
    }

    /// Whether the worker is unregistered (4002): do not connect again.
    pub fn is_unregistered(&self) -> bool {
        self.code == Some(CLOSE_UNREGISTERED)
    }

    /// Whether the node drains (1012): connect again.
    pub fn is_restart(&self) -> bool {
        self.code == Some(CLOSE_RESTART)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.code {
            Some(CLOSE_SUPERSEDED) => "another process took over as this worker (close code 4001)",
            Some(CLOSE_UNREGISTERED) => "this worker is unregistered (close code 4002)",
            Some(CLOSE_RESTART) => "the server is stopping, connect again (close code 1012)",
            Some(code) => return write!(f, "the server closed the line ({code}): {}", self.reason),
            None => return write!(f, "the line broke: {}", self.reason),
        };
        f.write_str(what)?;
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}
