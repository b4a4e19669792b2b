//! Connecting a WebSocket.
//!
//! Only the WebSocket's own handshake: when to connect again is the business of those who use it.

use std::time::Duration;

use regatta_api::{PREFIX, limits};
use reqwest::Url;
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::error::root_cause;
use crate::transport::{Inner, problem};
use crate::{Closed, Error, Result};

/// A connected WebSocket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long connecting and the handshake may take together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The buffers of a connection, in bytes: the library's default of 128 KiB each would be most of a watcher's memory.
const BUFFER: usize = 4096;

/// Connects to a path of the API; `query` comes after the question mark, or is empty.
///
/// # Errors
/// [`Error::Unreachable`] without a connection, [`Error::Problem`] when the server answered with a status instead.
pub(crate) async fn connect(client: &Inner, path: &str, query: &str) -> Result<Socket> {
    let call = format!("GET {PREFIX}{path}");
    let (place, server) = client.server();
    let outcome = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(client, server, path, query)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Timeout { url: server.to_owned(), call, after: HANDSHAKE_TIMEOUT }),
    };
    if let Err(error) = &outcome
        && (error.is_unreachable() || matches!(error.status(), Some(502..=504)))
    {
        client.leave(place);
    }
    outcome
}

async fn handshake(client: &Inner, server: &str, path: &str, query: &str) -> Result<Socket> {
    let unreachable = |error: std::io::Error| Error::Unreachable { url: server.to_owned(), reason: error.to_string() };
    let unusable = |error: &dyn std::fmt::Display| Error::Options(format!("{path} makes no address: {error}"));
    let mut url = Url::parse(&format!("{server}{PREFIX}{path}")).map_err(|error| unusable(&error))?;
    url.set_query((!query.is_empty()).then_some(query));
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let stream = if url.scheme() == "https" {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| unusable(&error))?;
        MaybeTlsStream::Rustls(client.tls.connect(name, stream).await.map_err(unreachable)?)
    } else {
        MaybeTlsStream::Plain(stream)
    };

    let mut request = url.as_str().replacen("http", "ws", 1).into_client_request().map_err(|error| unusable(&error))?;
    if let Some(token) = &client.token {
        let value = format!("Bearer {token}").parse().map_err(|error| unusable(&error))?;
        request.headers_mut().insert(http::header::AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(limits::FRAME_BYTES))
        .max_frame_size(Some(limits::FRAME_BYTES));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => {
            let (parts, body) = response.into_parts();
            let body = body.unwrap_or_default();
            Err(Error::Problem(Box::new(problem(parts.status, &body))))
        }
        Err(WsError::Io(error)) => Err(Error::Interrupted { url: server.to_owned(), reason: root_cause(&error) }),
        // A server that was killed just then; the next one may be there soon.
        Err(
            error @ (WsError::ConnectionClosed
            | WsError::Protocol(
                ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake,
            )),
        ) => Err(Error::Interrupted { url: server.to_owned(), reason: error.to_string() }),
        Err(error) => Err(Error::Protocol(format!("the server does not speak WebSocket at {path}: {error}"))),
    }
}

/// A frame as a message.
///
/// # Errors
/// [`Error::FrameTooLarge`] when the server would not take it.
pub(crate) fn message(frame: &impl Serialize) -> Result<Message> {
    let text = serde_json::to_string(frame)
        .map_err(|error| Error::Protocol(format!("the frame cannot be written: {error}")))?;
    if text.len() > limits::FRAME_BYTES {
        return Err(Error::FrameTooLarge { bytes: text.len(), limit: limits::FRAME_BYTES });
    }
    Ok(Message::text(text))
}

/// Why nothing more can be sent or read.
pub(crate) fn broken(error: &WsError) -> Closed {
    Closed {
        code: None,
        reason: match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => "it is closed".to_owned(),
            error => root_cause(error),
        },
    }
}
