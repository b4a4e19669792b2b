//! Regatta's typed client: every call of the API as a method, and its three WebSockets as streams of typed frames.
//!
//! The command line, the worker and the performance suite stand on it. It repeats calls where that is harmless, with
//! backoff and jitter, and gives every call that makes tasks an idempotency key, so that a repetition makes nothing twice.
//! Not here: what callers do with the answers, and printing.
//!
//! ```no_run
//! # async fn example() -> Result<(), regatta_client::Error> {
//! use regatta_client::{Client, Options, api::task::CreateTask};
//!
//! let client = Client::new(Options::default())?;
//! let created = client.submit(&CreateTask::new("Count the words of the book")).await?;
//! println!("{}", client.task(created.task_id).await?.status);
//! # Ok(())
//! # }
//! ```

mod error;
mod options;
mod rest;
mod retry;
mod tls;
mod transport;
mod ws;

pub use error::Error;
pub use options::Options;
pub use regatta_api as api;
pub use retry::{Backoff, RetryPolicy};
pub use transport::Client;
pub use ws::closed::Closed;
pub use ws::logs::LogFollower;
pub use ws::watch::Watcher;
pub use ws::worker_line::{WorkerLine, WorkerLineReader, WorkerLineWriter};

/// A result of a call to the server.
pub type Result<T> = std::result::Result<T, Error>;
