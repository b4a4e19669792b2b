//! One call over HTTP: building it, sending it, repeating it where that is harmless, and reading errors.
//!
//! Which calls there are is in `rest`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use regatta_api::{CLUSTER_HEADER, Problem};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::error::root_cause;
use crate::options::parse_servers;
use crate::tls;
use crate::{Error, Options, Result, RetryPolicy};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A typed client of one server, or of the nodes of one system; a clone shares its connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    http: reqwest::Client,
    /// The addresses of the servers without a slash at their ends; never empty.
    servers: Vec<String>,
    /// Where calls go: the place of one of them.
    current: AtomicUsize,
    pub(crate) token: Option<String>,
    /// For connections to an `https` server.
    pub(crate) tls: TlsConnector,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) reconnect: RetryPolicy,
}

impl Inner {
    /// The server that calls go to now, and its place.
    pub(crate) fn server(&self) -> (usize, &str) {
        let place = self.current.load(Ordering::Relaxed);
        (place, &self.servers[place])
    }

    /// Goes on to the next server, unless another call has done so since this place was looked up. Whether there is one.
    pub(crate) fn leave(&self, place: usize) -> bool {
        let next = (place + 1) % self.servers.len();
        if next == place {
            return false;
        }
        if self.current.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::info!(from = self.servers[place], to = self.servers[next], "going on to the next server");
        }
        true
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("servers", &self.inner.servers).finish_non_exhaustive()
    }
}

/// Whether a call may be done twice when it is not known whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A repetition is harmless.
    Harmless,
    /// Only when it certainly was not done: no connection, or refused by a rate limit.
    IfNotDone,
    /// Not at all: the caller asks how things are right now.
    Never,
}

impl Client {
    /// A client; it connects with its first call.
    ///
    /// # Errors
    /// [`Error::Options`] when the server's address or the token cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        let servers = parse_servers(&options.server)?;
        if let Some(token) = &options.token
            && !token.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Error::Options(
                "the token has characters that no token has; copy it again, without spaces and line ends".to_owned(),
            ));
        }
        let https = servers.iter().any(|server| server.scheme() == "https");
        let tls = tls::config(https, options.tls_ca.as_deref())?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .user_agent(concat!("regatta-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // The API never redirects; and the WebSockets use no proxy either.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Error::Options(root_cause(&error)))?;
        Ok(Self {
            inner: Arc::new(Inner {
                http,
                servers: servers.iter().map(|server| server.as_str().trim_end_matches('/').to_owned()).collect(),
                current: AtomicUsize::new(0),
                token: options.token,
                tls: TlsConnector::from(tls),
                timeout: options.timeout,
                retry: options.retry,
                reconnect: options.reconnect,
            }),
        })
    }

    /// The address of the server that calls go to now, without a slash at its end.
    pub fn server(&self) -> &str {
        self.inner.server().1
    }

    /// The addresses of all servers it was told of.
    pub fn servers(&self) -> &[String] {
        &self.inner.servers
    }

    /// Says that this server is of no use any more: if calls still go there, they go to the next from now on.
    pub fn leave(&self, server: &str) {
        let (place, current) = self.inner.server();
        if current == server {
            self.inner.leave(place);
        }
    }

    /// A call of the API; `path` comes after the prefix `/api/v1`.
    pub(crate) fn call(&self, method: Method, path: impl fmt::Display) -> Call<'_> {
        self.call_root(method, format_args!("{}{path}", regatta_api::PREFIX))
    }

    /// A call outside the API's prefix.
    pub(crate) fn call_root(&self, method: Method, path: impl fmt::Display) -> Call<'_> {
        let repeat = if method == Method::GET { Repeat::Harmless } else { Repeat::IfNotDone };
        Call {
            client: &self.inner,
            path: path.to_string(),
            query: Ok(None),
            method,
            body: None,
            repeat,
            gone_is_done: false,
            idempotency_key: None,
            wait: Duration::ZERO,
        }
    }
}

/// A call that is being built.
pub(crate) struct Call<'a> {
    client: &'a Inner,
    method: Method,
    path: String,
    /// What comes after the question mark.
    query: Result<Option<String>>,
    body: Option<Bytes>,
    repeat: Repeat,
    gone_is_done: bool,
    idempotency_key: Option<String>,
    wait: Duration,
}

/// An answer with any status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    retry_after: Option<Duration>,
    /// Which system it comes from, where the call says so.
    pub(crate) cluster: Option<Uuid>,
}

