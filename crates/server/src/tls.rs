//! TLS: the certificate, and the handshake of a connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use regatta_api::problem::CONTENT_TYPE as PROBLEM;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::listen::ListenError;
use crate::problem::{Failure, Kind};
use crate::request_id;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How a TLS connection begins: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// With which certificate a server speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the certificate, and behind it those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, ListenError> {
        let refuse =
            |file: &PathBuf, why: &dyn std::fmt::Display| ListenError::Tls { file: file.clone(), why: why.to_string() };
        let certificates = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refuse(&self.certificate, &error))?;
        if certificates.is_empty() {
            return Err(refuse(&self.certificate, &"it has no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| refuse(&self.key, &error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(&self.certificate, &error))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| refuse(&self.key, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The handshake; `None` when it does not come to an end, which a peer that speaks plain HTTP is told.
pub(crate) async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let shaken = tokio::time::timeout(HANDSHAKE, async {
        let mut first = [0];
        if stream.peek(&mut first).await? > 0 && first[0] != HANDSHAKE_RECORD {
            speak_tls(stream).await?;
            return Ok(None);
        }
        acceptor.accept(stream).await.map(Some)
    });
    match shaken.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

async fn speak_tls(mut stream: TcpStream) -> std::io::Result<()> {
    // Read, or the system resets the connection and the answer is lost.
    let mut asked = [0; 4_096];
    stream.readable().await?;
    let _ = stream.try_read(&mut asked);
    let id = request_id::of(&HeaderMap::new());
    let id = id.to_str().unwrap_or_default();
    let failure = Failure::new(Kind::BadRequest, "This port speaks TLS: call it as https:// (a WebSocket as wss://).");
    let body = serde_json::to_string(&failure.into_problem(id.to_owned())).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM}\r\ncontent-length: {}\r\nx-request-id: {id}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
