//! HTTP/2 against servers that speak it, and against one that does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response};
use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::{Engine, Options, Outcome};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Counter, Nobody, bare, run, users, write_and_close};
use crate::tls;

/// A server of HTTP/2 that says goodbye after so many requests on a connection; with its counts of connections and
/// requests.
fn start(secured: Option<Arc<ServerConfig>>, goodbye: u64) -> (SocketAddr, Counter, Counter) {
    let (connections, requests) = (Counter::default(), Counter::default());
    let counts = (connections.clone(), requests.clone());
    let (address, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (secured, counts) = (secured.clone(), counts.clone());
                tokio::spawn(async move {
                    match secured {
                        None => serve(stream, counts, goodbye).await,
                        Some(config) => {
                            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                                serve(stream, counts, goodbye).await;
                            }
                        }
                    }
                });
            }
        });
    });
    (port.recv().unwrap(), connections, requests)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, counts: (Counter, Counter), goodbye: u64) {
    // Whoever only looks whether we are there does not greet.
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut served = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        if served == 0 {
            counts.0.add();
        }
        counts.1.add();
        served += 1;
        if served == goodbye {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(request, respond));
    }
}

async fn answer(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        body.extend_from_slice(&data);
        let _ = stream.flow_control().release_capacity(data.len());
    }
    let mut response = Response::builder().status(200);
    let body = match parts.uri.path() {
        "/large" => vec![b'x'; 3 << 20],
        "/moved" => {
            response = response.status(307).header("location", "/echo");
            Vec::new()
        }
        "/reset" => {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
            return;
        }
        "/silent" => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return;
        }
        _ => body,
    };
    let response = response.header("x-authority", parts.uri.authority().unwrap().as_str());
    let Ok(mut stream) = respond.send_response(response.body(()).unwrap(), body.is_empty()) else { return };
    if !body.is_empty() {
        let _ = stream.send_data(body.into(), true);
    }
}

fn http2(users_: u64, millis: u64) -> Options {
    Options { http2: true, ..users(users_, millis) }
}

#[test]
fn users_own_a_connection_each() {
    let (host, connections, requests) = start(None, u64::MAX);
    let text = r#"
[[users]]
name = "Two"
wait = { constant = "20ms" }
[[users.tasks]]
steps = [
    { post = "/echo", json = { user = "{{user}}" }, extract = { me = "$.user", at = "header:x-authority" } },
    { get = "/large", expect = { contains = "xxx" } },
    { post = "/moved", json = { me = "{{me}}", at = "{{at}}" }, expect = { status = 200, contains = "127.0.0.1" } },
]
"#;
    let mut options = http2(3, 1_000);
    options.stop_timeout = Duration::from_secs(60);
    let ran = run(text, host, options);
    assert!(ran.totals.errors.is_empty() && ran.totals.exceptions.is_empty(), "{:?}", ran.totals.errors);
    assert_eq!(connections.get(), 3);
    // What is redirected is sent twice and counted once.
    let by_name = |name: &str| ran.totals.entries.iter().find(|entry| &*entry.id.name == name).unwrap();
    assert_eq!(requests.get(), ran.totals.all.requests + by_name("/moved").requests);
    assert_eq!(by_name("/large").bytes, by_name("/large").requests * (3 << 20));
}

#[test]
fn a_goodbye_between_two_requests_is_no_failure() {
    let (host, connections, requests) = start(None, 3);
    let text = "[[users]]\nname = \"A\"\nwait = { constant = \"20ms\" }\n[[users.tasks]]\nget = \"/echo\"\n";
    let mut options = http2(1, 1_500);
    options.stop_timeout = Duration::from_secs(60);
    let ran = run(text, host, options);
    assert_eq!(ran.totals.all.failures, 0, "{:?}", ran.totals.errors);
    assert_eq!(ran.totals.all.requests, requests.get());
    assert!(connections.get() > 1);
}

#[test]
fn what_goes_wrong_is_told() {
    let (host, ..) = start(None, u64::MAX);
    for (path, error) in [
        ("/reset", "HTTP/2: unexpected internal error encountered (INTERNAL_ERROR)"),
        ("/silent", "no answer within 0.3 s"),
        ("/large", "the answer is larger than 100000 bytes, which is all one may hold (max_answer)"),
    ] {
        let text = format!(
            "timeout = \"300ms\"\nmax_answer = 100000\n[[users]]\nname = \"A\"\nwait = {{ constant = \"20ms\" }}\n[[users.tasks]]\nget = \"{path}\"\n"
        );
        let ran = run(&text, host, http2(1, 900));
        let errors = ran.totals.errors_by_count();
        assert_eq!(errors.iter().map(|(_, text, _)| *text).collect::<Vec<_>>(), [error]);
        assert_eq!(ran.totals.all.failures, ran.totals.all.requests);
    }
    // Who speaks only HTTP/1.1 answers the greeting with something else.
    let old = bare(|stream| write_and_close(stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    let text = "[[users]]\nname = \"A\"\nwait = { constant = \"20ms\" }\n[[users.tasks]]\nget = \"/\"\n";
    let ran = run(text, old, http2(1, 600));
    assert!(ran.totals.all.failures > 0 && ran.totals.all.failures == ran.totals.all.requests);
    let errors = ran.totals.errors_by_count();
    assert!(errors.iter().all(|(_, text, _)| text.starts_with("HTTP/2:") || text.contains("connection")), "{errors:?}");
}

/// Over TLS it is agreed on, or it is not spoken.
#[test]
fn over_tls_it_is_agreed_on() {
    let secured = |protocol: &[u8]| {
        let (mut config, pem) = tls::server();
        config.alpn_protocols = vec![protocol.to_vec()];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        (start(Some(Arc::new(config)), u64::MAX), file)
    };
    let go = |host: SocketAddr, trust: &tempfile::NamedTempFile| -> Outcome {
        let text = "[[users]]\nname = \"A\"\nwait = { constant = \"20ms\" }\n[[users.tasks]]\nget = \"/echo\"\n";
        let source = Source { name: "t".into(), text: text.into(), folder: "".into() };
        let choices = Choices { host: Some(format!("https://localhost:{}", host.port())), ..Choices::default() };
        let plan = regatta_load::scenario::load(&source, &choices).unwrap();
        let options = Options { trust: Some(trust.path().to_owned()), ..http2(2, 800) };
        Engine::new(plan, options).unwrap().run(&mut Nobody).unwrap()
    };
    let ((host, connections, _), trust) = secured(b"h2");
    let ran = go(host, &trust);
    assert!(ran.totals.all.requests > 2 && ran.totals.all.failures == 0, "{:?}", ran.totals.errors);
    assert_eq!(connections.get(), 2);
    let ((host, ..), trust) = secured(b"http/1.1");
    let ran = go(host, &trust);
    assert!(ran.totals.all.requests > 0 && ran.totals.all.failures == ran.totals.all.requests);
    let errors = ran.totals.errors_by_count();
    assert!(errors[0].1.starts_with("TLS: "), "{errors:?}");
}
