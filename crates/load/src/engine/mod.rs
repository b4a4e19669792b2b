//! The engine: runs a plan with users on threads, and merges what they measured.
//!
//! - [`Options`], [`Engine`]: what a run is made of, checked before it begins
//! - [`controller`]: spawning, stopping and merging, on the thread that runs it
//! - [`shard`]: a thread of users; [`meter`]: what it measured in a second
//! - [`user`]: the life of a user, and the trait for users in Rust; [`script`]: users from scenarios;
//!   [`client`]: what they ask with, [`follow`] the way of a request, [`websocket`] what goes over WebSockets
//! - [`arrivals`]: the open model; [`schedule`]: which class comes next

pub mod arrivals;
pub mod client;
pub mod controller;
mod follow;
pub mod limits;
pub mod meter;
pub mod schedule;
mod script;
mod shard;
pub mod user;
mod websocket;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use self::arrivals::Profile;
use self::controller::{Controller, Message};
use rustls::ClientConfig;

pub use self::controller::{Event, Handle, Observer, Outcome};
use crate::http::tls;
use crate::scenario::Plan;
use crate::threshold::Threshold;

/// A server that does not even accept a connection within this is unreachable.
const REACHABLE: Duration = Duration::from_secs(10);

/// How a plan is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Users at once; in the open model the most there may be.
    pub users: u64,
    /// Users a second until they are all there. In the closed model.
    pub spawn_rate: f64,
    /// Stop after so long.
    pub run_time: Option<Duration>,
    /// Threads.
    pub threads: usize,
    /// So long users may finish their task when the run is stopped.
    pub stop_timeout: Duration,
    /// What is measured before does not count.
    pub warm_up: Duration,
    /// Nor what is measured before all users are there.
    pub reset_stats: bool,
    /// The open model.
    pub arrivals: Option<Profile>,
    /// What must hold, beside what the scenario says.
    pub thresholds: Vec<Threshold>,
    /// A PEM file with certificates to trust beside the system's.
    pub trust: Option<PathBuf>,
    /// Speak HTTP/2: over TLS as agreed with the server, without TLS at once. WebSockets are opened over HTTP/1.1.
    pub http2: bool,
    /// More users may be asked for while it runs: threads and file descriptors are as many as there may be.
    pub open_ended: bool,
    /// Users come and go only as [`Handle::set_users`] says, and the server need not answer when it begins.
    pub led: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            users: 1,
            spawn_rate: 1.0,
            run_time: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            stop_timeout: Duration::ZERO,
            warm_up: Duration::ZERO,
            reset_stats: false,
            arrivals: None,
            thresholds: Vec::new(),
            trust: None,
            http2: false,
            open_ended: false,
            led: false,
        }
    }
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
    /// No server answers there.
    #[error("no server answers at {host} ({reason})")]
    Unreachable {
        /// The address.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// Every user needs a connection, and there may not be so many.
    #[error("{users} users need {needed} file descriptors, and this process may open {allowed}")]
    Descriptors {
        /// Users asked for.
        users: u64,
        /// Descriptors they need.
        needed: u64,
        /// What the system allows.
        allowed: u64,
    },
    /// The system refuses something.
    #[error("the load engine cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// A run that can begin.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    options: Options,
    addresses: Arc<[SocketAddr]>,
    tls: Option<Arc<ClientConfig>>,
    messages: (Sender<Message>, Receiver<Message>),
}

impl Engine {
    /// Checks that the plan can be run so: the options, the file descriptors, the server.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(plan: Plan, mut options: Options) -> Result<Self, Error> {
        let wrong = |message: &str| Err(Error::Options(message.to_owned()));
        if options.users == 0 {
            return wrong("a run needs at least one user: --users 1");
        }
        if !(options.spawn_rate.is_finite() && options.spawn_rate > 0.0) {
            return wrong("the spawn rate is a number of users a second above 0: --spawn-rate 1");
        }
        let addresses = if options.led {
            options.threads = options.threads.max(1);
            limits::allow_most();
            // Without an address every request fails, and says so.
            plan.host.resolve().unwrap_or_default()
        } else {
            // A thread without a user only disturbs the others.
            let most =
                if options.open_ended { usize::MAX } else { usize::try_from(options.users).unwrap_or(usize::MAX) };
            options.threads = options.threads.clamp(1, most);
            if options.open_ended {
                limits::allow_most();
            }
            limits::allow(options.users, plan.connections(), options.threads)?;
            reach(&plan)?
        };
        let tls = if plan.host.tls || options.trust.is_some() {
            Some(tls::config(options.trust.as_deref()).map_err(Error::Options)?)
        } else {
            None
        };
        Ok(Self { plan: Arc::new(plan), options, addresses: addresses.into(), tls, messages: channel() })
    }

    /// What steers the run from other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(self.messages.0.clone())
    }

    /// What is run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The same, to keep beyond the run.
    pub fn shared_plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan)
    }

    /// How it is run.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Runs to the end: of the run time, of the arrivals, by a threshold, or by [`Handle::stop`].
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn run(self, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        Controller::start(self.plan, self.options, self.addresses, self.tls, self.messages)?.run(observer)
    }
}

/// The server's addresses, the one that answers first.
fn reach(plan: &Plan) -> Result<Vec<SocketAddr>, Error> {
    let unreachable = |reason: String| Error::Unreachable { host: plan.host.to_string(), reason };
    let mut addresses = plan.host.resolve().map_err(|error| unreachable(error.to_string()))?;
    let mut reason = "its name has no address".to_owned();
    for index in 0..addresses.len() {
        match TcpStream::connect_timeout(&addresses[index], REACHABLE) {
            Ok(_) => {
                addresses.rotate_left(index);
                return Ok(addresses);
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(unreachable(reason))
}
