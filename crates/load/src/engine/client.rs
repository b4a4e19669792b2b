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
use crate::http::request::{self, Method, Parts};
use crate::http::target::Target;
use crate::http::tls;
use crate::scenario::expect::Expect;
use crate::scenario::plan::RequestName;

/// What one user sends requests with. It keeps its connection open, as a real client does.
#[derive(Debug)]
pub struct Client {
    shard: Rc<Shard>,
    connection: Option<Connection>,
    /// Where redirects led to.
    elsewhere: Vec<Elsewhere>,
    /// Which of the server's addresses answered last.
    address: usize,
    timer: Pin<Box<Sleep>>,
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
type Elsewhere = (Target, Rc<[SocketAddr]>, Option<Connection>);

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
        let deadline = tokio::time::Instant::from_std(deadline);
        let Self { shard, connection, elsewhere, address, timer, .. } = self;
        let work = follow(shard, connection, elsewhere, address, bytes, call.want);
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
                    return Poll::Ready(Err(Fault::Timeout(call.timeout)));
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

/// Sends, and follows where the answers lead to.
async fn follow(
    shard: &Shard,
    connection: &mut Option<Connection>,
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
    slot: &mut Option<Connection>,
    address: &mut usize,
    bytes: &[u8],
    want: Want,
) -> Result<Answer, Fault> {
    // Taken out while it is in use: a request that is dropped half-way must not leave it behind.
    let mut connection = slot.take().filter(|connection| !connection.is_stale());
    loop {
        let mut open = match connection.take() {
            Some(connection) => connection,
            None => {
                let security = if place.target.tls { Some((shard.tls()?, tls::name(place.target)?)) } else { None };
                let (fresh, index) = Connection::open(place.addresses, *address, security).await?;
                *address = index;
                fresh
            }
        };
        let was_used = open.used;
        match exchange(&mut open, bytes, want, &shard.buffer).await {
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
