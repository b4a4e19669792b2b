//! Who may call what: one table, a line for each route, asked before the route is.
//!
//! A route that is not in the table is closed to everyone on a server that asks for tokens, and a test fails. Whether a
//! worker's token speaks for a worker of its own is decided here; whether that worker holds the subtask it speaks of is
//! decided with the change itself, by the ledger.

use http::{Method, Uri};
use regatta_model::WorkerId;
use regatta_model::words::TokenRole;
use uuid::Uuid;

use crate::app::App;
use crate::identity::Identity;
use crate::metrics;
use crate::problem::{Failure, Kind};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Nothing.
    Public,
    /// A token that counts.
    Known,
    /// To read: viewers and users.
    Read,
    /// To change things, and to make work: users.
    Change,
    /// To register a worker: workers and users.
    Register,
    /// To act for the worker that the path names: the token that registered it, and users.
    OwnWorker,
    /// To report on the subtask that the path names: the token of the worker that holds it, and users. The ledger looks
    /// who holds it.
    Holder,
}

use Permission::{Change, Holder, OwnWorker, Public, Read, Register};

/// The table. Paths are route patterns; HEAD is asked as GET.
#[rustfmt::skip]
const TABLE: &[(&str, &str, Permission)] = &[
    ("GET",    "/api/v1/health",                                        Public),
    ("GET",    "/api/v1/health/live",                                   Public),
    ("GET",    "/api/v1/health/ready",                                  Public),
    ("GET",    "/api/v1/health/detailed",                               Read),
    ("GET",    "/metrics",                                              Read),
    ("GET",    "/openapi.json",                                         Read),
    ("GET",    "/docs",                                                 Read),
    ("GET",    "/docs/",                                                Read),
    ("GET",    "/docs/{*file}",                                         Read),
    ("GET",    "/problems/{slug}",                                      Read),
    // The console's files tell nothing; what it shows it asks for with the token that is typed into it.
    ("GET",    "/",                                                     Public),
    ("GET",    "/tasks",                                                Public),
    ("GET",    "/tasks/{*rest}",                                        Public),
    ("GET",    "/workers",                                              Public),
    ("GET",    "/workers/{*rest}",                                      Public),
    ("GET",    "/assets/{*file}",                                       Public),
    ("GET",    "/api/v1/stats",                                         Read),

    ("POST",   "/api/v1/workers/register",                              Register),
    ("GET",    "/api/v1/workers",                                       Read),
    ("GET",    "/api/v1/workers/{worker_id}",                           Read),
    ("DELETE", "/api/v1/workers/{worker_id}",                           Change),
    ("POST",   "/api/v1/workers/{worker_id}/drain",                     Change),
    ("POST",   "/api/v1/workers/{worker_id}/undrain",                   Change),
    ("POST",   "/api/v1/workers/{worker_id}/heartbeat",                 OwnWorker),
    ("POST",   "/api/v1/workers/{worker_id}/unregister",                OwnWorker),
    ("POST",   "/api/v1/workers/{worker_id}/poll",                      OwnWorker),
    ("GET",    "/api/v1/workers/{worker_id}/tasks",                     OwnWorker),
    ("POST",   "/api/v1/workers/{worker_id}/tasks/{subtask_id}/result", OwnWorker),

    ("POST",   "/api/v1/tasks",                                         Change),
    ("GET",    "/api/v1/tasks",                                         Read),
    ("POST",   "/api/v1/tasks/batch",                                   Change),
    ("POST",   "/api/v1/tasks/cancel",                                  Change),
    ("POST",   "/api/v1/tasks/retry",                                   Change),
    ("GET",    "/api/v1/tasks/{task_id}",                               Read),
    ("DELETE", "/api/v1/tasks/{task_id}",                               Change),
    ("GET",    "/api/v1/tasks/{task_id}/progress",                      Read),
    ("POST",   "/api/v1/tasks/{task_id}/decompose",                     Change),
    ("POST",   "/api/v1/tasks/{task_id}/allocate",                      Change),
    ("POST",   "/api/v1/tasks/{task_id}/cancel",                        Change),
    ("POST",   "/api/v1/tasks/{task_id}/retry",                         Change),
    ("GET",    "/api/v1/tasks/{task_id}/subtasks",                      Read),
    ("GET",    "/api/v1/tasks/{task_id}/ready-subtasks",                Read),
    ("GET",    "/api/v1/tasks/{task_id}/logs",                          Read),
    ("GET",    "/api/v1/tasks/{task_id}/events",                        Read),

    ("GET",    "/api/v1/subtasks/{subtask_id}",                         Read),
    ("POST",   "/api/v1/subtasks/{subtask_id}/result",                  Holder),
    ("POST",   "/api/v1/subtasks/{subtask_id}/log",                     Holder),
    ("POST",   "/api/v1/subtasks/{subtask_id}/logs",                    Holder),
    ("POST",   "/api/v1/subtasks/{subtask_id}/progress",                Holder),

    // All that is said over a socket needs what opening it needs.
    ("GET",    "/api/v1/ws",                                            Read),
    ("GET",    "/api/v1/ws/tasks/{task_id}/logs",                       Read),
    ("GET",    "/api/v1/workers/{worker_id}/ws",                        OwnWorker),
];

