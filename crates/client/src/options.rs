//! How to reach a server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::{Error, RetryPolicy};

/// Where the server is and how patient to be with it.
#[derive(Clone)]
pub struct Options {
    /// The server's address, such as `http://localhost:8000`; the scheme may be left out. Several nodes of one system are
    /// written with commas between them: the first that answers is used, and the next when it no longer does.
    pub server: String,
    /// The token to show; never printed.
    pub token: Option<String>,
    /// A PEM file with the certificates of the authorities to believe, in place of the system's.
    pub tls_ca: Option<PathBuf>,
    /// How long one attempt of a call may take, beside the time that the call itself asks the server to wait.
    pub timeout: Duration,
    /// How long to repeat calls that may be repeated.
    pub retry: RetryPolicy,
    /// How long a watcher tries to connect again after its connection broke.
    pub reconnect: RetryPolicy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            server: "http://localhost:8000".to_owned(),
            token: None,
            tls_ca: None,
            timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            reconnect: RetryPolicy::within(Duration::from_secs(60)),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("server", &self.server)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("tls_ca", &self.tls_ca)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("reconnect", &self.reconnect)
            .finish()
    }
}

/// The addresses of the servers, in their order.
///
/// # Errors
/// [`Error::Options`] when there is none, or one that cannot be used.
pub(crate) fn parse_servers(servers: &str) -> Result<Vec<Url>, Error> {
    let mut urls = Vec::new();
    for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        let url = parse_server(server)?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    if urls.is_empty() {
        return Err(Error::Options("no server is named; write it like http://localhost:8000".into()));
    }
    Ok(urls)
}

/// A server's address as a URL.
///
/// # Errors
/// [`Error::Options`] when it is no URL, or one that this client does not speak.
fn parse_server(server: &str) -> Result<Url, Error> {
    let text = server.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let refuse = |why: &str| Error::Options(format!("{server:?} cannot be used as a server: {why}"));
    let url = Url::parse(&text).map_err(|error| refuse(&format!("{error}; write it like http://localhost:8000")))?;
    match url.scheme() {
        "http" | "https" => {}
        scheme => {
            return Err(refuse(&format!(
                "it speaks {scheme}; write it like http://localhost:8000 or https://farm:8000"
            )));
        }
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("it names no host; write it like http://localhost:8000"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("credentials do not belong in the address; give the token by itself"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it has a query or a fragment; leave that off"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_never_printed() {
        let options = Options { token: Some("rgu_secret".to_owned()), ..Options::default() };
        let text = format!("{options:?}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn the_scheme_may_be_left_out() {
        for server in ["localhost:8000", " http://localhost:8000/ "] {
            assert_eq!(parse_server(server).unwrap().as_str(), "http://localhost:8000/");
        }
        assert_eq!(parse_server("[::1]:8000").unwrap().as_str(), "http://[::1]:8000/");
    }

    #[test]
    fn several_servers_are_kept_in_their_order_and_once() {
        let urls = parse_servers("b:8000, https://a.example ,,http://b:8000/").unwrap();
        assert_eq!(urls.iter().map(Url::as_str).collect::<Vec<_>>(), ["http://b:8000/", "https://a.example/"]);
        assert!(parse_servers(" , ").is_err());
        assert!(parse_servers("a:8000,ftp://b").unwrap_err().to_string().contains("it speaks ftp"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_reason() {
        let cases = [
            ("wss://farm.example", "it speaks wss"),
            ("ftp://farm.example", "it speaks ftp"),
            ("http://", "empty host"),
            ("http://user:word@farm.example", "credentials"),
            ("http://farm.example/?a=1", "query"),
            ("http://farm.example:port", "invalid port"),
        ];
        for (server, reason) in cases {
            let error = parse_server(server).unwrap_err().to_string();
            assert!(error.contains(reason), "{server}: {error}");
        }
    }
}
