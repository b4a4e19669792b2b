//! Where requests go: scheme, host, port and a path before all others.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A server's address as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// 80, or 443 with TLS, unless the URL says another.
    pub port: u16,
    /// What stands before every path; without a slash at the end.
    pub base: String,
}

/// A URL that is no server's address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{url}` is no address of a server: {why}; write it like http://localhost:8000")]
pub struct BadTarget {
    url: String,
    why: &'static str,
}

impl Target {
    /// What the `Host` header says.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }

    /// The addresses behind the name, in the order in which the system prefers them. Blocks while it is looked up.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }

    /// Takes a URL apart: the server and the path on it.
    ///
    /// # Errors
    /// When it is no http or https URL.
    pub fn split(url: &str) -> Result<(Self, String), BadTarget> {
        let bad = |why| BadTarget { url: url.to_owned(), why };
        let (tls, rest) = if let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("ws://")) {
            (false, rest)
        } else if let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("wss://")) {
            (true, rest)
        } else {
            return Err(bad("it begins with neither http:// nor https://"));
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(bad("user and password belong in an Authorization header"));
        }
        let default = if tls { 443 } else { 80 };
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let (host, after) = bracketed.split_once(']').ok_or_else(|| bad("a bracket is not closed"))?;
            (host, after.strip_prefix(':'))
        } else {
            match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let port = match port {
            None => default,
            Some(port) => port.parse().map_err(|_| bad("its port is no number up to 65535"))?,
        };
        let unfit = |c: char| c.is_whitespace() || c.is_control();
        if host.is_empty() || authority.contains(unfit) || path.contains(unfit) {
            return Err(bad(if host.is_empty() { "it names no host" } else { "it contains a blank" }));
        }
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok((Self { tls, host: host.to_owned(), port, base: String::new() }, path))
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(url: &str) -> Result<Self, BadTarget> {
        let (mut target, path) = Self::split(url.trim())?;
        target.base = path.trim_end_matches('/').to_owned();
        Ok(target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, host, port, base, shown) in [
            ("http://localhost:8000", "localhost", 8000, "", "http://localhost:8000"),
            ("http://[::1]:80/", "::1", 80, "", "http://[::1]"),
            ("https://example.org/api/", "example.org", 443, "/api", "https://example.org/api"),
        ] {
            let target: Target = url.parse().unwrap();
            assert_eq!((target.host.as_str(), target.port, target.base.as_str()), (host, port, base));
            assert_eq!(target.to_string(), shown);
        }
        let (target, path) = Target::split("http://a:1?q=1#f").unwrap();
        assert_eq!((target.authority().as_str(), path.as_str()), ("a:1", "/?q=1"));
    }

    #[test]
    fn what_is_no_url_is_refused_with_a_reason() {
        for url in ["localhost:8000", "http://", "http://a:70000", "http://u:p@h", "http://a b", "http://[::1"] {
            let error = url.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains("http://localhost:8000"), "{error}");
        }
    }
}
