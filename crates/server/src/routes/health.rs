//! `/health`: whether the platform, this process and this node can serve.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use regatta_api::health::{
    DatabaseState, Health, HealthDetailed, HealthStatus, Latency, PoolHealth, Probe, ProbeStatus, RedisState,
};
use regatta_engine::bus::BusHealth;
use regatta_engine::store::StoreHealth;
use regatta_model::{SubtaskStatus, WorkerStatus};

use crate::app::{App, Phase};
use crate::convert::time;
use crate::reply::{self, Json};

/// A store or bus that has not answered by then is down as far as callers are concerned.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long an answer of the store is good for: many who ask at once cost one read.
const GOOD_FOR: Duration = Duration::from_millis(50);

async fn store(app: &App) -> StoreHealth {
    if let Some((asked, health)) = &*app.store_health.lock()
        && asked.elapsed() < GOOD_FOR
    {
        return health.clone();
    }
    let health = tokio::time::timeout(PATIENCE, app.engine.store().health()).await.unwrap_or_default();
    *app.store_health.lock() = Some((Instant::now(), health.clone()));
    health
}

async fn bus(app: &App) -> BusHealth {
    let none = BusHealth { connected: false, latency: None };
    tokio::time::timeout(PATIENCE, app.engine.bus().health()).await.unwrap_or(none)
}

fn sum(app: &App, store: &StoreHealth, bus: &BusHealth) -> Health {
    let redis = match (app.engine.bus().kind(), app.engine.store().kind(), bus.connected) {
        ("redis", _, true) => RedisState::Connected,
        ("redis", _, false) => RedisState::Disconnected,
        (_, "postgres", _) => RedisState::NotUsed,
        _ => RedisState::Embedded,
    };
    Health {
        status: match (store.connected, redis) {
            (false, _) => HealthStatus::Unhealthy,
            (true, RedisState::Disconnected) => HealthStatus::Degraded,
            (true, _) => HealthStatus::Healthy,
        },
        database: if store.connected { DatabaseState::Connected } else { DatabaseState::Disconnected },
        redis,
    }
}

fn status(health: &Health) -> StatusCode {
    match health.status {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Whether the platform works
#[utoipa::path(get, path = "/api/v1/health", tag = "health", responses(
    (status = 200, description = "It works, or only Redis is down", body = Health),
    (status = 503, description = "The database is down", body = Health),
))]
pub(crate) async fn health(State(app): State<App>) -> Response {
    let health = sum(&app, &store(&app).await, &bus(&app).await);
    reply::with_status(status(&health), &health)
}

/// Whether the process runs
#[utoipa::path(get, path = "/api/v1/health/live", tag = "health", responses((status = 200, description = "It runs", body = Probe)))]
pub(crate) async fn live() -> Json<Probe> {
    Json(Probe { status: ProbeStatus::Alive })
}

/// Whether this node can serve; fails first when it drains
#[utoipa::path(get, path = "/api/v1/health/ready", tag = "health", responses(
    (status = 200, description = "It can", body = Probe),
    (status = 503, description = "It drains, or its store does not answer", body = Probe),
))]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let (code, status) = if app.phase() != Phase::Up {
        (StatusCode::SERVICE_UNAVAILABLE, ProbeStatus::Draining)
    } else if !store(&app).await.connected {
        (StatusCode::SERVICE_UNAVAILABLE, ProbeStatus::Unavailable)
    } else {
        (StatusCode::OK, ProbeStatus::Ready)
    };
    reply::with_status(code, &Probe { status })
}

/// Versions, pools, queues and latencies of this node
#[utoipa::path(get, path = "/api/v1/health/detailed", tag = "health", responses(
    (status = 200, description = "How it is in detail", body = HealthDetailed),
    (status = 503, description = "The database is down", body = HealthDetailed),
))]
pub(crate) async fn detailed(State(app): State<App>) -> Response {
    let (store, bus) = (store(&app).await, bus(&app).await);
    let health = sum(&app, &store, &bus);
    // Without a store there is nothing to count; the rest is still worth knowing.
    let stats = app.engine.stats().await.ok();
    let counters = stats.as_ref().map(|stats| &stats.counters);
    let queue_depth = counters.map_or(0, |counters| {
        counters.subtasks.iter().filter(|(status, _)| *status == SubtaskStatus::Queued).map(|(_, count)| count).sum()
    });
    let workers_online = counters.map_or(0, |counters| {
        counters.workers.iter().filter(|(status, _)| *status != WorkerStatus::Offline).map(|(_, count)| count).sum()
    });
    let versions: BTreeMap<String, String> = [
        ("regatta".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("store".to_owned(), app.engine.store().kind().to_owned()),
        ("bus".to_owned(), app.engine.bus().kind().to_owned()),
    ]
    .into();
    let detailed = HealthDetailed {
        health,
        versions,
        started_at: time(app.started_at),
        uptime_seconds: app.started.elapsed().as_secs_f64(),
        draining: app.phase() != Phase::Up,
        pools: store
            .pools
            .iter()
            .map(|pool| PoolHealth {
                name: pool.name.clone(),
                size: pool.size,
                in_use: pool.in_use,
                waiting: pool.waiting,
            })
            .collect(),
        queue_depth,
        workers_online,
        store_latency: measured(Some(store.latency).filter(|_| store.connected)),
        bus_latency: measured(bus.latency),
    };
    reply::with_status(status(&health), &detailed)
}

/// One measurement, made for this answer.
fn measured(latency: Option<Duration>) -> Latency {
    latency.map_or_else(Latency::default, |latency| {
        let milliseconds = latency.as_secs_f64() * 1_000.0;
        Latency { count: 1, p50_ms: milliseconds, p95_ms: milliseconds, p99_ms: milliseconds, max_ms: milliseconds }
    })
}
