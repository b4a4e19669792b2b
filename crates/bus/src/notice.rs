//! One thing on its way to watchers. It is made once, shared by all who get it, and so is its text.

use bytes::Bytes;
use regatta_model::WorkerId;
use regatta_model::event::Event;
use regatta_model::worker::WorkerRow;
use tokio::sync::OnceCell;

/// An event on its way to watchers; its wire text is made once, by whoever needs it first, and shared.
#[derive(Debug)]
pub struct Notice {
    /// What it tells.
    pub body: Body,
    frame: OnceCell<Bytes>,
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
        Self { body, frame: OnceCell::new() }
    }

    /// Its wire text: only the first `make` is awaited, so every caller must make the same. Who comes meanwhile waits.
    pub async fn frame(&self, make: impl Future<Output = Bytes>) -> Bytes {
        self.frame.get_or_init(|| make).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_model::WorkerId;

    #[tokio::test]
    async fn the_text_is_made_once() {
        let notice = Notice::new(Body::WorkerRemoved(WorkerId(uuid::Uuid::from_u128(7))));
        let first = notice.frame(async { Bytes::from_static(b"one") }).await;
        let second = notice.frame(async { panic!("made twice") }).await;
        assert_eq!(first, "one");
        assert_eq!(second.as_ptr(), first.as_ptr());
    }
}
