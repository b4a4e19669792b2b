//! The OpenAPI 3.1 document: gathered from the routes, completed with the answers that layers give to all of them.

use http::Method;
use regatta_api::frames::{all, logs, worker};
use regatta_api::problem::CONTENT_TYPE;
use regatta_api::{PREFIX, Problem};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use crate::policy::{self, Permission};
use crate::{nullable, router};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Regatta",
        description = "Runs a fleet of AI agents as one system. Every error is `application/problem+json`; every answer carries \
                       `X-Request-ID` and `Server-Timing`. The frames of the WebSockets are among the schemas.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(
        Problem, worker::ServerFrame, worker::WorkerFrame, logs::LogsFrame, logs::LogsAction, all::WatchFrame, all::WatchAction
    )),
    tags(
        (name = "tasks", description = "Submitting, reading, cancelling and retrying"),
        (name = "subtasks", description = "The steps of tasks, and what their workers report"),
        (name = "workers", description = "The fleet"),
        (name = "websockets", description = "Live: a worker's line, a task's log, everything"),
        (name = "health", description = "Whether it works, and the overview"),
        (name = "meta", description = "Metrics"),
        (name = "older agents", description = "Older forms of calls, for agents already in the field")
    )
)]
struct Base;

pub(crate) fn base() -> OpenApi {
    Base::openapi()
}

/// The document that the server serves at `/openapi.json`.
pub fn document() -> OpenApi {
    let mut document = router::openapi();
    nullable::allow(&mut document);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(&method, path));
            let guarded = method != Method::GET || path.contains("/ws") || operation_changes(path);
            complete(&method, path, guarded, operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, post, delete, .. } = item;
    [(Method::GET, get.as_mut()), (Method::POST, post.as_mut()), (Method::DELETE, delete.as_mut())]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation?)))
}

/// The one GET that leases work.
fn operation_changes(path: &str) -> bool {
    path.ends_with("/workers/{worker_id}/tasks")
}

/// Unique, and the same for as long as the call is: `post_tasks_task_id_cancel`.
fn operation_id(method: &Method, path: &str) -> String {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let method = method.as_str().to_ascii_lowercase();
    std::iter::once(method.as_str()).chain(words).collect::<Vec<_>>().join("_")
}

/// Adds what a call may be answered beside what its route says.
fn complete(method: &Method, path: &str, guarded: bool, operation: &mut Operation) {
    let health = path.contains("/health") || !path.starts_with(PREFIX);
    let in_query = operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => matches!(parameter.parameter_in, ParameterIn::Query | ParameterIn::Header),
        RefOr::Ref(_) => false,
    });
    let has_body = operation.request_body.is_some();
    let origin = if guarded { ", or the Origin is foreign" } else { "" };
    let mut add = |code: &str, description: &str| {
        operation.responses.responses.entry(code.to_owned()).or_insert_with(|| RefOr::T(problem(description)));
    };
    if policy::permission(method, Some(path)) != Some(Permission::Public) {
        add("401", "The server asks for tokens, and none that counts was shown");
        add(
            "429",
            "Too many calls from this address came with tokens that do not count; `Retry-After` says when to try again",
        );
    }
    add("403", &format!("The Host is no loopback name{origin}"));
    if path.contains("_id}") {
        add("404", "There is no such thing");
    }
    if has_body {
        add("408", "The body came too slowly");
        add("413", "A size is over its limit");
        add("415", "The body is not `application/json`");
    }
    if has_body || in_query {
        add("422", "Fields that do not fit, each named in `errors`");
    }
    add("500", "The server failed");
    if !health {
        add(
            "503",
            "The server is overloaded, drains, or its store does not answer; `Retry-After` says when to try again",
        );
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(CONTENT_TYPE, Content::builder().schema(Some(Ref::from_schema_name("Problem"))).build())
        .build()
}
