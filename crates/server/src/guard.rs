//! Keeps web pages of other places away from a server that asks for no credentials.
//!
//! A page can make a browser call `localhost`. Two checks stop it: the `Host` must be a loopback name (else the page
//! has pointed its own name at this machine), and an `Origin`, which a page cannot forge, must be the server's own
//! wherever something would change or a WebSocket would open.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method, Uri};

use crate::problem::{Failure, Kind};

/// Refuses a request whose `Host` is no loopback name or address.
///
/// # Errors
/// A 403 that names the host.
pub(crate) fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Failure> {
    // The target's authority counts before the header (RFC 9112, 3.2.2).
    if let Some(authority) = uri.authority() {
        return allow(authority.as_str());
    }
    // Without a Host there is no page behind the request: browsers always send one.
    for host in headers.get_all(HOST) {
        allow(host.to_str().unwrap_or_default())?;
    }
    Ok(())
}

fn allow(host: &str) -> Result<(), Failure> {
    if is_loopback(name(host)) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Forbidden,
        format!("This server answers only to loopback names, and the Host was {host:?}; call it as localhost."),
    ))
}

/// Whether a name or address, without a port, is this machine's own.
pub(crate) fn is_loopback(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = address.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    // RFC 6761: everything under localhost is loopback.
    name.eq_ignore_ascii_case("localhost")
        || name.len() > 10
            && name.is_char_boundary(name.len() - 10)
            && name[name.len() - 10..].eq_ignore_ascii_case(".localhost")
}

/// The host without its port.
fn name(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

/// Whether a method is one that promises to change nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Refuses a foreign `Origin`: one whose scheme, host or port differs from the host that was asked.
///
/// # Errors
/// A 403 that names the origin.
pub(crate) fn check_origin(scheme: &str, uri: &Uri, headers: &HeaderMap) -> Result<(), Failure> {
    let mut origins = headers.get_all(ORIGIN).iter().peekable();
    if origins.peek().is_none() {
        return Ok(());
    }
    let asked = uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()))
        .unwrap_or_default();
    for origin in origins {
        let origin = origin.to_str().unwrap_or_default();
        let own = origin
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .is_some_and(|host| same_place(host, asked, if scheme == "https" { "443" } else { "80" }));
        if !own {
            return Err(Failure::new(
                Kind::Forbidden,
                format!(
                    "The Origin {origin:?} is not the one of this server; call it from its own pages, or without a browser."
                ),
            ));
        }
    }
    Ok(())
}

/// Whether two hosts with ports are the same; `usual` is the port of those that name none.
fn same_place(one: &str, other: &str, usual: &str) -> bool {
    let parts = |host| {
        let name = name(host);
        let port: &str = &host[name.len()..];
        (name, port.strip_prefix(':').filter(|port| !port.is_empty()).unwrap_or(usual))
    };
    let ((name, port), (other_name, other_port)) = (parts(one), parts(other));
    name.eq_ignore_ascii_case(other_name) && port == other_port
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    fn host_ok(host: &str) -> bool {
        check_host(&Uri::from_static("/x"), &headers(&[(HOST, host)])).is_ok()
    }

    #[test]
    fn only_loopback_hosts_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "localhost.",
            "regatta.localhost:1",
            "127.0.0.1:8000",
            "127.9.9.9",
            "[::1]:8000",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert!(host_ok(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "xlocalhost",
            "10.0.0.1:8000",
            "0.0.0.0:8000",
            "[::]:8000",
            "",
            "é",
            "127.0.0.1.nip.io:8000",
            "[fe80::1]:1",
            ".localhost",
        ] {
            assert!(!host_ok(host), "{host}");
        }
        assert!(check_host(&Uri::from_static("/x"), &HeaderMap::new()).is_ok());
        let absolute = Uri::from_static("http://example.com/x");
        assert!(check_host(&absolute, &headers(&[(HOST, "localhost")])).is_err());
        let mut twice = headers(&[(HOST, "localhost")]);
        twice.append(HOST, HeaderValue::from_static("example.com"));
        assert!(check_host(&Uri::from_static("/x"), &twice).is_err());
    }

    #[test]
    fn an_origin_must_be_the_host_that_was_asked() {
        let ok = |host: &str, origin: &str| {
            check_origin("http", &Uri::from_static("/x"), &headers(&[(HOST, host), (ORIGIN, origin)])).is_ok()
        };
        for (host, origin) in [
            ("localhost:8000", "http://localhost:8000"),
            ("LocalHost:8000", "http://localhost:8000"),
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("[::1]:8000", "http://[::1]:8000"),
            ("localhost", "http://localhost:80"),
            ("localhost:80", "http://localhost"),
        ] {
            assert!(ok(host, origin), "{host} {origin}");
        }
        for (host, origin) in [
            ("localhost:8000", "null"),
            ("localhost:8000", "https://localhost:8000"),
            ("localhost:8000", "http://localhost:8001"),
            ("localhost:8000", "http://127.0.0.1:8000"),
            ("localhost:8000", "http://localhost"),
            ("localhost:8000", ""),
            ("localhost:8000", "http://example.com"),
            ("localhost:8000", "http://localhost:8000.example.com"),
        ] {
            assert!(!ok(host, origin), "{host} {origin}");
        }
        assert!(check_origin("http", &Uri::from_static("/x"), &headers(&[(HOST, "localhost")])).is_ok());
        let with_tls = |origin| {
            check_origin("https", &Uri::from_static("/x"), &headers(&[(HOST, "localhost:443"), (ORIGIN, origin)]))
                .is_ok()
        };
        assert!(
            with_tls("https://localhost") && !with_tls("http://localhost:443") && !with_tls("https://localhost:80")
        );
    }
}
