//! What is known of the request that is being served, for whoever serves it: its id, who asks, and what it took
//! to write the answer. Kept in a task-local, so that nothing is passed through the routes.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use http::HeaderValue;

use crate::identity::Identity;
use crate::overload::Permit;

tokio::task_local! {
    static CURRENT: Context;
}

/// See the module.
pub(crate) struct Context {
    pub(crate) id: HeaderValue,
    pub(crate) identity: Option<Identity>,
    pub(crate) serialising: Cell<Duration>,
    pub(crate) permit: RefCell<Option<Permit>>,
}

impl Context {
    pub(crate) fn new(id: HeaderValue, identity: Option<Identity>, permit: Option<Permit>) -> Self {
        Self { id, identity, serialising: Cell::new(Duration::ZERO), permit: RefCell::new(permit) }
    }

    /// Runs a request in this context; also says how long its answer took to write.
    pub(crate) async fn run<T>(self, request: impl Future<Output = T>) -> (T, Duration) {
        CURRENT
            .scope(self, async {
                let output = request.await;
                (output, CURRENT.with(|context| context.serialising.get()))
            })
            .await
    }
}

/// The id of the current request; empty outside one. Log lines get it from here and not from a span, which every request
/// would pay for, logged or not.
pub fn id() -> String {
    CURRENT.try_with(|context| context.id.to_str().map(ToOwned::to_owned).unwrap_or_default()).unwrap_or_default()
}

/// The context of what goes on after the current request was answered, as a WebSocket does: its id, and no more.
pub(crate) fn afterwards() -> Context {
    let id = CURRENT.try_with(|context| context.id.clone());
    Context::new(id.unwrap_or(HeaderValue::from_static("")), None, None)
}

/// Who asks.
pub(crate) fn identity() -> Option<Identity> {
    CURRENT.try_with(|context| context.identity.clone()).ok().flatten()
}

/// Books time spent on writing the answer.
pub(crate) fn book_serialising(time: Duration) {
    // Outside a request, on a socket, nobody asks for it.
    let _ = CURRENT.try_with(|context| context.serialising.set(context.serialising.get() + time));
}

/// Does something with the place of this request among all, such as moving it to those who wait.
pub(crate) fn with_permit<T>(change: impl FnOnce(&mut Option<Permit>) -> T) -> Option<T> {
    CURRENT.try_with(|context| change(&mut context.permit.borrow_mut())).ok()
}
