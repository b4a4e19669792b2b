//! Workers over HTTP: registration, heartbeats, lists, polling.
//!
//! Not here: the frames of a worker's line ([`crate::frames::worker`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::nulls::{field_default, null_default};
use crate::objects;
use crate::page::{PageInfo, paged_query};
use crate::{JsonObject, JsonText, Time, WorkerStatus};

field_default!(one_slot: u32 = 1);

/// A subtask together with the lease under which it runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct LeaseRef {
    /// The subtask.
    pub subtask_id: Uuid,
    /// The lease, opaque, as it came with the assignment.
    pub lease: String,
}

/// Body of `POST /workers/register`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegisterWorker {
    /// What stays the same when the worker restarts: registering again with it updates the worker.
    #[schema(min_length = 1, max_length = 100)]
    pub machine_id: String,
    /// The name people see.
    #[schema(min_length = 1, max_length = 100)]
    pub machine_name: String,
    /// What the worker tells of its machine; shown as it is.
    #[schema(value_type = Object)]
    pub system_info: JsonObject,
    /// The tools it offers, such as `claude_code` or `command`.
    #[serde(default, deserialize_with = "null_default")]
    pub tools: Vec<String>,
    /// Its labels, which a task may require.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
    /// How many subtasks it runs at once.
    #[serde(default = "one_slot::value", deserialize_with = "one_slot::or_null")]
    #[schema(minimum = 1, maximum = 1024, default = 1)]
    pub slots: u32,
    /// Whether it takes only subtasks that require one of its labels.
    #[serde(default, deserialize_with = "null_default")]
    #[schema(default = false)]
    pub reserved: bool,
    /// Tools of its own that run locally and so may see sensitive tasks.
    #[serde(default, deserialize_with = "null_default")]
    pub local_tools: Vec<String>,
    /// What still runs from before; leases that are not here go back to the queue at once.
    #[serde(default, deserialize_with = "objects::optional_list", skip_serializing_if = "Option::is_none")]
    pub running: Option<Vec<LeaseRef>>,
}

/// Answer of `POST /workers/register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    /// Whether the worker is new.
    pub status: RegisteredStatus,
    /// The worker's id.
    pub worker_id: Uuid,
    /// The same for people.
    pub message: String,
}

/// Whether a registration made a worker or updated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegisteredStatus {
    /// The `machine_id` is new.
    Registered,
    /// A worker with this `machine_id` was known.
    Updated,
}

/// What a worker's machine uses, in percent of what it has, and other figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Resources {
    /// Processor time in use, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Memory in use, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<f64>,
    /// Disk in use, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_percent: Option<f64>,
    /// Any other numbers; what is none is ignored.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub other: BTreeMap<String, f64>,
}

impl<'de> Deserialize<'de> for Resources {
    /// Other entries that are no numbers are ignored, as unknown fields are: older agents send some.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut resources = Self::default();
        for (name, value) in JsonObject::deserialize(deserializer)? {
            let figure = match name.as_str() {
                "cpu_percent" => &mut resources.cpu_percent,
                "memory_percent" => &mut resources.memory_percent,
                "disk_percent" => &mut resources.disk_percent,
                _ => {
                    if let Some(number) = value.as_f64() {
                        resources.other.insert(name, number);
                    }
                    continue;
                }
            };
            *figure = match value {
                Value::Null => None,
                Value::Number(number) => number.as_f64(),
                _ => {
                    return Err(serde::de::Error::custom(format_args!("{name} must be a number")));
                }
            };
        }
        Ok(resources)
    }
}

/// Body of `POST /workers/{id}/heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Heartbeat {
    /// What the worker says of itself; it never frees or takes work.
    pub status: WorkerStatus,
    /// What its machine uses.
    pub resources: Resources,
    /// What it works on, usually a subtask's id; for showing only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_task: Option<String>,
    /// What really runs: exactly these leases are renewed, and one left out of two heartbeats in a row goes back to the
    /// queue. Without it (older agents) all are renewed.
    #[serde(default, deserialize_with = "objects::optional_list", skip_serializing_if = "Option::is_none")]
    pub running: Option<Vec<LeaseRef>>,
}

