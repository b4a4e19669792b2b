//! Workers: what they registered, what they said last, and what they are shown as.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{WorkerId, WorkerKey};
use crate::plan::Json;
use crate::routing::{Offer, Resources};
use crate::time::{Span, Timestamp};
use crate::token::TokenId;
use crate::words::WorkerStatus;

/// A worker that has not been heard of for this long is offline.
pub const SILENCE: Span = Span::seconds(90);
/// Length of a lease where the configuration names none.
pub const DEFAULT_LEASE: Span = Span::seconds(90);
/// A worker that has sent no `running` heartbeats every 30 s and must survive one that is lost.
pub const LEGACY_MIN_LEASE: Span = Span::seconds(75);

/// What a worker says at registration; unchanged until the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Names the machine (and, on one machine, the worker); the key of the upsert.
    pub machine_id: Arc<str>,
    /// For people.
    pub machine_name: Arc<str>,
    /// Tools, labels, reservation.
    pub offer: Offer,
    /// How many subtasks it runs at once.
    pub slots: u32,
    /// The token under which it registered; none without credentials. Another worker's token may not act for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<TokenId>,
}

/// A worker's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// Its key in the store.
    pub key: WorkerKey,
    /// Its id.
    pub id: WorkerId,
    /// What it registered.
    pub profile: Arc<Profile>,
    /// Grows with every registration; a claim is only for the newest.
    pub session: i64,
    /// Slots taken by leases.
    pub used: u32,
    /// The word it last said.
    pub said: WorkerStatus,
    /// Gets no new work; outlives a registration.
    pub draining: bool,
    /// Has unregistered and not come back.
    pub unregistered: bool,
    /// Knows leases: it has sent `running`, a lease, an `ack` or `resume` in this session.
    pub uses_leases: bool,
    /// Its last figures.
    pub resources: Resources,
    /// A JSON object of the other numbers that came with them, for showing only.
    pub figures: Option<Json>,
    /// What it says it works on.
    pub current_task: Option<Arc<str>>,
    /// The last sign of life.
    pub last_heartbeat: Timestamp,
    /// Its first registration.
    pub registered_at: Timestamp,
}

impl WorkerRow {
    /// What it is shown as at `now`.
    pub fn status(&self, now: Timestamp) -> WorkerStatus {
        if self.is_offline(now) {
            WorkerStatus::Offline
        } else if self.used >= self.profile.slots {
            WorkerStatus::Busy
        } else if self.said == WorkerStatus::Idle {
            WorkerStatus::Idle
        } else {
            WorkerStatus::Online
        }
    }

    /// Said so, unregistered, or silent for too long.
    pub fn is_offline(&self, now: Timestamp) -> bool {
        self.unregistered || self.said == WorkerStatus::Offline || now - self.last_heartbeat >= SILENCE
    }

    /// Slots that may be given work, whatever the line says.
    pub fn free_slots(&self) -> u32 {
        self.free_slots_after(0)
    }

    /// The same once so many more results are in.
    pub fn free_slots_after(&self, results: u32) -> u32 {
        if self.draining || self.unregistered || self.said == WorkerStatus::Offline {
            0
        } else {
            self.profile.slots.saturating_sub(self.used.saturating_sub(results))
        }
    }

    /// How long its leases are when `configured` is the configuration.
    pub fn lease_length(&self, configured: Span) -> Span {
        if self.uses_leases { configured } else { configured.max(LEGACY_MIN_LEASE) }
    }
}

/// A worker's figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// What.
    pub resources: Resources,
}

/// How often a sample is kept, at most.
pub const SAMPLE_EVERY: Span = Span::seconds(30);
/// How long samples are kept.
pub const SAMPLES_KEPT: Span = Span::seconds(3_600);

/// A registration.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The id to give when the machine is new.
    pub new_id: WorkerId,
    /// What it says.
    pub profile: Arc<Profile>,
    /// A JSON object.
    pub system_info: Json,
}

impl Registration {
    /// The row of a machine that registers for the first time, at `now`, under `key`.
    pub fn first_row(&self, key: WorkerKey, now: Timestamp) -> WorkerRow {
        WorkerRow {
            key,
            id: self.new_id,
            profile: self.profile.clone(),
            session: 0,
            used: 0,
            said: WorkerStatus::Online,
            draining: false,
            unregistered: false,
            uses_leases: false,
            resources: Resources::default(),
            figures: None,
            current_task: None,
            last_heartbeat: now,
            registered_at: now,
        }
    }
}
