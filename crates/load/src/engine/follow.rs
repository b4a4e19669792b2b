//! The way of a request: on the connection there is or on a new one, and on to where redirects lead.

use std::net::SocketAddr;
use std::rc::Rc;

use super::shard::Shard;
use crate::http::connection::Connection;
use crate::http::exchange::{Answer, Want, exchange};
use crate::http::fault::Fault;
use crate::http::http2::Session;
use crate::http::request::Method;
use crate::http::target::Target;
use crate::http::tls;

/// Another server, its addresses, and the connection to it.
pub(super) type Elsewhere = (Target, Rc<[SocketAddr]>, Option<Wire>);

/// A connection and what is spoken over it.
#[derive(Debug)]
pub(super) enum Wire {
    One(Connection),
    Two(Session),
}

impl Wire {
    fn is_stale(&mut self) -> bool {
        match self {
            Self::One(connection) => connection.is_stale(),
            Self::Two(session) => session.is_stale(),
        }
    }

    const fn used(&self) -> bool {
        match self {
            Self::One(connection) => connection.used,
            Self::Two(session) => session.used,
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub target: &'a Target,
    pub addresses: &'a [SocketAddr],
}

/// A new connection.
pub(super) async fn connect(
    shard: &Shard,
    place: Place<'_>,
    address: &mut usize,
    http2: bool,
) -> Result<Connection, Fault> {
    let security = if place.target.tls { Some((shard.tls(http2)?, tls::name(place.target)?)) } else { None };
    let (fresh, index) = Connection::open(place.addresses, *address, security).await?;
    *address = index;
    Ok(fresh)
}

/// Sends, and follows where the answers lead to.
pub(super) async fn follow(
    shard: &Shard,
    connection: &mut Option<Wire>,
    elsewhere: &mut Vec<Elsewhere>,
    address: &mut usize,
    bytes: &[u8],
    want: Want,
) -> Result<Answer, Fault> {
    let home = Place { target: &shard.plan.host, addresses: &shard.addresses };
    let mut answer = send(shard, home, connection, address, bytes, want).await?;
    let most = shard.plan.limits.redirects;
    if most == 0 || !matches!(answer.head.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(answer);
    }
    let (mut target, mut path) = (shard.plan.host.clone(), path_of(bytes));
    let (mut message, mut want) = (bytes.to_vec(), want);
    for _ in 0..most {
        if !matches!(answer.head.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(answer);
        }
        let Some(location) = answer.head.location.take() else { return Ok(answer) };
        let (next, next_path) = resolve(&target, &path, &location)?;
        // RFC 9110, section 15.4: what was asked for lies elsewhere and is fetched with GET, but for 307 and 308.
        let as_get = !matches!(answer.head.status, 307 | 308) && !matches!(want.method, Method::Get | Method::Head);
        if as_get {
            want.method = Method::Get;
        }
        message = redirected(&message, &next, &next_path, want.method, as_get, next != target);
        (target, path) = (next, next_path);
        let same = (&target.host, target.port, target.tls)
            == (&shard.plan.host.host, shard.plan.host.port, shard.plan.host.tls);
        answer = if same {
            send(shard, home, connection, address, &message, want).await?
        } else {
            let place = match elsewhere.iter().position(|(known, ..)| *known == target) {
                Some(place) => place,
                None => {
                    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
                    let found: Vec<SocketAddr> = found.map_err(|error| Fault::connect(&error))?.collect();
                    elsewhere.push((target.clone(), found.into(), None));
                    elsewhere.len() - 1
                }
            };
            let (_, addresses, connection) = &mut elsewhere[place];
            send(shard, Place { target: &target, addresses }, connection, &mut 0, &message, want).await?
        };
    }
    if matches!(answer.head.status, 301 | 302 | 303 | 307 | 308) {
        return Err(Fault::Redirects(most));
    }
    Ok(answer)
}

/// One request on the connection there is, or on a new one.
async fn send(
    shard: &Shard,
    place: Place<'_>,
    slot: &mut Option<Wire>,
    address: &mut usize,
    bytes: &[u8],
    want: Want,
) -> Result<Answer, Fault> {
    // Taken out while it is in use: a request that is dropped half-way must not leave it behind.
    let mut connection = slot.take();
    if connection.as_mut().is_some_and(Wire::is_stale) {
        connection = None;
    }
    loop {
        let mut open = match connection.take() {
            Some(connection) => connection,
            None if shard.http2 => {
                // In a box of its own: most users never need the room that it takes.
                let session = Box::pin(async {
                    let connection = connect(shard, place, address, true).await?;
                    if place.target.tls && connection.protocol() != Some(b"h2") {
                        return Err(Fault::Tls("the server does not agree to HTTP/2 (ALPN)".to_owned()));
                    }
                    Session::open(connection).await
                });
                Wire::Two(session.await?)
            }
            None => Wire::One(connect(shard, place, address, false).await?),
        };
        let was_used = open.used();
        let answer = match &mut open {
            Wire::One(connection) => exchange(connection, bytes, want, &shard.buffer).await,
            Wire::Two(session) => Box::pin(session.exchange(bytes, place.target, want)).await,
        };
        match answer {
            Ok(answer) => {
                if answer.head.keep_alive {
                    *slot = Some(open);
                }
                return Ok(answer);
            }
            // A server may close an idle connection at the moment in which we use it (RFC 9112, section 9.5).
            Err(Fault::Closed(false) | Fault::Io(_)) if was_used && want.method.is_idempotent() => {}
            Err(fault) => return Err(fault),
        }
    }
}

/// Path and query of a request's first line.
fn path_of(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line).split(' ').nth(1).unwrap_or("/").to_owned()
}

/// Where a `Location` leads to.
fn resolve(from: &Target, path: &str, location: &str) -> Result<(Target, String), Fault> {
    let bad = Fault::Malformed("its Location is no address");
    let here = Target { base: String::new(), ..from.clone() };
    if location.starts_with("http://") || location.starts_with("https://") {
        let (target, path) = Target::split(location).map_err(|_| bad)?;
        return Ok((target, if path.is_empty() { "/".to_owned() } else { path }));
    }
    if let Some(rest) = location.strip_prefix("//") {
        let scheme = if from.tls { "https" } else { "http" };
        let (target, path) = Target::split(&format!("{scheme}://{rest}")).map_err(|_| bad)?;
        return Ok((target, if path.is_empty() { "/".to_owned() } else { path }));
    }
    let location = location.split('#').next().unwrap_or_default();
    if location.starts_with('/') {
        return Ok((here, location.to_owned()));
    }
    let plain = path.split('?').next().unwrap_or("/");
    let folder = &plain[..plain.rfind('/').map_or(0, |slash| slash + 1)];
    Ok((here, if location.starts_with('?') { format!("{plain}{location}") } else { format!("{folder}{location}") }))
}

/// The same request for another place.
fn redirected(bytes: &[u8], target: &Target, path: &str, method: Method, drop_body: bool, foreign: bool) -> Vec<u8> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    let (head, body) = (&bytes[..end], bytes.get(end + 4..).unwrap_or_default());
    let mut out = Vec::with_capacity(bytes.len() + path.len());
    out.extend_from_slice(
        format!("{} {path} HTTP/1.1\r\nHost: {}\r\n", method.as_str(), target.authority()).as_bytes(),
    );
    for line in String::from_utf8_lossy(head).split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let dropped = match name.as_str() {
            "host" => true,
            // Of no use to anybody else.
            "authorization" | "cookie" => foreign,
            "content-length" | "content-type" => drop_body,
            _ => false,
        };
        if !dropped {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    if !drop_body {
        out.extend_from_slice(body);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let here: Target = "http://a:81".parse().unwrap();
        for (location, host, path) in [
            ("/x?y", "a", "/x?y"),
            ("x", "a", "/d/x"),
            ("?z=1", "a", "/d/e?z=1"),
            ("http://b/c", "b", "/c"),
            ("//b", "b", "/"),
            ("/x#f", "a", "/x"),
        ] {
            let (target, found) = resolve(&here, "/d/e?q", location).unwrap();
            assert_eq!((target.host.as_str(), found.as_str()), (host, path), "{location}");
        }
        assert!(resolve(&here, "/", "http://").is_err());
    }

    #[test]
    fn a_redirected_post_becomes_a_get_and_keeps_secrets_at_home() {
        let post = b"POST /a HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nContent-Length: 2\r\n\r\n{}";
        let target: Target = "http://b".parse().unwrap();
        let get = String::from_utf8(redirected(post, &target, "/c", Method::Get, true, true)).unwrap();
        assert_eq!(get, "GET /c HTTP/1.1\r\nHost: b\r\n\r\n");
        let same = String::from_utf8(redirected(post, &target, "/c", Method::Post, false, false)).unwrap();
        assert!(same.contains("Authorization: x\r\n") && same.ends_with("\r\n\r\n{}"), "{same}");
    }
}
