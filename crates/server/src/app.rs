//! What every request, socket and loop of one server shares.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use regatta_engine::Engine;
use regatta_engine::store::StoreHealth;
use regatta_model::Timestamp;
use tokio::sync::watch;

use crate::answers::Answers;
use crate::identity::Access;
use crate::metrics::Requests;
use crate::options::Limits;
use crate::overload::Places;

/// See the module; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) access: Access,
    /// `http` or `https`: what the server speaks.
    pub(crate) scheme: &'static str,
    pub(crate) limits: Limits,
    pub(crate) places: Places,
    /// How long a body may take, before what it has more for its length.
    pub(crate) body_time: Duration,
    pub(crate) requests: Requests,
    pub(crate) prometheus: PrometheusHandle,
    pub(crate) started: Instant,
    pub(crate) started_at: Timestamp,
    pub(crate) answers: Answers,
    /// How the store was when it was last asked, and when that was.
    pub(crate) store_health: Mutex<Option<(Instant, StoreHealth)>>,
    pub(crate) draining: watch::Receiver<Phase>,
    /// A clone lives in every open socket, so that a drain knows when the last is gone.
    pub(crate) sockets: watch::Sender<()>,
}

/// How far a server is with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Up,
    /// It still serves, and says that it will not for long.
    Announced,
    /// It takes nothing new, and what waits is answered.
    Draining,
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// How far it is with its end.
    pub(crate) fn phase(&self) -> Phase {
        *self.draining.borrow()
    }

    /// Returns when the server drains: whoever waits for something answers with what there is.
    pub(crate) async fn until_draining(&self) {
        let mut draining = self.draining.clone();
        // An error means that the server is gone, which is as good.
        let _ = draining.wait_for(|phase| *phase == Phase::Draining).await;
    }
}
