//! The running worker: `Options` -> [`build`] -> [`Service`] that runs until it is told to drain, and a cheap [`Handle`].
//!
//! - `session` registers and keeps the line
//! - `heartbeat` renews leases, `keeper` ends what could not be renewed and sends again what was not answered
//! - `attempt` runs one subtask; `agent` is what all of them share; `outbox` is what waits for the line

mod agent;
mod attempt;
mod figures;
mod heartbeat;
mod keeper;
mod lease;
mod outbox;
mod session;
mod signals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regatta_client::{Client, RetryPolicy};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

pub use agent::Running;
pub use signals::until_signalled;

use crate::identity::{Identity, IdentityError};
use crate::journal::Journal;
use crate::options::{Options, OptionsError};
use crate::supervisor::{self, Supervisor};
use crate::tools::StopReason;
use crate::tools::set::{Surroundings, ToolSet};
use agent::{Agent, Parts};

/// How long results may take to be answered when the worker leaves.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long the last words to the server may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the end of processes may take beyond their grace.
const ENDING: Duration = Duration::from_secs(10);

/// Why a worker cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What it was told cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Its identity cannot be had.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its tools cannot be offered.
    #[error("{0}")]
    Tools(String),
    /// Its journal cannot be opened.
    #[error("the journal {} cannot be opened ({source}); see its permissions and free space", file.display())]
    Journal {
        /// The file.
        file: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server's address or the token cannot be used.
    #[error("{0}")]
    Server(String),
}

/// Why a worker stopped without being told to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RunError {
    /// Another process is this worker now (close code 4001).
    #[error(
        "another process has registered as this worker and took over (close code 4001); if both shall run, give one another --name or --data-dir (a copied data directory carries the identity with it)"
    )]
    Superseded,
    /// The worker was unregistered (close code 4002, or 409).
    #[error(
        "this worker was unregistered at the server (close code 4002) and gets no work until it registers again; start it again for that"
    )]
    Unregistered,
    /// The server refuses this worker.
    #[error("the server refuses this worker: {0}")]
    Refused(String),
    /// A part of the worker has a fault.
    #[error("a part of the worker ended by itself: {0}; please report this")]
    Fault(String),
}

/// What only the registration needs.
#[derive(Debug, Clone)]
struct Registration {
    labels: BTreeMap<String, String>,
    reserved: bool,
    local_tools: Vec<String>,
}

/// A worker that is ready to run.
pub struct Service {
    agent: Arc<Agent>,
    registration: Registration,
    drain: Duration,
    orders: Arc<Orders>,
    /// Held until the end.
    identity: Identity,
}

/// What a handle can tell the service.
#[derive(Debug, Default)]
struct Orders {
    drain: Notify,
    now: Notify,
}

/// Asks and tells a running worker; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    agent: Arc<Agent>,
    orders: Arc<Orders>,
}

/// How a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its id at the server, once it is registered.
    pub worker_id: Option<Uuid>,
    /// Whether its line is open.
    pub connected: bool,
    /// Whether it takes nothing new any more.
    pub draining: bool,
    /// What it runs.
    pub running: Vec<Running>,
    /// Results that the server has not taken yet.
    pub undelivered: usize,
}

/// Makes a worker: takes its identity, opens its journal, makes its tools. It does not talk to the server yet.
///
/// # Errors
/// A sentence that says what to do, see [`BuildError`].
pub fn build(options: Options) -> Result<Service, BuildError> {
    options.check()?;
    let name = options.worker_name()?;
    let client = Client::new(regatta_client::Options {
        server: options.server.clone(),
        token: options.token.clone().map(|token| token.0),
        tls_ca: options.tls_ca.clone(),
        timeout: Duration::from_secs(10),
        // The worker knows itself when to try again.
        retry: RetryPolicy::none(),
        ..regatta_client::Options::default()
    })
    .map_err(|error| BuildError::Server(error.to_string()))?;
    let identity = Identity::claim(&options.data_folder()?, &name)?;
    let machine_id = identity.machine_id();
    let supervisor = match &options.supervisor {
        Some(command) => Supervisor::new(command.clone(), &machine_id),
        None => Supervisor::of_this_binary(&machine_id),
    };
    let around = Surroundings {
        supervisor: supervisor.clone(),
        worker: name.clone(),
        outputs: identity.outputs(),
        environment: std::env::vars_os().collect(),
    };
    let tools = ToolSet::build(&options.tools, &options.command, &around).map_err(BuildError::Tools)?;
    for left_out in &tools.left_out {
        tracing::warn!("{left_out}");
    }
    let file = identity.folder().join("journal");
    let (journal, left) = Journal::open(&file).map_err(|source| BuildError::Journal { file, source })?;
    let parts = Parts {
        name,
        machine_id,
        client,
        tools,
        supervisor,
        journal,
        slots: options.slots,
        heartbeat: options.heartbeat(),
        folder: identity.folder().to_owned(),
    };
    Ok(Service {
        agent: Arc::new(Agent::new(parts, left)),
        drain: options.drain(),
        registration: Registration {
            labels: options.labels,
            reserved: options.reserved,
            local_tools: options.local_tools,
        },
        orders: Arc::default(),
        identity,
    })
}

impl Service {
    /// A handle of it.
    pub fn handle(&self) -> Handle {
        Handle { agent: self.agent.clone(), orders: self.orders.clone() }
    }

