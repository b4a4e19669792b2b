//! Answers of the health calls.
//!
//! Not here: figures of the work itself ([`crate::stats`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// Answer of `GET /health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// The sum of it.
    pub status: HealthStatus,
    /// The store.
    pub database: DatabaseState,
    /// The bus between nodes.
    pub redis: RedisState,
}

/// How the platform is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything works.
    Healthy,
    /// Only Redis is down: slower, nothing is lost.
    Degraded,
    /// The database is down (answered with 503).
    Unhealthy,
}

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseState {
    /// It answers.
    Connected,
    /// It does not.
    Disconnected,
}

/// How the bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedisState {
    /// Redis answers.
    Connected,
    /// The bus is built in: one node with an embedded store.
    Embedded,
    /// Redis does not answer.
    Disconnected,
    /// PostgreSQL without `--redis`.
    NotUsed,
}

/// Answer of `GET /health/live` and `GET /health/ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Probe {
    /// What the node says of itself.
    pub status: ProbeStatus,
}

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeStatus {
    /// The process runs.
    Alive,
    /// It can serve.
    Ready,
    /// It finishes what it has and takes nothing new (answered with 503).
    Draining,
    /// Its store does not answer (answered with 503).
    Unavailable,
}

/// Answer of `GET /health/detailed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthDetailed {
    /// As in `GET /health`.
    #[serde(flatten)]
    pub health: Health,
    /// What runs here: `regatta`, the store's engine (`sqlite`), the schema.
    pub versions: BTreeMap<String, String>,
    /// When this node started.
    pub started_at: Time,
    /// How long it has been up, in seconds.
    pub uptime_seconds: f64,
    /// Whether it finishes what it has and takes nothing new.
    pub draining: bool,
    /// The pools of the store, such as its writer and its readers.
    pub pools: Vec<PoolHealth>,
    /// Subtasks that are ready and wait for a worker.
    pub queue_depth: u64,
    /// Workers that are online, idle or busy.
    pub workers_online: u64,
    /// What a call to the store took lately.
    pub store_latency: Latency,
    /// What a message over the bus took lately.
    pub bus_latency: Latency,
}

/// One pool of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolHealth {
    /// Which: `writer`, `readers`.
    pub name: String,
    /// How many there are.
    pub size: u64,
    /// How many work now.
    pub in_use: u64,
    /// How many callers wait for one.
    pub waiting: u64,
}

/// A distribution of durations, in milliseconds; zeros when nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 95th percentile, in milliseconds.
    pub p95_ms: f64,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// The longest, in milliseconds.
    pub max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn health_reads_as_the_contract_has_it() {
        let health =
            Health { status: HealthStatus::Healthy, database: DatabaseState::Connected, redis: RedisState::NotUsed };
        let value = json!({"status": "healthy", "database": "connected", "redis": "not_used"});
        assert_eq!(serde_json::to_value(health).unwrap(), value);
        assert_eq!(serde_json::from_value::<Health>(value).unwrap(), health);
    }

    #[test]
    fn the_detailed_answer_holds_the_short_one() {
        let value = json!({"status": "degraded", "database": "connected", "redis": "disconnected",
            "versions": {"regatta": "0.1.0"}, "started_at": "2026-11-23T18:00:00.000000Z", "uptime_seconds": 1.5,
            "draining": false, "pools": [{"name": "writer", "size": 1, "in_use": 0, "waiting": 0}],
            "queue_depth": 3, "workers_online": 2,
            "store_latency": {"count": 1, "p50_ms": 0.1, "p95_ms": 0.1, "p99_ms": 0.1, "max_ms": 0.1},
            "bus_latency": {"count": 0, "p50_ms": 0.0, "p95_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}});
        let detailed: HealthDetailed = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(detailed.health.status, HealthStatus::Degraded);
        assert_eq!(serde_json::to_value(&detailed).unwrap(), value);
    }
}
