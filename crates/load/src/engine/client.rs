//! A user's HTTP: its connection, its deadline, redirects, and what is counted of each request.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::Sleep;

use super::meter::Sample;
use super::shard::Shard;
use crate::http::connection::Connection;
use crate::http::exchange::{Answer, Want, exchange};
use crate::http::fault::Fault;
use crate::http::http2::Session;
use crate::http::request::{self, Method, Parts};
use crate::http::target::Target;
use crate::http::tls;
use crate::scenario::expect::Expect;
use crate::scenario::plan::RequestName;
use crate::ws::{Message, Socket, handshake};

/// What one user sends requests with. It keeps its connection open, as a real client does.
#[derive(Debug)]
pub struct Client {
    shard: Rc<Shard>,
    connection: Option<Wire>,
    /// Where redirects led to.
    elsewhere: Vec<Elsewhere>,
    /// Which of the server's addresses answered last.
    address: usize,
    timer: Pin<Box<Sleep>>,
    /// The WebSocket that is open.
    socket: Option<Box<Socket>>,
    /// When something was last sent: what comes over the WebSocket is timed from then.
    triggered: Option<Instant>,
    /// When the task that begins now should have begun.
    pub(super) intended: Option<Instant>,
    /// The user's number, from 1.
    pub(super) number: u64,
    /// Which of the user's tasks this is, from 1.
    pub(super) iteration: u64,
    /// Requests of users in Rust, and their ids.
    names: Vec<(RequestName, usize)>,
}

/// Another server, its addresses, and the connection to it.
type Elsewhere = (Target, Rc<[SocketAddr]>, Option<Wire>);

/// A connection and what is spoken over it.
#[derive(Debug)]
enum Wire {
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
struct Place<'a> {
    target: &'a Target,
    addresses: &'a [SocketAddr],
}

/// How a request is sent and counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub id: usize,
    pub want: Want,
    pub timeout: Duration,
    pub record: bool,
}

impl Client {
    pub(super) fn new(shard: Rc<Shard>, number: u64) -> Self {
        let timer = Box::pin(tokio::time::sleep(shard.plan.limits.timeout));
        Self {
            shard,
            connection: None,
            elsewhere: Vec::new(),
            address: 0,
            timer,
            socket: None,
            triggered: None,
            intended: None,
            number,
            iteration: 0,
            names: Vec::new(),
        }
    }

    /// The user's number, from 1.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Which of the user's tasks this is, from 1.
    pub const fn iteration(&self) -> u64 {
        self.iteration
    }