    /// Runs until `drain` is ready or the handle says so: then takes nothing new, waits for what runs as long as it may, gives the
    /// rest back, and leaves. Inside a tokio runtime; a current-thread one will do.
    ///
    /// # Errors
    /// When the worker must stop by itself, see [`RunError`]; all its processes are ended then.
    pub async fn run(self, drain: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { agent, registration, drain: patience, orders, identity } = self;
        let ended = supervisor::end_marked(supervisor::proc::WORKER_VARIABLE, &agent.machine_id).await;
        if ended > 0 {
            tracing::warn!(processes = ended, "ended what an earlier life of this worker left running");
        }
        if agent.tools.starts_processes
            && let Err(error) = agent.supervisor.start()
        {
            // The next subtask tries again, and goes back if that fails too.
            tracing::error!(%error, "the process supervisor does not start");
        }
        let mut parts: JoinSet<Result<(), RunError>> = JoinSet::new();
        parts.spawn(session::keep(agent.clone(), registration));
        parts.spawn(heartbeat::keep(agent.clone()));
        let keeper = agent.clone();
        parts.spawn(async move {
            keeper::keep(keeper).await;
            Ok(())
        });

        let outcome = tokio::select! {
            ended = first_end(&mut parts) => Err(ended),
            () = drain => Ok(()),
            () = orders.drain.notified() => Ok(()),
        };
        let outcome = match outcome {
            Ok(()) => drain_all(&agent, &orders, patience, &mut parts).await,
            Err(error) => {
                agent.begin_drain();
                agent.stop_all(&StopReason::Expelled, lease::GRACE);
                until(&agent, Instant::now() + lease::GRACE + ENDING, |(runs, _)| runs == 0).await;
                Err(error)
            }
        };
        parts.shutdown().await;
        drop(identity);
        outcome
    }
}

/// Waits for a part that ends by itself; that is never good.
async fn first_end(parts: &mut JoinSet<Result<(), RunError>>) -> RunError {
    match parts.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Ok(Ok(()))) | None => RunError::Fault("it left unasked".into()),
        Some(Err(error)) => RunError::Fault(error.to_string()),
    }
}

/// Takes nothing new, waits, gives back what is left, says farewell.
async fn drain_all(
    agent: &Arc<Agent>,
    orders: &Orders,
    patience: Duration,
    parts: &mut JoinSet<Result<(), RunError>>,
) -> Result<(), RunError> {
    agent.begin_drain();
    let (runs, _) = agent.counts();
    if runs > 0 {
        tracing::info!(running = runs, seconds = patience.as_secs_f64(), "draining: waiting for what runs");
    }
    let mut grace = lease::GRACE;
    tokio::select! {
        () = until(agent, Instant::now() + patience, |(runs, _)| runs == 0) => {}
        () = orders.now.notified() => grace = Duration::from_millis(100),
        error = first_end(parts) => {
            agent.stop_all(&StopReason::Expelled, grace);
            until(agent, Instant::now() + grace + ENDING, |(runs, _)| runs == 0).await;
            return Err(error);
        }
    }
    agent.stop_all(&StopReason::Draining, grace);
    tokio::select! {
        () = until(agent, Instant::now() + grace + ENDING, |(runs, _)| runs == 0) => {}
        () = async {
            orders.now.notified().await;
            agent.stop_all(&StopReason::Draining, Duration::ZERO);
            std::future::pending().await
        } => {}
    }
    if agent.outbox.is_open() {
        tokio::select! {
            () = until(agent, Instant::now() + LAST_ANSWERS, |(_, ended)| ended == 0) => {}
            () = orders.now.notified() => {}
        }
    }
    farewell(agent, parts).await;
    Ok(())
}

/// Sends what is left, closes the line in order, and unregisters.
async fn farewell(agent: &Agent, parts: &mut JoinSet<Result<(), RunError>>) {
    if agent.outbox.is_open() {
        agent.outbox.close();
        // The session ends when the server has answered the close frame: by then it has read all that came before.
        let _ = timeout(FAREWELL, parts.join_next()).await;
    }
    let (_, undelivered) = agent.counts();
    if undelivered > 0 {
        // Unregistering would end their leases; they are delivered by the next life.
        tracing::warn!(results = undelivered, "results wait in the journal for the next start");
    } else if let Some(worker) = agent.worker_id() {
        match timeout(FAREWELL, agent.client.unregister(worker)).await {
            Ok(Ok(_)) => tracing::info!("left"),
            Ok(Err(error)) => tracing::debug!(%error, "could not unregister"),
            Err(_) => tracing::debug!("could not unregister in time"),
        }
    }
}

/// Waits until the counts of what runs and of undelivered results are as wanted, but not beyond this time.
async fn until(agent: &Agent, end: Instant, wanted: impl Fn((usize, usize)) -> bool) {
    let mut changes = agent.changed.subscribe();
    let _ = timeout_at(end, async {
        while !wanted(agent.counts()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    })
    .await;
}

impl Handle {
    /// How the worker is now.
    pub fn status(&self) -> Status {
        let (_, undelivered) = self.agent.counts();
        Status {
            name: self.agent.name.clone(),
            worker_id: self.agent.worker_id(),
            connected: self.agent.outbox.is_open(),
            draining: self.agent.is_draining(),
            running: self.agent.running(),
            undelivered,
        }
    }

    /// Waits until the worker is as wanted.
    pub async fn until(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut changes = self.agent.changed.subscribe();
        loop {
            let status = self.status();
            if wanted(&status) || changes.changed().await.is_err() {
                return status;
            }
        }
    }

    /// Tells the worker to drain and leave.
    pub fn drain(&self) {
        self.orders.drain.notify_one();
    }

    /// Tells the worker to leave at once: what runs is ended and given back.
    pub fn stop_now(&self) {
        self.orders.drain.notify_one();
        self.orders.now.notify_one();
    }
}
