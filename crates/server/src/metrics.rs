//! Figures for Prometheus. Labels are route patterns, never raw URLs, so their number is bounded.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::RwLock;
use regatta_engine::store::StoreHealth;

use crate::app::App;
use crate::problem::{Failure, Kind};

/// Upper edges of the latency histogram, in seconds.
const BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0];

const REQUESTS: &str = "regatta_http_requests_total";
const REFUSED: &str = "regatta_auth_refused_total";
const FRAMES_REFUSED: &str = "regatta_line_frames_refused_total";
const SECONDS: &str = "regatta_http_request_duration_seconds";

/// The process's recorder. Metrics are global, so several servers of one process (as in tests) share it.
pub(crate) fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new();
            // It fails only for an empty list.
            let builder = match builder.set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), &BUCKETS) {
                Ok(builder) => builder,
                Err(_) => PrometheusBuilder::new(),
            };
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("the process has another recorder of metrics already; /metrics will be empty");
            }
            describe();
            handle
        })
        .clone()
}

fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests answered, by method, route and status");
    describe_counter!(REFUSED, Unit::Count, "Calls refused for who made them, by reason");
    describe_counter!(FRAMES_REFUSED, Unit::Count, "Frames of workers' lines that were refused, by kind of problem");
    describe_histogram!(SECONDS, Unit::Seconds, "Time from a request's headers to its answer's, by method and route");
    describe_gauge!("regatta_http_requests_serving", Unit::Count, "Requests that are worked on");
    describe_gauge!("regatta_http_requests_waiting", Unit::Count, "Requests that wait for something to happen");
    describe_gauge!("regatta_websockets_open", Unit::Count, "Open WebSockets");
    describe_gauge!("regatta_tasks", Unit::Count, "Tasks, by status");
    describe_gauge!("regatta_subtasks", Unit::Count, "Subtasks, by status");
    describe_gauge!("regatta_workers", Unit::Count, "Workers, by status");
    describe_gauge!("regatta_worker_slots", Unit::Count, "Slots of all workers that are not offline");
    describe_gauge!("regatta_worker_slots_busy", Unit::Count, "How many of them are taken");
    describe_gauge!("regatta_worker_lines_open", Unit::Count, "Workers connected to this node");
    describe_gauge!("regatta_store_up", Unit::Count, "1 when the store answers, else 0");
    describe_gauge!("regatta_store_latency_seconds", Unit::Seconds, "How long a trivial read of the store took");
    describe_gauge!("regatta_store_queue", Unit::Count, "Commands that wait for the store's writer");
    describe_gauge!("regatta_store_pool_size", Unit::Count, "Connections there may be, by pool");
    describe_gauge!("regatta_store_pool_in_use", Unit::Count, "Connections in use, by pool");
    describe_gauge!("regatta_store_pool_waiting", Unit::Count, "Callers that wait for a connection, by pool");
    describe_gauge!("regatta_bus_up", Unit::Count, "1 when the bus works, else 0");
    describe_gauge!("regatta_bus_latency_seconds", Unit::Seconds, "How long a round trip over the bus took");
}

