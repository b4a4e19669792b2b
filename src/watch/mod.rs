//! Showing a task while it moves, in one of three forms: drawn in place on a terminal, a line an event, or JSON.

mod dag;
mod draw;
mod lines;
mod live;
pub mod names;
pub mod results;

use std::io::Write;

use regatta_client::Client;
use regatta_client::api::task::TaskDetail;
use uuid::Uuid;

use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::feed::{Feed, Item, ended_well};
use crate::signals;
use crate::ui;
use crate::ui::style::{WARN, paint};

/// How a task is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Drawn in place.
    Live,
    /// A line an event.
    Lines,
    /// A JSON object an event.
    Json,
}

impl Form {
    /// The form for this output.
    pub fn of(json: bool) -> Self {
        match (json, ui::terminal()) {
            (true, _) => Self::Json,
            (false, Some(_)) => Self::Live,
            (false, None) => Self::Lines,
        }
    }
}

/// Shows a task until it ends, then its results. The exit code is that of the task.
///
/// # Errors
/// When the server is lost, or Ctrl-C comes.
pub async fn task(context: &Context, client: &Client, id: Uuid, form: Form) -> Outcome {
    // This one is quick to say that there is no server or no such task; what follows is patient.
    let task = client.task(id).await?;
    let client = &context.patient_client()?;
    let feed = Feed::start(client.clone(), id);
    let shown = async {
        match form {
            Form::Live => live::show(client, task, feed).await,
            Form::Lines => lines::show(context, client, task, feed).await,
            Form::Json => json(context, feed).await,
        }
    };
    let ended = tokio::select! {
        ended = shown => ended?,
        () = signals::interrupted() => return Err(left_running(context, id)),
    };
    if form != Form::Json {
        results::print_end(&ended)?;
        results::print(client, &ended).await?;
    }
    Ok(if ended_well(&ended) { Exit::Done } else { Exit::Failed })
}

async fn json(context: &Context, mut feed: Feed) -> Result<TaskDetail, Failure> {
    loop {
        match feed.next().await? {
            Item::Event(event) => ui::json::print_line(&event)?,
            Item::CaughtUp => {}
            Item::Lost => connection(context, false),
            Item::Back => connection(context, true),
            Item::Ended(task) => return Ok(*task),
        }
    }
}

/// Says that the server is away, or there again; not among what is printed.
pub fn connection(context: &Context, is_back: bool) {
    if context.globals.quiet {
        return;
    }
    let text = if is_back {
        "the server is there again"
    } else {
        "no word from the server; trying again (Ctrl-C ends only this)"
    };
    // Where it cannot be written, nobody listens.
    let _ = writeln!(anstream::stderr().lock(), "{}", paint(WARN, text));
}

/// Waits until a task ends.
///
/// # Errors
/// The client's.
pub async fn until_end(client: &Client, id: Uuid) -> Result<TaskDetail, regatta_client::Error> {
    loop {
        let task = client.wait_for_task(id, 60).await?;
        if task.status.is_ended() {
            return Ok(task);
        }
    }
}

/// Ctrl-C came: the task goes on without us.
pub fn left_running(context: &Context, id: Uuid) -> Failure {
    if context.globals.quiet {
        return Failure::quiet(Exit::Interrupted);
    }
    let id = ui::id(id);
    Failure::interrupted("interrupted; the task goes on without you")
        .hint(format!("see it again with `regatta task watch {id}`, stop it with `regatta task cancel {id}`"))
}
