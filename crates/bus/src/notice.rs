//! One thing on its way to watchers. It is made once, shared by all who get it, and so is its text.

use std::sync::OnceLock;

use bytes::Bytes;
use regatta_model::WorkerId;
use regatta_model::event::Event;
use regatta_model::worker::WorkerRow;

/// An event on its way to watchers; its wire text is made once, by whoever needs it first, and shared.
#[derive(Debug)]
pub struct Notice {
    /// What it tells.
    pub body: Body,
    frame: OnceLock<Bytes>,
}

/// What a notice tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// An event of a task.
    Event(Event),
    /// A worker, as it is now.
    Worker(WorkerRow),
    /// A worker was taken off the list.
    WorkerRemoved(WorkerId),
}

impl Notice {
    /// A notice without text.
    pub fn new(body: Body) -> Self {
        Self { body, frame: OnceLock::new() }
    }

    /// Its wire text: `make` is called only the first time, so every caller must make the same.
    pub fn frame(&self, make: impl FnOnce(&Body) -> Bytes) -> Bytes {
        self.frame.get_or_init(|| make(&self.body)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_model::WorkerId;

    #[test]
    fn the_text_is_made_once() {
        let notice = Notice::new(Body::WorkerRemoved(WorkerId(uuid::Uuid::from_u128(7))));
        let first = notice.frame(|_| Bytes::from_static(b"one"));
        let second = notice.frame(|_| Bytes::from_static(b"two"));
        assert_eq!(first, "one");
        assert_eq!(second.as_ptr(), first.as_ptr());
    }
}
