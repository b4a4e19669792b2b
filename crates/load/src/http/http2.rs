//! HTTP/2 on a connection of one user: the same bytes of a request as for HTTP/1.1 go in, the same answer comes out.
//!
//! A user owns its connection and has one request on it at a time, as a real client's user does; a browser's many
//! users never share one. So what HTTP/2 changes is the framing, the compression of heads, and what a server does
//! with both. The protocol itself is the `h2` crate's, the one beneath hyper.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderName, HeaderValue, Request, Uri};

use super::connection::Connection;
use super::exchange::{Answer, Want, unzip};
use super::fault::Fault;
use super::head::{Framing, Head};
use super::target::Target;

/// So much of an answer may be under way: the default of 64 KiB would measure round trips.
const WINDOW: u32 = 1 << 20;
/// Headers a request may have.
const HEADERS: usize = 100;

/// A connection that speaks HTTP/2.
#[derive(Debug)]
pub struct Session {
    sender: SendRequest<Bytes>,
    /// Whether an answer came over it already.
    pub used: bool,
}

impl Session {
    /// Greets the server. What keeps the connection going runs beside the user on the same thread.
    ///
    /// # Errors
    /// When it does not speak HTTP/2.
    pub async fn open(connection: Connection) -> Result<Self, Fault> {
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, driver) = builder.handshake(connection).await.map_err(|error| fault(&error))?;
        tokio::task::spawn_local(async move {
            // Why it ended is told to who waits for an answer.
            let _ = driver.await;
        });
        Ok(Self { sender, used: false })
    }

    /// Whether it is plainly of no use any more.
    pub fn is_stale(&mut self) -> bool {
        matches!(self.sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }

    /// Sends the request and waits for the whole answer. After an error it is of no use any more.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn exchange(&mut self, request: &[u8], target: &Target, want: Want) -> Result<Answer, Fault> {
        let (request, body) = parse(request, target)?;
        poll_fn(|cx| self.sender.poll_ready(cx)).await.map_err(|error| fault(&error))?;
        let sent = self.sender.send_request(request, body.is_empty());
        let (response, mut stream) = sent.map_err(|error| fault(&error))?;
        if !body.is_empty() {
            stream.send_data(body, true).map_err(|error| fault(&error))?;
        }
        let (parts, body) = response.await.map_err(|error| fault(&error))?.into_parts();
        let (bytes, mut body) = read(body, want).await?;
        let text = |name: &str| {
            let values: Vec<_> =
                parts.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let head = Head {
            status: parts.status.as_u16(),
            framing: Framing::Length(bytes),
            keep_alive: true,
            gzip: text("content-encoding").is_some_and(|coding| coding.trim().eq_ignore_ascii_case("gzip")),
            location: if parts.status.is_redirection() { text("location") } else { None },
            timing: text("server-timing"),
        };
        if want.body && head.gzip && !body.is_empty() {
            body = unzip(&body, want.most)?;
        }
        let mut raw_head = Vec::new();
        if want.head {
            raw_head.extend_from_slice(format!("HTTP/1.1 {} \r\n", head.status).as_bytes());
            for (name, value) in &parts.headers {
                raw_head.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
            }
            raw_head.extend_from_slice(b"\r\n");
        }
        self.used = true;
        Ok(Answer { head, bytes, raw_head, body })
    }
}

/// The whole body, as far as it is wanted, and how long it is.
async fn read(mut stream: RecvStream, want: Want) -> Result<(u64, Vec<u8>), Fault> {
    let (mut bytes, mut kept) = (0, Vec::new());
    while let Some(data) = stream.data().await {
        let data = data.map_err(|error| fault(&error))?;
        bytes += data.len() as u64;
        if bytes > want.most {
            return Err(Fault::TooLarge(want.most));
        }
        if want.body {
            kept.extend_from_slice(&data);
        }
        stream.flow_control().release_capacity(data.len()).map_err(|error| fault(&error))?;
    }
    Ok((bytes, kept))
}

/// A request of HTTP/1.1 as one of HTTP/2 (RFC 9113, section 8.2), and its body.
fn parse(bytes: &[u8], target: &Target) -> Result<(Request<()>, Bytes), Fault> {
    let bad = Fault::Malformed("the request cannot be said in HTTP/2");
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else { return Err(bad) };
    let (Some(method), Some(path)) = (parsed.method, parsed.path) else { return Err(bad) };
    let mut authority = target.authority();
    let mut request = Request::builder().method(method);
    for header in parsed.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        match name.as_str() {
            // It becomes the authority.
            "host" => authority = String::from_utf8_lossy(header.value).into_owned(),
            // Of a connection of HTTP/1.1; here they make a request malformed.
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {}
            _ => {
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad.clone())?;
                let value = HeaderValue::from_bytes(header.value).map_err(|_| bad.clone())?;
                request = request.header(name, value);
            }
        }
    }
    let scheme = if target.tls { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    let request = request.uri(uri.map_err(|_| bad.clone())?).body(()).map_err(|_| bad)?;
    Ok((request, Bytes::copy_from_slice(&bytes[length..])))
}

fn fault(error: &h2::Error) -> Fault {
    if let Some(error) = error.get_io() {
        return Fault::io(error);
    }
    match error.reason() {
        // It goes away in order, or has not looked at the request: both may be tried again.
        Some(Reason::NO_ERROR | Reason::REFUSED_STREAM) => Fault::Closed(false),
        Some(reason) => Fault::Http2(format!("{} ({reason:?})", reason.description())),
        None => Fault::Http2(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_http_1_is_said_in_http_2() {
        let bytes =
            b"POST /a?b HTTP/1.1\r\nHost: other:81\r\nX-A: b\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        let (request, body) = parse(bytes, &"https://localhost:9".parse().unwrap()).unwrap();
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "https://other:81/a?b"));
        let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!((names, body.as_ref()), (vec!["x-a", "content-length"], b"{}".as_slice()));
    }
}
