//! The web page of a load test: it waits for somebody to start a run, and lets him watch, change and stop it.
//!
//! - [`lead`]: the runs, one after the other, and what is known of the one that runs
//! - [`settings`]: what a run is asked to be
//! - [`history`]: its course, bounded however long it takes
//! - [`figures`]: what the page shows of it once a second, if somebody looks ([`watched`])
//! - [`api`]: what the page asks for; [`locust`]: Locust's web API, for scripts written against that
//! - [`guard`]: from where it may be asked; [`login`]: by whom
//!
//! The page itself is built in `web/` and served from the binary as the console is.

mod api;
mod figures;
mod guard;
mod history;
mod lead;
mod locust;
mod login;
mod settings;
mod watched;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use regatta_load::Plan;
use regatta_load::scenario::compile::Source;
use regatta_server::console;
use tokio::net::TcpListener;

use self::lead::Lead;
use self::login::Login;
use self::settings::Settings;
use super::args::Load;
use super::show::{self, Log};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::signals::Signals;

/// Serves the page until Ctrl-C, or `--autoquit`.
pub fn serve(load: &Load, context: &Context, source: Source, plan: &Plan) -> Outcome {
    // What cannot be run is told before anybody is asked to come.
    load.options()?;
    let settings = Settings::of(load, plan)?;
    let lead = Lead::new(load, context, source, settings, plan);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(serve_until_told(load, lead))
}

async fn serve_until_told(load: &Load, lead: Arc<Lead>) -> Outcome {
    let log = Log::new(load);
    let mut signals = Signals::take()?;
    let listener = listen(&load.web_host, load.web_port).await?;
    let address = listener.local_addr()?;
    let url = format!("http://{}:{}", shown(&load.web_host), address.port());
    let login = Login::of(load, &address)?;
    log.info(&format!("Starting regatta load {}; web page at {url}", env!("CARGO_PKG_VERSION")));
    if !address.ip().is_loopback() {
        log.warning(
            "Between this page and its readers everything can be read, the token too; a proxy in front can speak TLS",
        );
    }
    if let Some(made) = login.as_ref().and_then(Login::made) {
        // To the terminal, this once, and no line of the log.
        show::print(&format!(
            "\nSign in at the page with this token, made for this start; scripts send it as `Authorization: Bearer`:\n\n  {}\n\n\
             To choose it yourself, set REGATTA_LOAD_TOKEN.\n",
            made.expose()
        ));
    }
    let app = Router::new()
        .route("/", get(|headers: HeaderMap| async move { console::load_page(&headers) }))
        .route("/assets/{*file}", get(asset))
        .merge(api::routes(login.is_some()))
        .merge(locust::routes())
        .with_state(lead.clone());
    let app = match login {
        Some(login) => Arc::new(login).before(app),
        None => app,
    };
    let app = app.layer(axum::middleware::from_fn(guard::check));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let drained = async {
            // Dropped or sent: both mean stop.
            let _ = stopped.await;
        };
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(drained)
            .await
    });
    if load.autostart {
        let settings = lead.settings();
        if let Err(why) = lead.clone().start(settings).await {
            log.error(&why);
        }
    }
    let quit = async {
        let Some(seconds) = load.autoquit.filter(|_| load.autostart) else { return std::future::pending().await };
        lead.ended().await;
        tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default()).await;
    };
    tokio::select! {
        () = quit => drop(log.info("--autoquit time reached, shutting down")),
        () = signals.next() => {}
    }
    lead.stop("interrupted");
    tokio::select! {
        () = lead.ended() => {}
        () = signals.next() => return Err(Failure::quiet(Exit::Interrupted)),
    }
    drop(stop);
    // Whoever still reads an answer gets a moment for it.
    let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
    lead.finish()
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    console::load_file(&file, &headers).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// `*` and nothing mean every address of this machine, as with Locust.
async fn listen(host: &str, port: u16) -> Result<TcpListener, Failure> {
    let host = if host.is_empty() || host == "*" { "0.0.0.0" } else { host };
    TcpListener::bind((host, port)).await.map_err(|error| {
        let failure = Failure::failed(format!("the web page cannot listen at {host}:{port}: {error}"));
        failure.hint("name another port with --web-port, or do without the page: --headless")
    })
}

fn shown(host: &str) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) if !address.is_unspecified() => format!("[{address}]"),
        Err(_) if !matches!(host, "" | "*" | "0.0.0.0") => host.to_owned(),
        _ => "localhost".to_owned(),
    }
}

/// The last words of a run: its tables.
fn print_tables(totals: &regatta_load::Totals) {
    use regatta_load::report::tables;
    show::print(&tables::requests(totals, show::columns(), false));
    show::print(&tables::percentiles(totals, show::columns()));
    for table in [tables::service(totals), tables::stages(totals), tables::errors(totals), tables::exceptions(totals)] {
        if !table.is_empty() {
            show::print(&table);
        }
    }
}
