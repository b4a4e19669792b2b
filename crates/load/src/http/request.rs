//! A request as the bytes that go over the wire.

use std::io::Write;

use super::target::Target;

/// The methods of scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether sending it a second time does no more than sending it once (RFC 9110, section 9.2.2).
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }

    /// Whether a request of this method says how long its body is even when there is none.
    const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// What a request consists of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The method.
    pub method: Method,
    /// Path and query, as in a URL.
    pub path: &'a str,
    /// Name and value; a name given here replaces the one that would be sent by itself.
    pub headers: &'a [(String, String)],
    /// The body, and what it is.
    pub body: Option<(&'a str, &'a [u8])>,
}

/// Writes a request at the end of `out`.
pub fn write(target: &Target, parts: &Parts<'_>, out: &mut Vec<u8>) {
    let given = |name: &str| parts.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    path(&target.base, out);
    path(if parts.path.is_empty() { "/" } else { parts.path }, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // Writing to a vector cannot fail.
    if !given("host") {
        let _ = write!(out, "Host: {}\r\n", target.authority());
    }
    if !given("user-agent") {
        out.extend_from_slice(concat!("User-Agent: regatta-load/", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes());
    }
    if !given("accept") {
        out.extend_from_slice(b"Accept: */*\r\n");
    }
    if !given("accept-encoding") {
        out.extend_from_slice(b"Accept-Encoding: gzip\r\n");
    }
    for (name, value) in parts.headers {
        header(name, value, out);
    }
    match parts.body {
        Some((kind, body)) => {
            if !given("content-type") {
                header("Content-Type", kind, out);
            }
            let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len());
            out.extend_from_slice(body);
        }
        None if parts.method.has_body() => out.extend_from_slice(b"Content-Length: 0\r\n\r\n"),
        None => out.extend_from_slice(b"\r\n"),
    }
}

/// A header; what would end its line becomes a blank, so that no value can smuggle in another.
fn header(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend(name.bytes().filter(|byte| byte.is_ascii_graphic() && *byte != b':'));
    out.extend_from_slice(b": ");
    out.extend(value.bytes().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// A path; what cannot stand in a request line is percent-encoded, what is encoded already stays.
fn path(path: &str, out: &mut Vec<u8>) {
    for byte in path.bytes() {
        if byte.is_ascii_graphic() {
            out.push(byte);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: Parts<'_>) -> String {
        let mut out = Vec::new();
        write(&"http://localhost:8000/api".parse().unwrap(), &parts, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_get() {
        let get = text(Parts { method: Method::Get, path: "/a b?ü", headers: &[], body: None });
        assert!(get.starts_with("GET /api/a%20b?%C3%BC HTTP/1.1\r\nHost: localhost:8000\r\n"), "{get}");
        assert!(get.ends_with("Accept-Encoding: gzip\r\n\r\n"), "{get}");
    }

    #[test]
    fn a_post_and_its_headers() {
        let headers = [("accept".to_owned(), "text/plain\r\nEvil: 1".to_owned())];
        let body = Some(("application/json", b"{}".as_slice()));
        let post = text(Parts { method: Method::Post, path: "/x", headers: &headers, body });
        assert!(post.contains("accept: text/plain  Evil: 1\r\n") && !post.contains("Accept: */*"), "{post}");
        assert!(post.ends_with("Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"), "{post}");
        let empty = text(Parts { method: Method::Post, path: "", headers: &[], body: None });
        assert!(empty.starts_with("POST /api/ ") && empty.ends_with("Content-Length: 0\r\n\r\n"), "{empty}");
    }
}
