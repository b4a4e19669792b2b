//! A scenario as the engine runs it: everything that does not change worked out before the first request.

use std::sync::Arc;
use std::time::Duration;

use super::data::Table;
use super::expect::Expect;
use super::extract::Extract;
use super::template::Template;
use super::wait::Wait;
use crate::engine::user::UserClass;
use crate::http::request::Method;
use crate::http::target::Target;
use crate::threshold::Threshold;

/// What a run does.
#[derive(Debug)]
pub struct Plan {
    /// The server.
    pub host: Target,
    /// Classes of users; never empty.
    pub classes: Vec<Class>,
    /// Requests as the reports name them; an index here is a request's id.
    pub names: Vec<RequestName>,
    /// Data files.
    pub data: Vec<Table>,
    /// What must hold.
    pub thresholds: Vec<Threshold>,
    /// Bounds of every request.
    pub limits: Limits,
}

impl Plan {
    /// Connections that a user holds at most: one, and one more where there are WebSockets.
    pub fn connections(&self) -> u64 {
        let has_sockets =
            |class: &Class| matches!(&class.behaviour, Behaviour::Script(script) if !script.sockets.is_empty());
        if self.classes.iter().any(has_sockets) { 2 } else { 1 }
    }
}

/// Bounds of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A request without an answer by then has failed.
    pub timeout: Duration,
    /// So many bytes one answer may hold.
    pub max_answer: u64,
    /// So many redirects are followed.
    pub redirects: u32,
    /// Each user does so many tasks and leaves; without it they go on until the run ends. No scenario says it: who runs one does.
    pub iterations: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), max_answer: 64 << 20, redirects: 10, iterations: None }
    }
}

/// A request as the reports name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestName {
    /// The path, or what the scenario calls it. First, because reports sort by it.
    pub name: Box<str>,
    /// The method.
    pub method: &'static str,
}

/// A class of users.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// How many of the users are of this class, compared with the others.
    pub weight: f64,
    /// How long its users wait between two tasks.
    pub wait: Wait,
    /// What they do.
    pub behaviour: Behaviour,
}

/// What users of a class do.
#[derive(Debug)]
pub enum Behaviour {
    /// What a scenario says.
    Script(Box<Script>),
    /// What Rust says.
    Rust(Arc<dyn UserClass>),
}

/// What users of a class from a scenario do.
#[derive(Debug, Default)]
pub struct Script {
    /// Names of the variables of a user.
    pub slots: Vec<String>,
    /// What variables begin with.
    pub vars: Vec<(usize, Template)>,
    /// Requests that steps name by index.
    pub requests: Vec<Request>,
    /// WebSockets, likewise.
    pub sockets: Vec<Open>,
    /// What is sent over them, likewise.
    pub sends: Vec<Send>,
    /// What is waited for, likewise.
    pub receives: Vec<Receive>,
    /// First.
    pub on_start: Vec<Op>,
    /// In between, by chance.
    pub tasks: Vec<Task>,
    /// Last.
    pub on_stop: Vec<Op>,
    /// Indexes of the data files its templates use.
    pub data: Vec<usize>,
}

/// A task.
#[derive(Debug)]
pub struct Task {
    /// Its name for `--show-task-ratio`.
    pub name: String,
    /// How often it is chosen, compared with the others.
    pub weight: f64,
    /// Its steps, loops unrolled.
    pub ops: Vec<Op>,
}

/// A step.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    /// Only when this variable is set.
    pub when: Option<usize>,
    /// Forget this variable afterwards.
    pub unset: Option<usize>,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// Send this request.
    Request(usize),
    /// Pause.
    Pause(Wait),
    /// Open this WebSocket.
    Open(usize),
    /// Send this over it.
    Send(usize),
    /// Wait for this.
    Receive(usize),
    /// Close it.
    Close,
}

/// A WebSocket to open.
#[derive(Debug)]
pub struct Open {
    /// Its id: an index of [`Plan::names`].
    pub id: usize,
    /// Path and query.
    pub path: Template,
    /// Headers of the handshake.
    pub headers: Vec<(String, Template)>,
    /// Whether it counts in the reports.
    pub record: bool,
    /// Instead of [`Limits::timeout`].
    pub timeout: Option<Duration>,
}

/// A text to send over a WebSocket.
#[derive(Debug)]
pub struct Send {
    /// Its id, for the case that it fails.
    pub id: usize,
    /// The text.
    pub text: Template,
}

/// A message to wait for.
#[derive(Debug)]
pub struct Receive {
    /// Its id: an index of [`Plan::names`].
    pub id: usize,
    /// What it is like.
    pub expect: Expect,
    /// What is taken from it, into which variable.
    pub extract: Vec<(usize, Extract)>,
    /// Whether it counts in the reports.
    pub record: bool,
    /// Instead of [`Limits::timeout`].
    pub timeout: Option<Duration>,
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Its id: an index of [`Plan::names`].
    pub id: usize,
    /// The method.
    pub method: Method,
    /// Its bytes, or how to make them.
    pub message: Message,
    /// What a successful answer is like.
    pub expect: Expect,
    /// What is taken from the answer, into which variable.
    pub extract: Vec<(usize, Extract)>,
    /// Whether it counts in the reports.
    pub record: bool,
    /// Instead of [`Limits::timeout`].
    pub timeout: Option<Duration>,
    /// Whether the answer's body is looked at.
    pub needs_body: bool,
    /// Whether its headers are.
    pub needs_head: bool,
}

/// The bytes of a request.
#[derive(Debug)]
pub enum Message {
    /// Always the same: made once.
    Fixed(Box<[u8]>),
    /// Made anew each time.
    Made {
        /// Path and query.
        path: Template,
        /// Headers.
        headers: Vec<(String, Template)>,
        /// The body, and what it is.
        body: Option<(&'static str, Template)>,
    },
}
