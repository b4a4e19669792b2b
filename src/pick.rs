//! Finding the task or worker that a person means.

use regatta_client::Client;
use regatta_client::api::task::TasksQuery;
use regatta_client::api::worker::WorkersQuery;
use uuid::Uuid;

use crate::exit::Failure;

/// How many of the newest tasks a shortened id is looked for in.
const NEWEST: u32 = 100;

/// The help of an argument that names a task.
pub const TASK_HELP: &str = "The task: its id, the beginning of it when only one of the newest 100 fits, or `latest`";

/// The task that is meant by its id, a part of it, or `latest`.
///
/// # Errors
/// When none or several fit, or the server does not answer.
pub async fn task(client: &Client, text: &str) -> Result<Uuid, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let latest = text == "latest";
    let part = text.to_ascii_lowercase();
    if !latest && (part.len() < 4 || !part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')) {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::usage(format!("{text:?} is too little of a task id"))
                .hint("give at least four characters, or `latest`; `regatta task list` shows the ids"));
        }
        return Err(Failure::usage(format!("{text:?} is no task id"))
            .hint("`regatta task list` shows them; the beginning of one, or `latest`, will do too"));
    }
    let limit = if latest { 1 } else { NEWEST };
    let list = client.tasks(&TasksQuery { limit: Some(limit), ..TasksQuery::default() }).await?;
    let mut fits = list.tasks.iter().map(|task| task.task_id).filter(|id| latest || id.to_string().starts_with(&part));
    match (fits.next(), fits.next()) {
        (Some(id), None) => Ok(id),
        (None, _) if latest => Err(Failure::failed("there is no task yet").hint("regatta task submit --help")),
        (None, _) => {
            Err(Failure::failed(format!("none of the newest {NEWEST} tasks has an id that begins with {text}"))
                .hint("`regatta task list` shows them; give the whole id for an older one"))
        }
        (Some(_), Some(_)) => {
            Err(Failure::failed(format!("several of the newest {NEWEST} tasks fit {text}")).hint("give more of the id"))
        }
    }
}

/// The worker that is meant by its id or its name.
///
/// # Errors
/// When none or several fit, or the server does not answer.
pub async fn worker(client: &Client, text: &str) -> Result<Uuid, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let mut query = WorkersQuery { limit: Some(NEWEST), ..WorkersQuery::default() };
    let mut found = None;
    loop {
        let page = client.workers(&query).await?;
        for worker in page.workers.iter().filter(|worker| worker.machine_name == text) {
            if found.replace(worker.worker_id).is_some() {
                return Err(Failure::failed(format!("several workers are called {text:?}"))
                    .hint("give the id; `regatta workers list --json` shows them"));
            }
        }
        match page.page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    found.ok_or_else(|| {
        Failure::failed(format!("no worker is called {text:?}")).hint("`regatta workers list` shows them")
    })
}
