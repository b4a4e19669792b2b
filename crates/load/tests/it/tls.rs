//! TLS: a server whose certificate the system trusts, and one it does not.

use std::net::SocketAddr;
use std::sync::Arc;

use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::{Engine, Options, Outcome};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Nobody, users};

/// What a server with a certificate for localhost that nobody knows needs; and the certificate.
pub fn server() -> (ServerConfig, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, made.cert.pem())
}

/// A server that speaks HTTP/1.1; and its certificate.
fn start() -> (SocketAddr, String) {
    let (config, pem) = server();
    let (address, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = vec![0; 4096];
                    while matches!(stream.read(&mut head).await, Ok(1..)) {
                        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    (port.recv().unwrap(), pem)
}

fn run(host: &str, options: Options) -> Outcome {
    let text = "[[users]]\nname = \"A\"\nwait = { constant = \"20ms\" }\n[[users.tasks]]\nget = \"/\"\n";
    let source = Source { name: "t".into(), text: text.into(), folder: "".into() };
    let choices = Choices { host: Some(host.to_owned()), ..Choices::default() };
    let plan = regatta_load::scenario::load(&source, &choices).unwrap();
    Engine::new(plan, options).unwrap().run(&mut Nobody).unwrap()
}

#[test]
fn a_certificate_that_is_trusted() {
    let (address, pem) = start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let options = Options { trust: Some(file.path().to_owned()), ..users(2, 1_000) };
    let ran = run(&format!("https://localhost:{}", address.port()), options.clone());
    assert!(ran.totals.all.requests > 2);
    assert_eq!(ran.totals.all.failures, 0, "{:?}", ran.totals.errors);
    // Another name than the certificate's.
    let ran = run(&format!("https://{address}"), options);
    assert_eq!(ran.totals.all.failures, ran.totals.all.requests);
}

#[test]
fn a_certificate_that_does_not_verify_fails_every_request() {
    let (address, _) = start();
    let ran = run(&format!("https://localhost:{}", address.port()), users(1, 600));
    assert!(ran.totals.all.requests > 0);
    assert_eq!(ran.totals.all.failures, ran.totals.all.requests);
    let errors = ran.totals.errors_by_count();
    assert!(errors.len() == 1 && errors[0].1.starts_with("TLS: invalid peer certificate"), "{errors:?}");
}