impl Call<'_> {
    /// Adds the fields of a structure to the query.
    pub(crate) fn query(mut self, query: &impl Serialize) -> Self {
        // By way of reqwest's builder, so that there is one encoder.
        let request = self.client.http.get(self.client.server().1).query(query).build();
        self.query = request
            .map(|request| request.url().query().filter(|query| !query.is_empty()).map(str::to_owned))
            .map_err(|error| Error::Protocol(format!("the query cannot be written: {error}")));
        self
    }

    /// The body.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::Protocol(format!("the body cannot be written: {error}")))?;
        self.body = Some(body.into());
        Ok(self)
    }

    /// Says that a repetition is harmless.
    pub(crate) fn harmless(mut self) -> Self {
        self.repeat = Repeat::Harmless;
        self
    }

    /// Says that the first outcome is the answer.
    pub(crate) fn once(mut self) -> Self {
        self.repeat = Repeat::Never;
        self
    }

    /// Says that a repetition is harmless, and finds nothing when the first attempt was done.
    pub(crate) fn harmless_removal(mut self) -> Self {
        self.gone_is_done = true;
        self.harmless()
    }

    /// Makes a repetition harmless by a key under which the server remembers the first answer.
    pub(crate) fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self.harmless()
    }

    /// Gives the server this much longer to answer.
    pub(crate) fn wait(mut self, seconds: u32) -> Self {
        self.wait = Duration::from_secs(seconds.into());
        self
    }

    /// Sends it, and reads the answer.
    pub(crate) async fn send<T: DeserializeOwned>(self) -> Result<T> {
        let call = format!("{} {}", self.method, self.path);
        let answer = self.answer().await?;
        read(&call, &answer.body)
    }

    /// Sends it; the answer has no body.
    pub(crate) async fn done(self) -> Result<()> {
        self.answer().await.map(|_| ())
    }

    /// Sends it, repeats it where that is harmless, and answers with a success or an error.
    pub(crate) async fn answer(self) -> Result<Answer> {
        let answer = self.any_answer().await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(Error::Problem(Box::new(problem(answer.status, &answer.body))))
        }
    }

    /// As [`Call::answer`], but an error answer of the server is an answer too.
    pub(crate) async fn any_answer(mut self) -> Result<Answer> {
        let query = std::mem::replace(&mut self.query, Ok(None))?;
        let mut retries = self.client.retry.start();
        let mut first = true;
        // Servers that are not asked yet are asked at once.
        let mut others = self.client.servers.len() - 1;
        loop {
            let (place, server) = self.client.server();
            let outcome = self.attempt(server, query.as_deref()).await;
            let unwell = match &outcome {
                Ok(answer) => matches!(answer.status.as_u16(), 502..=504),
                Err(error) => error.is_unreachable(),
            };
            let elsewhere = unwell && self.client.leave(place);
            let again = match &outcome {
                _ if self.repeat == Repeat::Never => false,
                Ok(answer) => match answer.status {
                    StatusCode::TOO_MANY_REQUESTS => true,
                    // Overload, or a commit whose outcome is not known.
                    StatusCode::SERVICE_UNAVAILABLE => self.repeat == Repeat::Harmless,
                    _ => false,
                },
                Err(Error::Unreachable { .. }) => true,
                Err(Error::Interrupted { .. } | Error::Timeout { .. }) => self.repeat == Repeat::Harmless,
                Err(_) => false,
            };
            if again {
                if elsewhere && others > 0 && !retries.is_none() {
                    others -= 1;
                    first = false;
                    continue;
                }
                let asked = outcome.as_ref().ok().and_then(|answer| answer.retry_after);
                if let Some(pause) = retries.pause(asked) {
                    tracing::debug!(call = %self.path, ?pause, outcome = %Brief(&outcome), "trying again");
                    tokio::time::sleep(pause).await;
                    first = false;
                    continue;
                }
            }
            return match outcome {
                Ok(mut answer) if !first && self.gone_is_done && answer.status == StatusCode::NOT_FOUND => {
                    answer.status = StatusCode::NO_CONTENT;
                    Ok(answer)
                }
                outcome => outcome,
            };
        }
    }

    /// One attempt at this server.
    async fn attempt(&self, server: &str, query: Option<&str>) -> Result<Answer> {
        let mut url = Url::parse(&format!("{server}{}", self.path))
            .map_err(|error| Error::Options(format!("{} makes no address: {error}", self.path)))?;
        url.set_query(query);
        let after = self.client.timeout + self.wait;
        let mut request = self.client.http.request(self.method.clone(), url).timeout(after);
        if let Some(token) = &self.client.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = &self.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let failed = |error: reqwest::Error| {
            let url = server.to_owned();
            if error.is_connect() {
                Error::Unreachable { url, reason: root_cause(&error) }
            } else if error.is_timeout() {
                Error::Timeout { url, call: format!("{} {}", self.method, self.path), after }
            } else if error.is_builder() {
                Error::Options(root_cause(&error))
            } else {
                Error::Interrupted { url, reason: root_cause(&error) }
            }
        };
        let response = request.send().await.map_err(failed)?;
        Ok(Answer {
            cluster: response.headers().get(CLUSTER_HEADER).and_then(|value| value.to_str().ok()?.parse().ok()),
            status: response.status(),
            // Only the form in seconds: it is the one the contract's server sends.
            retry_after: response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                .map(Duration::from_secs),
            body: response.bytes().await.map_err(failed)?,
        })
    }
}

/// An outcome in few words, for the log.
struct Brief<'a>(&'a Result<Answer>);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(answer) => write!(f, "{}", answer.status),
            Err(error) => write!(f, "{error}"),
        }
    }
}

/// Reads the body of a success.
pub(crate) fn read<T: DeserializeOwned>(call: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Protocol(format!("the answer to {call} cannot be read: {error}")))
}

/// Reads the body of an error answer; one that is no problem document (a proxy's page) becomes one.
pub(crate) fn problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        // In one line: it may be a page of HTML.
        let begin: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect();
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: format!(
                "the server answered {status}{}{begin}; see whether this is a Regatta server",
                if begin.is_empty() { "" } else { ": " }
            ),
            request_id: String::new(),
            errors: Vec::new(),
        }
    })
}