/// Answer of `POST /workers/{id}/heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAck {
    /// Always true.
    pub acknowledged: bool,
    /// The same for people.
    pub message: String,
}

/// A worker, as a row of `GET /workers` and in `worker_update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerSummary {
    /// The worker's id.
    pub worker_id: Uuid,
    /// What stays the same when the worker restarts.
    pub machine_id: String,
    /// The name people see.
    pub machine_name: String,
    /// What it does now.
    pub status: WorkerStatus,
    /// The tools it offers.
    pub tools: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many subtasks it runs at once.
    pub slots: u32,
    /// How many of its slots are taken.
    pub busy_slots: u32,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Whether it takes only subtasks that require one of its labels.
    pub reserved: bool,
    /// Processor time in use, in percent, as last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Memory in use, in percent, as last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<f64>,
    /// Disk in use, in percent, as last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_percent: Option<f64>,
    /// When it last gave a sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Time>,
    /// When it first registered.
    pub registered_at: Time,
}

/// Answer of `GET /workers/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerDetail {
    /// The row of the list.
    #[serde(flatten)]
    pub summary: WorkerSummary,
    /// Tools of its own that run locally and so may see sensitive tasks.
    #[serde(default)]
    pub local_tools: Vec<String>,
    /// What it told of its machine.
    pub system_info: JsonText,
    /// What is leased to it.
    pub current_subtasks: Vec<CurrentSubtask>,
    /// What it last said it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_task: Option<String>,
    /// All the numbers it last sent.
    #[serde(default)]
    pub resources: Resources,
    /// What its machine used in the last hour, oldest first.
    pub resources_history: Vec<ResourceSample>,
}

/// A subtask that is leased to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrentSubtask {
    /// The subtask.
    pub subtask_id: Uuid,
    /// Its task.
    pub task_id: Uuid,
    /// Its name in the plan.
    pub name: String,
    /// The tool that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_tool: Option<String>,
    /// Which claim of the subtask this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When this attempt was leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the lease ends unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<Time>,
}

/// What a worker's machine used at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResourceSample {
    /// When.
    pub timestamp: Time,
    /// Processor time in use, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Memory in use, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<f64>,
    /// Disk in use, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_percent: Option<f64>,
}

/// Answer of `GET /workers`, newest registered first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerList {
    /// The rows.
    pub workers: Vec<WorkerSummary>,
    /// Where in the list this page is.
    #[serde(flatten)]
    pub page: PageInfo,
}

paged_query! {
    /// Filters and paging of `GET /workers`.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct WorkersQuery {
        /// Only workers that show exactly this word.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[param(inline)]
        pub status: Option<WorkerStatus>,
        /// Only workers that offer this tool.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tool: Option<String>,
        /// Only workers that carry this label, as `name=value`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[param(example = "gpu=a100", pattern = "=")]
        pub label: Option<String>,
    }
}

/// Answer of `POST /workers/{id}/unregister`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unregistered {
    /// Always `unregistered`.
    pub status: UnregisteredStatus,
    /// The worker.
    pub worker_id: Uuid,
}

/// The word of an unregistration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnregisteredStatus {
    /// The worker gets nothing until it registers again.
    Unregistered,
}

/// Body of `POST /workers/{id}/poll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Poll {
    /// How many slots are free: the most assignments to answer.
    #[schema(minimum = 1, maximum = 1024)]
    pub slots: u32,
    /// Answer as soon as there is an assignment, or after this many seconds.
    #[serde(default, deserialize_with = "null_default")]
    #[schema(minimum = 0, maximum = 60, default = 0)]
    pub wait_seconds: u32,
}

/// Answer of `POST /workers/{id}/poll`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Polled {
    /// What the worker shall run now; empty when there was nothing.
    pub assignments: Vec<Assignment>,
}

