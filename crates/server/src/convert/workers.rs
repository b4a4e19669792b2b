//! Workers.

use std::sync::Arc;

use regatta_api::worker::{
    CurrentSubtask, Heartbeat, RegisterWorker, ResourceSample, Resources, WorkerDetail, WorkerSummary,
};
use regatta_engine::store::WorkerDetail as StoredDetail;
use regatta_engine::tokens::LiveToken;
use regatta_engine::{HeartbeatRequest, RegisterRequest};
use regatta_model::Timestamp;
use regatta_model::command::TakeOver;
use regatta_model::plan::Json;
use regatta_model::routing::{self, Offer};
use regatta_model::worker::{Profile, WorkerRow};

use crate::identity::Identity;

use super::{json, object, running, time};

/// A registration as the engine takes it.
pub(crate) fn registration(worker: RegisterWorker, caller: &Identity) -> RegisterRequest {
    let names = |names: Vec<String>| names.into_iter().map(Arc::from).collect();
    RegisterRequest {
        system_info: object(&worker.system_info),
        running: worker.running.as_deref().map(|named| running(named).0),
        take_over: if caller.bound().is_some() { TakeOver::Own } else { TakeOver::Any },
        profile: Profile {
            machine_id: worker.machine_id.into(),
            machine_name: worker.machine_name.into(),
            offer: Offer {
                tools: names(worker.tools),
                local_tools: names(worker.local_tools),
                labels: worker.labels,
                reserved: worker.reserved,
            },
            slots: worker.slots,
            owner: caller.token.as_ref().map(LiveToken::id),
        },
    }
}

/// A heartbeat as the engine takes it.
pub(crate) fn heartbeat(heartbeat: Heartbeat) -> HeartbeatRequest {
    HeartbeatRequest {
        said: heartbeat.status,
        resources: Some(resources(&heartbeat.resources)),
        figures: figures(&heartbeat.resources),
        current_task: heartbeat.current_task.map(Arc::from),
        running: heartbeat.running.as_deref().map(|named| running(named).0),
    }
}

/// The figures that routing looks at.
pub(crate) fn resources(resources: &Resources) -> routing::Resources {
    routing::Resources {
        cpu_percent: resources.cpu_percent,
        memory_percent: resources.memory_percent,
        disk_percent: resources.disk_percent,
    }
}

/// The other numbers, as the store keeps them.
pub(crate) fn figures(resources: &Resources) -> Option<Json> {
    if resources.other.is_empty() {
        return None;
    }
    // A map of strings to numbers cannot fail to serialise.
    serde_json::to_string(&resources.other).ok().map(Json::from)
}

/// A row of the list.
pub(crate) fn summary(row: &WorkerRow, now: Timestamp) -> WorkerSummary {
    let Profile { machine_id, machine_name, offer, slots, .. } = &*row.profile;
    WorkerSummary {
        worker_id: row.id.uuid(),
        machine_id: machine_id.to_string(),
        machine_name: machine_name.to_string(),
        status: row.status(now),
        tools: offer.tools.iter().map(ToString::to_string).collect(),
        labels: offer.labels.clone(),
        slots: *slots,
        busy_slots: row.used,
        draining: row.draining,
        reserved: offer.reserved,
        cpu_percent: row.resources.cpu_percent,
        memory_percent: row.resources.memory_percent,
        disk_percent: row.resources.disk_percent,
        last_heartbeat: Some(time(row.last_heartbeat)),
        registered_at: time(row.registered_at),
    }
}

/// Everything.
pub(crate) fn detail(worker: &StoredDetail, now: Timestamp) -> WorkerDetail {
    WorkerDetail {
        summary: summary(&worker.row, now),
        local_tools: worker.row.profile.offer.local_tools.iter().map(ToString::to_string).collect(),
        system_info: json(&worker.system_info),
        current_subtasks: worker
            .current
            .iter()
            .map(|(subtask, task, name)| CurrentSubtask {
                subtask_id: subtask.uuid(),
                task_id: task.uuid(),
                name: name.to_string(),
                assigned_tool: None,
                attempt: None,
                started_at: None,
                lease_expires_at: None,
            })
            .collect(),
        current_task: worker.row.current_task.as_deref().map(ToOwned::to_owned),
        resources: Resources {
            cpu_percent: worker.row.resources.cpu_percent,
            memory_percent: worker.row.resources.memory_percent,
            disk_percent: worker.row.resources.disk_percent,
            other: worker.row.figures.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        },
        resources_history: worker
            .history
            .iter()
            .map(|sample| ResourceSample {
                timestamp: time(sample.at),
                cpu_percent: sample.resources.cpu_percent,
                memory_percent: sample.resources.memory_percent,
                disk_percent: sample.resources.disk_percent,
            })
            .collect(),
    }
}
