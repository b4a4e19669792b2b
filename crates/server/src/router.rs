//! Every route, once: from the same list come the router and the document, so that they cannot drift apart.

use axum::Router;
use axum::routing::{any, get};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::console;
use crate::document;
use crate::front::{Front, Kind};
use crate::problem::{Failure, Kind as Problem};
use crate::routes::meta::{self, Document};
use crate::routes::{batch, events, health, legacy, stats, subtasks, tasks, workers};
use crate::ws;

/// The routes by kind, with their documents. Their paths are written out, prefix and all: axum's nesting rewrites the
/// URI of every request.
fn groups() -> [(Kind, OpenApiRouter<App>); 5] {
    let public = OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::detailed))
        .routes(routes!(meta::prometheus));
    let vital = OpenApiRouter::new()
        .routes(routes!(workers::register))
        .routes(routes!(workers::heartbeat))
        .routes(routes!(workers::unregister));
    let ordinary = OpenApiRouter::new()
        .routes(routes!(stats::stats))
        .routes(routes!(workers::list))
        .routes(routes!(workers::get, workers::remove))
        .routes(routes!(workers::drain))
        .routes(routes!(workers::undrain))
        .routes(routes!(workers::poll))
        .routes(routes!(tasks::create, tasks::list))
        .routes(routes!(batch::create))
        .routes(routes!(batch::cancel))
        .routes(routes!(batch::retry))
        .routes(routes!(tasks::get, tasks::remove))
        .routes(routes!(tasks::progress))
        .routes(routes!(tasks::decompose))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::retry))
        .routes(routes!(tasks::list_subtasks))
        .routes(routes!(tasks::ready_subtasks))
        .routes(routes!(events::logs))
        .routes(routes!(events::list))
        .routes(routes!(subtasks::get))
        .routes(routes!(subtasks::result))
        .routes(routes!(subtasks::log))
        .routes(routes!(subtasks::progress))
        .routes(routes!(legacy::result))
        .routes(routes!(legacy::log))
        .routes(routes!(legacy::allocate));
    let changing_get = OpenApiRouter::new().routes(routes!(legacy::poll));
    let sockets = OpenApiRouter::new()
        .routes(routes!(ws::worker_line::open))
        .routes(routes!(ws::task_logs::open))
        .routes(routes!(ws::all::open));
    [
        (Kind::PUBLIC, public),
        (Kind::VITAL, vital),
        (Kind::ORDINARY, ordinary),
        (Kind::CHANGING_GET, changing_get),
        (Kind::SOCKET, sockets),
    ]
}

/// The document of every route.
pub(crate) fn openapi() -> OpenApi {
    let mut all = OpenApiRouter::with_openapi(document::base());
    for (_, routes) in groups() {
        all = all.merge(routes);
    }
    all.to_openapi()
}

/// The router, every route with the layer in front.
pub(crate) fn build(app: &App) -> Router {
    let front = |kind| Front { app: app.clone(), kind };
    let document = Document::new(&document::document());
    let meta = Router::new()
        .route(
            "/openapi.json",
            get(move || {
                let document = document.clone();
                async move { document.answer() }
            }),
        )
        .route("/problems/{slug}", get(meta::problem))
        .route("/docs", get(meta::to_docs))
        .route("/docs/", get(meta::docs))
        .route("/docs/{*file}", get(meta::docs));
    let mut pages = Router::new().route(console::ASSETS, get(console::asset));
    for path in console::PAGES {
        pages = pages.route(path, get(console::page));
    }
    let mut router = Router::new();
    for (kind, routes) in groups() {
        router = router.merge(Router::from(routes).method_not_allowed_fallback(not_allowed).layer(front(kind)));
    }
    router = router.merge(meta.merge(pages).method_not_allowed_fallback(not_allowed).layer(front(Kind::PUBLIC)));
    let missing = Router::new().fallback(any(missing)).layer(front(Kind::PUBLIC));
    router.merge(missing).with_state(app.clone())
}

async fn missing() -> Failure {
    Failure::new(
        Problem::NotFound,
        "There is nothing at this path; /docs lists every call, and those of the API begin with /api/v1.",
    )
}

async fn not_allowed() -> Failure {
    Failure::new(Problem::MethodNotAllowed, "This path is not called with this method; Allow says with which.")
}