    /// GETs a path; counted under the path.
    ///
    /// # Errors
    /// Why there is no answer, or that it is no success; it is counted as a failure already.
    pub async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.request(Method::Get, path, path, None, &Expect::default()).await
    }

    /// POSTs JSON to a path; counted under the path.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&mut self, path: &str, json: &Value) -> Result<Answer, String> {
        self.request(Method::Post, path, path, Some(json), &Expect::default()).await
    }

    /// Sends a request and judges its answer; counted under `name`, which should not differ from call to call.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        name: &str,
        json: Option<&Value>,
        expect: &Expect,
    ) -> Result<Answer, String> {
        let id = self.id(name, method);
        let body = json.map(Value::to_string);
        let mut bytes = Vec::new();
        let body = body.as_ref().map(|body| ("application/json", body.as_bytes()));
        request::write(&self.shard.plan.host, &Parts { method, path, headers: &[], body }, &mut bytes);
        let limits = self.shard.plan.limits;
        let want = Want { method, head: true, body: true, most: limits.max_answer };
        let call = Call { id, want, timeout: limits.timeout, record: true };
        self.call(&bytes, call, |answer| {
            let json = if expect.json.is_empty() { None } else { serde_json::from_slice::<Value>(&answer.body).ok() };
            expect.check(answer.head.status, &answer.raw_head, &answer.body, json.as_ref())
        })
        .await
    }

    fn id(&mut self, name: &str, method: Method) -> usize {
        let known = self.names.iter().find(|(id, _)| &*id.name == name && id.method == method.as_str());
        if let Some((_, id)) = known {
            return *id;
        }
        let name = RequestName { name: name.into(), method: method.as_str() };
        let id = self.shard.names.id(&name);
        self.names.push((name, id));
        id
    }

    /// Sends a request, lets `judge` look at the answer, and counts it.
    pub(super) async fn call(
        &mut self,
        bytes: &[u8],
        call: Call,
        judge: impl FnOnce(&Answer) -> Result<(), String>,
    ) -> Result<Answer, String> {
        let intended = self.intended.take();
        let sent = Instant::now();
        self.triggered = Some(sent);
        let outcome = self.within(bytes, call, sent + call.timeout).await;
        let done = Instant::now();
        let outcome = match outcome {
            Ok(answer) => match judge(&answer) {
                Ok(()) => Ok(answer),
                Err(why) => Err((why, answer.bytes, answer.head.timing)),
            },
            Err(fault) => Err((fault.to_string(), 0, None)),
        };
        if call.record {
            let (bytes, timing, error) = match &outcome {
                Ok(answer) => (answer.bytes, answer.head.timing.as_deref(), None),
                Err((why, bytes, timing)) => (*bytes, timing.as_deref(), Some(why.clone())),
            };
            let sample = Sample { intended, sent, done, bytes, timing, error };
            self.shard.meter.borrow_mut().record(call.id, sample);
        }
        outcome.map_err(|(why, ..)| why)
    }

    /// The whole of a request, redirects included, before the deadline.
    async fn within(&mut self, bytes: &[u8], call: Call, deadline: Instant) -> Result<Answer, Fault> {
        let Self { shard, connection, elsewhere, address, timer, socket, .. } = self;
        let work = attend(socket, shard, follow(shard, connection, elsewhere, address, bytes, call.want));
        before(timer, deadline, call.timeout, work).await
    }

    /// Opens the user's WebSocket; one that is open is dropped. Counted as a request of method `WS`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(&mut self, path: &str, headers: &[(String, String)], call: Call) -> Result<(), String> {
        let intended = self.intended.take();
        let key = handshake::key();
        let mut bytes = Vec::new();
        handshake::write(&self.shard.plan.host, path, headers, &key, &mut bytes);
        self.socket = None;
        let sent = Instant::now();
        self.triggered = Some(sent);
        let Self { shard, address, timer, .. } = self;
        let place = Place { target: &shard.plan.host, addresses: &shard.addresses };
        let work = async {
            let mut connection = connect(shard, place, address, false).await?;
            let answer = exchange(&mut connection, &bytes, call.want, &shard.buffer).await?;
            Ok((connection, answer))
        };
        let outcome = before(timer, sent + call.timeout, call.timeout, work).await;
        let outcome = outcome.map_err(|fault| fault.to_string()).and_then(|(connection, answer)| {
            handshake::check(&answer, &key)?;
            self.socket = Some(Box::new(Socket::new(connection, answer.body, call.want.most)));
            Ok(())
        });
        self.count(call, intended, sent, Instant::now(), 0, outcome.clone());
        outcome
    }

    /// Sends a text over the WebSocket. Counted, as a request of method `WSS`, only when it fails.
    ///
    /// # Errors
    /// When it is not open, or breaks.
    pub(super) async fn send(&mut self, text: &str, call: Call) -> Result<(), String> {
        let sent = Instant::now();
        self.triggered = Some(sent);
        let Self { shard, timer, socket, .. } = self;
        let work = async { socket.as_mut().ok_or(Fault::NoSocket)?.send(text, &shard.buffer).await };
        let outcome = before(timer, sent + call.timeout, call.timeout, work).await.map_err(|fault| fault.to_string());
        if outcome.is_err() {
            self.count(call, None, sent, Instant::now(), 0, outcome.clone());
        }
        outcome
    }

    /// Waits for a message over the WebSocket that `fits`; others are passed over. Counted as a request of method
    /// `WSR` that began when something was last sent and ended when the message came.
    ///
    /// # Errors
    /// When none comes, or what `judge` says of it.
    pub(super) async fn receive<T>(
        &mut self,
        call: Call,
        mut fits: impl FnMut(&Message) -> Option<T>,
        judge: impl FnOnce(&Message, T) -> Result<(), String>,
    ) -> Result<(), String> {
        let intended = self.intended.take();
        let now = Instant::now();
        let sent = self.triggered.unwrap_or(now);
        let Self { shard, timer, socket, .. } = self;
        let work = async {
            let socket = socket.as_mut().ok_or(Fault::NoSocket)?;
            loop {
                let message = socket.receive(&shard.buffer).await?;
                if let Some(found) = fits(&message) {
                    return Ok((message, found));
                }
            }
        };
        let outcome = before(timer, now + call.timeout, call.timeout, work).await;
        let (done, bytes, outcome) = match outcome {
            // What came before it was asked for has waited for nothing.
            Ok((message, found)) => (message.at.max(sent), message.body.len() as u64, judge(&message, found)),
            Err(Fault::Timeout(time)) => {
                (Instant::now(), 0, Err(format!("no such message within {} s", time.as_secs_f64())))
            }
            Err(fault) => (Instant::now(), 0, Err(fault.to_string())),
        };
        self.count(call, intended, sent, done, bytes, outcome.clone());
        outcome
    }

    /// Closes the WebSocket, if it is open. Nothing of it is counted.
    pub(super) async fn close(&mut self, timeout: Duration) {
        let Self { shard, timer, socket, .. } = self;
        let Some(mut socket) = socket.take() else { return };
        // A server that does not answer the goodbye is left as it is.
        let _ = before(timer, Instant::now() + timeout, timeout, socket.close(&shard.buffer)).await;
    }

    /// Does something else, while what comes over the WebSocket is taken in and pings are answered.
    pub(super) async fn attend<T>(&mut self, work: impl Future<Output = T>) -> T {
        attend(&mut self.socket, &self.shard, work).await
    }

    fn count(
        &self,
        call: Call,
        intended: Option<Instant>,
        sent: Instant,
        done: Instant,
        bytes: u64,
        outcome: Result<(), String>,
    ) {
        if call.record {
            let sample = Sample { intended, sent, done, bytes, timing: None, error: outcome.err() };
            self.shard.meter.borrow_mut().record(call.id, sample);
        }
    }
}

/// Does something before a deadline.
async fn before<T>(
    timer: &mut Pin<Box<Sleep>>,
    deadline: Instant,
    timeout: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let deadline = tokio::time::Instant::from_std(deadline);
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
            return Poll::Ready(outcome);
        }
        // The timer is set once and moved on only when it fires: setting it for every request would cost more
        // than parsing the answer.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= deadline {
                return Poll::Ready(Err(Fault::Timeout(timeout)));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

/// Does something while the WebSocket, if there is one, is attended to.
async fn attend<T>(socket: &mut Option<Box<Socket>>, shard: &Shard, work: impl Future<Output = T>) -> T {
    let Some(socket) = socket else { return work.await };
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        socket.poll_read(cx, &shard.buffer);
        work.as_mut().poll(cx)
    })
    .await
}

/// A new connection.
async fn connect(shard: &Shard, place: Place<'_>, address: &mut usize, http2: bool) -> Result<Connection, Fault> {
    let security = if place.target.tls { Some((shard.tls(http2)?, tls::name(place.target)?)) } else { None };
    let (fresh, index) = Connection::open(place.addresses, *address, security).await?;
    *address = index;
    Ok(fresh)
}

/// Sends, and follows where the answers lead to.
async fn follow(
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