/// The handles of what is counted for each request, looked up once per route, method and status.
#[derive(Default)]
pub(crate) struct Requests {
    routes: RwLock<HashMap<(&'static str, String), Route>>,
}

struct Route {
    seconds: Histogram,
    by_status: HashMap<u16, Counter>,
}

impl Requests {
    /// Counts an answered request.
    pub(crate) fn count(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        // Borrowed keys of a tuple cannot be looked up, so it is the route that is hashed, and few have two methods.
        let method = name(method);
        if let Some(known) = self.routes.read().get(&(method, route) as &dyn Key)
            && let Some(counter) = known.by_status.get(&status.as_u16())
        {
            counter.increment(1);
            known.seconds.record(took.as_secs_f64());
            return;
        }
        let mut routes = self.routes.write();
        let known = routes.entry((method, route.to_owned())).or_insert_with(|| Route {
            seconds: histogram!(SECONDS, "method" => method, "route" => route.to_owned()),
            by_status: HashMap::new(),
        });
        known.seconds.record(took.as_secs_f64());
        known
            .by_status
            .entry(status.as_u16())
            .or_insert_with(|| {
                counter!(REQUESTS, "method" => method, "route" => route.to_owned(), "status" => status.as_u16().to_string())
            })
            .increment(1);
    }
}

/// Counts a call that was refused for who made it.
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// Counts a frame of a worker's line that was refused.
pub(crate) fn frame_refused(kind: Kind) {
    counter!(FRAMES_REFUSED, "kind" => kind.slug()).increment(1);
}

/// A method and a route, owned or not: what the map is asked with.
trait Key {
    fn parts(&self) -> (&str, &str);
}

impl Key for (&'static str, String) {
    fn parts(&self) -> (&str, &str) {
        (self.0, &self.1)
    }
}

impl Key for (&'static str, &str) {
    fn parts(&self) -> (&str, &str) {
        (self.0, self.1)
    }
}

impl<'a> std::borrow::Borrow<dyn Key + 'a> for (&'static str, String) {
    fn borrow(&self) -> &(dyn Key + 'a) {
        self
    }
}

impl std::hash::Hash for dyn Key + '_ {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Key + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Key + '_ {}

/// Methods are labels too; made-up ones share a word.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The text of `GET /metrics`.
pub(crate) async fn render(app: &App) -> Result<String, Failure> {
    gauge!("regatta_http_requests_serving").set(app.places.serving() as f64);
    gauge!("regatta_http_requests_waiting").set(app.places.waiting() as f64);
    gauge!("regatta_websockets_open").set(app.sockets.receiver_count() as f64);
    store(&app.engine.store().health().await);
    let bus = app.engine.bus().health().await;
    gauge!("regatta_bus_up").set(f64::from(u8::from(bus.connected)));
    gauge!("regatta_bus_latency_seconds").set(bus.latency.unwrap_or_default().as_secs_f64());
    // Without a store there are no figures of the fleet, but still those of this process.
    if let Ok(stats) = app.engine.stats().await {
        fleet(&stats);
    }
    Ok(app.prometheus.render())
}

fn store(health: &StoreHealth) {
    gauge!("regatta_store_up").set(f64::from(u8::from(health.connected)));
    gauge!("regatta_store_latency_seconds").set(health.latency.as_secs_f64());
    gauge!("regatta_store_queue").set(health.queued as f64);
    for pool in &health.pools {
        gauge!("regatta_store_pool_size", "pool" => pool.name.clone()).set(pool.size as f64);
        gauge!("regatta_store_pool_in_use", "pool" => pool.name.clone()).set(pool.in_use as f64);
        gauge!("regatta_store_pool_waiting", "pool" => pool.name.clone()).set(pool.waiting as f64);
    }
}

fn fleet(stats: &regatta_engine::Stats) {
    use regatta_model::{SubtaskStatus, TaskStatus, WorkerStatus};
    // What is not counted is zero, and must not stay at what it was.
    for status in TaskStatus::ALL {
        gauge!("regatta_tasks", "status" => status.as_str()).set(of(&stats.counters.tasks, status));
    }
    for status in SubtaskStatus::ALL {
        gauge!("regatta_subtasks", "status" => status.as_str()).set(of(&stats.counters.subtasks, status));
    }
    for status in WorkerStatus::ALL {
        gauge!("regatta_workers", "status" => status.as_str()).set(of(&stats.counters.workers, status));
    }
    gauge!("regatta_worker_slots").set(stats.slots as f64);
    gauge!("regatta_worker_slots_busy").set(stats.busy_slots as f64);
    gauge!("regatta_worker_lines_open").set(stats.lines as f64);
}

fn of<S: PartialEq>(counts: &[(S, u64)], status: &S) -> f64 {
    counts.iter().find(|(counted, _)| counted == status).map_or(0.0, |(_, count)| *count as f64)
}
