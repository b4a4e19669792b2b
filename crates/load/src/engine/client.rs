//! What a user asks with: its connections, its deadlines, and what is counted of each request.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::Sleep;

use super::follow::{Elsewhere, Wire, follow};
use super::meter::Sample;
use super::shard::Shard;
use crate::http::exchange::{Answer, Want};
use crate::http::fault::Fault;
use crate::http::request::{self, Method, Parts};
use crate::scenario::expect::Expect;
use crate::scenario::plan::RequestName;
use crate::ws::Socket;

/// What one user sends requests with. It keeps its connection open, as a real client does.
#[derive(Debug)]
pub struct Client {
    pub(super) shard: Rc<Shard>,
    connection: Option<Wire>,
    /// Where redirects led to.
    elsewhere: Vec<Elsewhere>,
    /// Which of the server's addresses answered last.
    pub(super) address: usize,
    pub(super) timer: Pin<Box<Sleep>>,
    /// The WebSocket that is open.
    pub(super) socket: Option<Box<Socket>>,
    /// When something was last sent: what comes over the WebSocket is timed from then.
    pub(super) triggered: Option<Instant>,
    /// When the task that begins now should have begun.
    pub(super) intended: Option<Instant>,
    /// The user's number, from 1.
    pub(super) number: u64,
    /// Which of the user's tasks this is, from 1.
    pub(super) iteration: u64,
    /// Requests of users in Rust, and their ids.
    names: Vec<(RequestName, usize)>,
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
        let id = self.id(name, method.as_str());
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

    pub(super) fn id(&mut self, name: &str, method: &'static str) -> usize {
        let known = self.names.iter().find(|(id, _)| &*id.name == name && id.method == method);
        if let Some((_, id)) = known {
            return *id;
        }
        let name = RequestName { name: name.into(), method };
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
        let mut work = pin!(follow(shard, connection, elsewhere, address, bytes, call.want));
        let work = poll_fn(|cx| {
            if let Some(socket) = socket {
                socket.poll_read(cx, &shard.buffer);
            }
            work.as_mut().poll(cx)
        });
        before(timer, deadline, call.timeout, work).await
    }

    /// Does something else, while what comes over the WebSocket is taken in and pings are answered. The work stays where
    /// it is: a future that is handed on by value is kept twice, and there are many users.
    pub(super) async fn attend<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        let Self { shard, socket, .. } = self;
        poll_fn(|cx| {
            if let Some(socket) = socket {
                socket.poll_read(cx, &shard.buffer);
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    pub(super) fn count(
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
pub(super) async fn before<T>(
    timer: &mut Pin<Box<Sleep>>,
    deadline: Instant,
    timeout: Duration,
    mut work: impl Future<Output = Result<T, Fault>> + Unpin,
) -> Result<T, Fault> {
    let deadline = tokio::time::Instant::from_std(deadline);
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = Pin::new(&mut work).poll(cx) {
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