/// What a call needs; `None` for a route that the table lacks. `route` is `None` for a path without one.
pub(crate) fn permission(method: &Method, route: Option<&str>) -> Option<Permission> {
    let Some(route) = route else { return Some(Permission::Known) };
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut of_route = TABLE.iter().filter(|(_, known, _)| *known == route).peekable();
    of_route.peek()?;
    // Another method of a route that is known is answered with a 405.
    Some(of_route.find(|(known, ..)| *known == method).map_or(Permission::Known, |(.., permission)| *permission))
}

/// Refuses what the caller's role does not allow.
///
/// # Errors
/// A 403 that says what would do; those of the store.
pub(crate) async fn authorize(
    app: &App,
    caller: &Identity,
    needed: Option<Permission>,
    uri: &Uri,
) -> Result<(), Failure> {
    let role = caller.role();
    let allowed = match (needed, role) {
        (None, _) => {
            return Err(Failure::internal(&format!("the table of permissions lacks the route of {}", uri.path())));
        }
        (Some(_), TokenRole::User) => true,
        (Some(Permission::Public | Permission::Known), _) => true,
        (Some(Permission::Read), role) => role == TokenRole::Viewer,
        (Some(Permission::Change), _) => false,
        (Some(Permission::Register | Permission::OwnWorker | Permission::Holder), role) => role == TokenRole::Worker,
    };
    if !allowed {
        metrics::refused("role");
        return Err(Failure::new(
            Kind::Forbidden,
            match role {
                TokenRole::Viewer => "A viewer's token only reads; call this with a user's token.",
                _ => {
                    "A worker's token registers workers and acts for those that it registered, nothing else; call this \
                     with a user's token."
                }
            },
        ));
    }
    if needed == Some(OwnWorker)
        && let Some(token) = caller.bound()
        && let Some(worker) = worker(uri)
        // A worker that does not exist is the route's to speak of.
        && app.engine.owns(token, worker).await? == Some(false)
    {
        metrics::refused("not_own");
        return Err(Failure::new(
            Kind::Forbidden,
            format!(
                "Worker {worker} was registered with another token, and a worker's token acts only for its own; register \
                 with this token: POST /api/v1/workers/register."
            ),
        ));
    }
    Ok(())
}

/// The worker that a path names.
fn worker(uri: &Uri) -> Option<WorkerId> {
    let segment = uri.path().strip_prefix("/api/v1/workers/")?.split('/').next()?;
    Uuid::try_parse(segment).ok().map(WorkerId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console;

    #[test]
    fn every_route_of_the_document_is_in_the_table_and_the_other_way_round() {
        let document = serde_json::to_value(crate::document()).unwrap();
        let mut documented = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method = method.to_uppercase();
                let found = TABLE.iter().filter(|(known, route, _)| *known == method && route == path).count();
                assert_eq!(found, 1, "{method} {path}");
                documented.push((method, path.clone()));
            }
        }
        let outside = ["/openapi.json", "/docs", "/docs/", "/docs/{*file}", "/problems/{slug}"];
        for (method, route, _) in TABLE {
            let of_console = console::PAGES.contains(route) || *route == console::ASSETS;
            let known = of_console
                || outside.contains(route)
                || documented.contains(&((*method).to_owned(), (*route).to_owned()));
            assert!(known, "{method} {route}");
        }
    }

    #[test]
    fn what_the_table_lacks_is_nobodys() {
        assert_eq!(permission(&Method::GET, Some("/api/v1/new")), None);
        assert_eq!(permission(&Method::GET, None), Some(Permission::Known));
        assert_eq!(permission(&Method::PUT, Some("/api/v1/tasks")), Some(Permission::Known));
        assert_eq!(permission(&Method::HEAD, Some("/api/v1/tasks")), Some(Read));
    }
}
