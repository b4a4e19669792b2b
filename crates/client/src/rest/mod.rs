//! The calls of the API, one method each.
//!
//! How a call travels is not here, see `transport`; each method says when its repetition is harmless, by the contract.

mod health;
mod subtasks;
mod tasks;
mod workers;

#[cfg(test)]
mod tests {
    use crate::{Client, Options};

    /// A `format_args!` in a call lives across its await, and would tie the call to one thread.
    #[tokio::test]
    async fn calls_can_be_made_from_any_thread() {
        fn sendable<T: Send>(_: T) {}
        let client = Client::new(Options::default()).unwrap();
        let id = uuid::Uuid::nil();
        sendable(client.task(id));
        sendable(client.subtask(id));
        sendable(client.worker(id));
        sendable(client.follow_logs(id, None));
        sendable(client.watch_task(id, None));
    }
}