/// A subtask that is given to a worker: the `data` of `task_assignment`, and what a poll answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    /// The subtask.
    pub subtask_id: Uuid,
    /// Its task.
    pub task_id: Uuid,
    /// Its name in the plan.
    pub name: String,
    /// What is to be done, in words.
    pub description: String,
    /// The tool that shall run it.
    pub assigned_tool: String,
    /// The step's input.
    #[serde(default)]
    pub input: JsonText,
    /// The outputs of the direct dependencies, by the names of their steps.
    #[serde(default)]
    pub context: JsonText,
    /// How hard it is.
    #[schema(minimum = 1, maximum = 5)]
    pub complexity: u32,
    /// The step's priority in its plan; larger is sooner.
    pub priority: i32,
    /// Which claim of the subtask this is, from 1.
    pub attempt: u32,
    /// The lease, opaque: every call about this attempt carries it.
    pub lease: String,
    /// How long the lease holds without a renewal, in seconds.
    pub lease_seconds: u32,
    /// How long the attempt may run, in seconds.
    pub timeout_seconds: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn null_means_absent_and_unknown_fields_are_ignored() {
        let register: RegisterWorker = serde_json::from_value(json!({
            "machine_id": "m", "machine_name": "n", "system_info": {"os": "linux"},
            "tools": null, "labels": null, "slots": null, "reserved": null, "local_tools": null, "running": null,
            "agent_version": "0.9"
        }))
        .unwrap();
        assert_eq!((register.slots, register.reserved), (1, false));
        assert!(register.tools.is_empty() && register.labels.is_empty());
        assert_eq!(register.running, None);
    }

    #[test]
    fn a_heartbeat_keeps_numbers_and_ignores_the_rest() {
        let beat: Heartbeat = serde_json::from_value(json!({
            "status": "idle", "current_task": null,
            "resources": {"cpu_percent": 12, "memory_percent": 3.5, "disk_percent": null, "load": 0.25, "gpu": "none"}
        }))
        .unwrap();
        assert_eq!(beat.status, WorkerStatus::Idle);
        assert_eq!(beat.resources.cpu_percent, Some(12.0));
        assert_eq!(
            serde_json::to_value(&beat.resources).unwrap(),
            json!({"cpu_percent": 12.0, "memory_percent": 3.5, "load": 0.25})
        );
        let bad = serde_json::from_value::<Resources>(json!({"cpu_percent": "much"})).unwrap_err();
        assert_eq!(bad.to_string(), "cpu_percent must be a number");
    }

    #[test]
    fn a_detail_is_a_summary_and_more() {
        let value = json!({
            "worker_id": "0193e3c8-7c00-7000-8000-000000000001", "machine_id": "m", "machine_name": "n",
            "status": "busy", "tools": ["command"], "labels": {"gpu": "a100"}, "slots": 2, "busy_slots": 2,
            "draining": false, "reserved": false, "cpu_percent": 1.5,
            "last_heartbeat": "2026-11-23T18:00:00.000000Z", "registered_at": "2026-11-23T17:00:00.000000Z",
            "local_tools": [], "system_info": {"os": "linux"},
            "current_subtasks": [{"subtask_id": "0193e3c8-7c00-7000-8000-000000000003",
                "task_id": "0193e3c8-7c00-7000-8000-000000000002", "name": "Count", "attempt": 1}],
            "resources": {"cpu_percent": 1.5, "load_1m": 0.25},
            "resources_history": [{"timestamp": "2026-11-23T18:00:00.000000Z", "cpu_percent": 1.5}]
        });
        let detail: WorkerDetail = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(detail.summary.status, WorkerStatus::Busy);
        assert_eq!(serde_json::to_value(&detail).unwrap(), value);
    }

    #[test]
    fn a_list_carries_its_page() {
        let value = json!({"workers": [], "total": 0, "limit": 50, "offset": 0});
        let list: WorkerList = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(list.page.total, Some(0));
        assert_eq!(serde_json::to_value(&list).unwrap(), value);
    }

    #[test]
    fn an_assignment_keeps_the_order_of_its_payloads() {
        let text = r#"{"subtask_id":"0193e3c8-7c00-7000-8000-000000000003","task_id":"0193e3c8-7c00-7000-8000-000000000002","name":"Merge","description":"","assigned_tool":"command","input":{"z":1,"a":2},"context":{"Count B":{"words":2},"Count A":{"words":1}},"complexity":1,"priority":0,"attempt":1,"lease":"l-1","lease_seconds":90,"timeout_seconds":3600}"#;
        let assignment: Assignment = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&assignment).unwrap(), text);
    }
}
