//! The user classes that know the platform. They are a scenario like any other, and beside it only this: whatever
//! carries the run's label is removed when the run is over, also what an interrupted user left behind.

use std::path::PathBuf;

use regatta_client::api::task::TasksQuery;
use regatta_client::api::worker::WorkersQuery;
use regatta_client::{Client, Options, RetryPolicy};
use regatta_load::scenario::compile::Source;

use crate::exit::Failure;

/// The label's name; its value is the run.
const LABEL: &str = "regatta-load";
/// The classes that run when none are named.
pub const DEFAULT: [&str; 3] = ["WorkerUser", "TaskUser", "MixedUser"];
/// Rows a page, as many as the server gives.
const PAGE: u32 = 100;

/// The scenario; with a token every request shows it.
pub fn source(token: Option<&str>) -> Source {
    // A JSON string is one of TOML too.
    let shown =
        |token: &str| format!("headers = {{ Authorization = {} }}\n", serde_json::json!(format!("Bearer {token}")));
    let text = format!("{}{}", token.map(shown).unwrap_or_default(), include_str!("builtin.toml"));
    Source { name: "the built-in user classes".to_owned(), text, folder: PathBuf::new() }
}

/// Removes what the run has made.
///
/// # Errors
/// When something is left, and how to find it.
pub fn sweep(token: Option<&str>, host: &str, run: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    let options = Options {
        server: host.to_owned(),
        token: token.map(str::to_owned),
        retry: RetryPolicy::within(std::time::Duration::from_secs(10)),
        ..Options::default()
    };
    let client = Client::new(options)?;
    runtime.block_on(async { remove(&client, run).await }).map_err(|error| {
        let failure = Failure::from(error);
        Failure {
            what: format!("what the run {run} has made could not be removed: {}", failure.what),
            hint: Some(format!("workers carry the label {LABEL}={run}, tasks the text `{run}` in their description")),
            ..failure
        }
    })
}

async fn remove(client: &Client, run: &str) -> Result<(), regatta_client::Error> {
    loop {
        let query =
            WorkersQuery { label: Some(format!("{LABEL}={run}")), limit: Some(PAGE), ..WorkersQuery::default() };
        let page = client.workers(&query).await?.workers;
        if page.is_empty() {
            break;
        }
        for worker in page {
            client.unregister(worker.worker_id).await?;
            client.remove_worker(worker.worker_id).await?;
        }
    }
    loop {
        let query = TasksQuery { search: Some(run.to_owned()), limit: Some(PAGE), ..TasksQuery::default() };
        let page = client.tasks(&query).await?.tasks;
        if page.is_empty() {
            return Ok(());
        }
        for task in page {
            // One that has ended already is not cancelled, and is removed all the same.
            let _ = client.cancel(task.task_id, Some("the load test is over")).await;
            client.remove_task(task.task_id).await?;
        }
    }
}
