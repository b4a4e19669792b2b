//! Starting a server for one test.

use axum::Router;
use regatta_client::{Client, Options};

/// A client of a fresh server with these routes, which ends with the test's runtime.
pub async fn client(routes: Router) -> Client {
    client_with(routes, Options::default()).await
}

/// As [`client`], with other options; their `server` is replaced.
pub async fn client_with(routes: Router, options: Options) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Client::new(Options { server: format!("http://{address}"), ..options })
        .expect("a loopback address is a good server")
}
