//! Tasks over HTTP: submitting, reading, cancelling, retrying.
//!
//! Not here: a subtask by itself ([`crate::subtask`]) and the streams ([`crate::frames`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::nulls::{field_default, null_default};
use crate::objects;
use crate::page::{PageInfo, paged_query};
use crate::subtask::SubtaskRow;
use crate::{CheckpointFrequency, JsonObject, JsonText, Priority, Privacy, TaskStatus, TaskType, Time};

field_default!(yes: bool = true);
field_default!(task_type_default: TaskType = TaskType::DevelopFeature);
field_default!(checkpoint_default: CheckpointFrequency = CheckpointFrequency::Medium);
field_default!(privacy_default: Privacy = Privacy::Normal);
field_default!(priority_default: Priority = Priority::Normal);
field_default!(complexity_default: u32 = 1);
field_default!(timeout_default: u32 = 3600);
field_default!(attempts_default: u32 = 3);

/// Body of `POST /tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateTask {
    /// What is to be done, in words.
    #[schema(min_length = 10, max_length = 10000)]
    pub description: String,
    /// The kind of work; without `subtasks` it chooses the built-in plan.
    #[serde(default = "task_type_default::value", deserialize_with = "task_type_default::or_null")]
    #[schema(default = "develop_feature")]
    pub task_type: TaskType,
    /// What the result must satisfy; kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub requirements: Option<JsonObject>,
    /// How often the task stops for a person to look (stored; used later).
    #[serde(default = "checkpoint_default::value", deserialize_with = "checkpoint_default::or_null")]
    #[schema(default = "medium")]
    pub checkpoint_frequency: CheckpointFrequency,
    /// `sensitive`: local tools only.
    #[serde(default = "privacy_default::value", deserialize_with = "privacy_default::or_null")]
    #[schema(default = "normal")]
    pub privacy_level: Privacy,
    /// The tools to take for steps that name none, the best first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_preferences: Option<Vec<String>>,
    /// A head start in the queue.
    #[serde(default = "priority_default::value", deserialize_with = "priority_default::or_null")]
    #[schema(default = "normal")]
    pub priority: Priority,
    /// Only workers that carry all these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<BTreeMap<String, String>>,
    /// The plan; without it the built-in plan of `task_type`.
    #[serde(default, deserialize_with = "objects::optional_list", skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 10000)]
    pub subtasks: Option<Vec<Step>>,
    /// False: the task waits, `pending`, for `decompose`.
    #[serde(default = "yes::value", deserialize_with = "yes::or_null")]
    #[schema(default = true)]
    pub start: bool,
    /// Not before this moment; until then the task is `pending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Time>,
    /// The caller's own; answered as `task_metadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<JsonObject>,
}

impl CreateTask {
    /// A task with this description, everything else by default.
    pub fn new(description: impl Into<String>) -> Self {
        Self {
            description: description.into(),
            task_type: task_type_default::value(),
            requirements: None,
            checkpoint_frequency: checkpoint_default::value(),
            privacy_level: privacy_default::value(),
            tool_preferences: None,
            priority: priority_default::value(),
            requires: None,
            subtasks: None,
            start: yes::value(),
            start_at: None,
            metadata: None,
        }
    }
}

/// A step of a plan. Unknown fields are errors here: a misspelt one would silently change the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, unique in the plan; dependents and their `context` use it.
    #[schema(min_length = 1)]
    pub name: String,
    /// What is to be done, in words; where absent, made from the name and the task's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The names of the steps that must complete first.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// The tool that shall run it; without it the first of the task's `tool_preferences` that the worker offers, else any
    /// agent tool. `command` needs an `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Labels that the worker must carry, merged over the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<BTreeMap<String, String>>,
    /// What the tool gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub input: Option<JsonObject>,
    /// How hard it is.
    #[serde(default = "complexity_default::value", deserialize_with = "complexity_default::or_null")]
    #[schema(minimum = 1, maximum = 5, default = 1)]
    pub complexity: u32,
    /// A head start in the queue beside the task's other steps; larger is sooner.
    #[serde(default, deserialize_with = "null_default")]
    #[schema(default = 0)]
    pub priority: i32,
    /// How long one attempt may run, in seconds.
    #[serde(default = "timeout_default::value", deserialize_with = "timeout_default::or_null")]
    #[schema(value_type = u64, minimum = 1, maximum = 4294967295_u64, default = 3600)]
    pub timeout_seconds: u32,
    /// How many attempts may fail or time out before the step fails for good.
    #[serde(default = "attempts_default::value", deserialize_with = "attempts_default::or_null")]
    #[schema(value_type = u64, minimum = 1, maximum = 4294967295_u64, default = 3)]
    pub max_attempts: u32,
}

impl Step {
    /// A step with this name, everything else by default.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            depends_on: Vec::new(),
            tool: None,
            requires: None,
            input: None,
            complexity: complexity_default::value(),
            priority: 0,
            timeout_seconds: timeout_default::value(),
            max_attempts: attempts_default::value(),
        }
    }
}

/// Answer of `POST /tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCreated {
    /// The new task.
    pub task_id: Uuid,
    /// `pending`.
    pub status: TaskStatus,
    /// The same for people.
    pub message: String,
}

/// Body of `POST /tasks/batch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateTasks {
    /// The tasks; all are made or none.
    #[serde(deserialize_with = "objects::list")]
    #[schema(min_items = 1, max_items = 1000)]
    pub tasks: Vec<CreateTask>,
}

/// Answer of `POST /tasks/batch`, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TasksCreated {
    /// The new tasks.
    pub tasks: Vec<TaskRef>,
}

/// A task and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskRef {
    /// The task.
    pub task_id: Uuid,
    /// Where it stands.
    pub status: TaskStatus,
}

paged_query! {
    /// Filters and paging of `GET /tasks`.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct TasksQuery {
        /// Only tasks with this status.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[param(inline)]
        pub status: Option<TaskStatus>,
        /// Only tasks of this type.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[param(inline)]
        pub task_type: Option<TaskType>,
        /// Only tasks whose description contains this text.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub search: Option<String>,
    }
}

/// A task, as a row of `GET /tasks` and in `task_update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskSummary {
    /// The task.
    pub task_id: Uuid,
    /// The first 200 characters of its description.
    pub description: String,
    /// The kind of work.
    pub task_type: TaskType,
    /// Where it stands.
    pub status: TaskStatus,
    /// floor(100 × completed / total) of its subtasks; 0 without a plan.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u32,
    /// Its head start in the queue.
    pub priority: Priority,
    /// Why nothing of it runs, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// Answer of `GET /tasks`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    /// The rows.
    pub tasks: Vec<TaskSummary>,
    /// Where in the list this page is.
    #[serde(flatten)]
    pub page: PageInfo,
}

/// Answer of `GET /tasks/{id}`: everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    /// The task.
    pub task_id: Uuid,
    /// Who made it.
    pub user_id: String,
    /// What is to be done, in words.
    pub description: String,
    /// The kind of work.
    pub task_type: TaskType,
    /// Where it stands.
    pub status: TaskStatus,
    /// floor(100 × completed / total) of its subtasks; 0 without a plan.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u32,
    /// Its head start in the queue.
    pub priority: Priority,
    /// Whether it may leave the house.
    pub privacy_level: Privacy,
    /// How often it stops for a person to look.
    pub checkpoint_frequency: CheckpointFrequency,
    /// What the result must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<JsonText>,
    /// The tools to take for steps that name none, the best first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_preferences: Option<Vec<String>>,
    /// Labels that the workers must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<BTreeMap<String, String>>,
    /// The `metadata` of the request that made it.
    #[serde(default)]
    pub task_metadata: JsonText,
    /// Why nothing of it runs, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The error of the first failed subtask, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Not before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// When it was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// Its subtasks, in the order of the plan.
    pub subtasks: Vec<SubtaskRow>,
}

/// Answer of `GET /tasks/{id}/progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskProgress {
    /// The task.
    pub task_id: Uuid,
    /// Where it stands.
    pub status: TaskStatus,
    /// floor(100 × completed / total); 0 without a plan.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: u32,
    /// Its subtasks, counted.
    pub subtasks: ProgressCounts,
}

/// Subtasks of a task, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressCounts {
    /// All of the plan.
    pub total: u32,
    /// Ended well.
    pub completed: u32,
    /// Leased to a worker.
    pub running: u32,
    /// Failed for good.
    pub failed: u32,
}

/// Answer of `POST /tasks/{id}/decompose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decomposed {
    /// The task.
    pub task_id: Uuid,
    /// How many subtasks its plan has.
    pub subtask_count: u32,
    /// They, in the order of the plan.
    pub subtasks: Vec<SubtaskRow>,
    /// The same for people.
    pub message: String,
}

/// Body of `POST /tasks/{id}/cancel`; may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CancelTask {
    /// Why; told to the workers that run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `POST /tasks/{id}/cancel` and `POST /tasks/{id}/retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskChanged {
    /// The task.
    pub task_id: Uuid,
    /// Where it stands now.
    pub status: TaskStatus,
    /// The same for people.
    pub message: String,
}

/// Body of `POST /tasks/cancel` and `POST /tasks/retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskIds {
    /// The tasks.
    #[schema(min_items = 1, max_items = 1000)]
    pub task_ids: Vec<Uuid>,
    /// For a cancel: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `POST /tasks/cancel` and `POST /tasks/retry`, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkResults {
    /// What became of each.
    pub results: Vec<BulkResult>,
}

/// What became of one task of a bulk call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkResult {
    /// The task.
    pub task_id: Uuid,
    /// Whether it was done.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Answer of `GET /tasks/{id}/subtasks`, in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubtaskList {
    /// The rows.
    pub subtasks: Vec<SubtaskRow>,
    /// Where in the list this page is.
    #[serde(flatten)]
    pub page: PageInfo,
}

/// Answer of `GET /tasks/{id}/ready-subtasks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadySubtasks {
    /// The task.
    pub task_id: Uuid,
    /// Its subtasks that are queued.
    pub ready_subtasks: Vec<SubtaskRow>,
    /// How many are queued in all.
    pub total_ready: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let task: CreateTask = serde_json::from_value(json!({
            "description": "Count the words", "task_type": null, "requirements": null, "checkpoint_frequency": null,
            "privacy_level": null, "tool_preferences": null, "priority": null, "requires": null, "subtasks": null,
            "start": null, "start_at": null, "metadata": null, "user_id": "someone"
        }))
        .unwrap();
        assert_eq!(task, CreateTask::new("Count the words"));
        assert_eq!(
            serde_json::to_value(&task).unwrap(),
            json!({"description": "Count the words", "task_type": "develop_feature", "checkpoint_frequency": "medium",
                "privacy_level": "normal", "priority": "normal", "start": true})
        );
        let step: Step = serde_json::from_value(json!({"name": "Count", "depends_on": null, "complexity": null, "priority": null,
            "timeout_seconds": null, "max_attempts": null, "tool": null, "requires": null, "input": null, "description": null}))
        .unwrap();
        assert_eq!(step, Step::new("Count"));
        assert_eq!((step.complexity, step.timeout_seconds, step.max_attempts), (1, 3600, 3));
    }

    #[test]
    fn a_misspelt_field_of_a_step_is_an_error() {
        let error = serde_json::from_value::<CreateTask>(
            json!({"description": "Count the words", "subtasks": [{"name": "Count", "dependson": ["Split"]}]}),
        )
        .unwrap_err();
        assert!(error.to_string().contains("unknown field `dependson`"), "{error}");
    }

    #[test]
    fn payloads_keep_their_order() {
        let text = r#"{"name":"Count","tool":"command","input":{"z":1,"a":[2,{"y":1,"b":2}]},"complexity":1,"priority":0,"timeout_seconds":3600,"max_attempts":3}"#;
        let step: Step = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&step).unwrap(), text);
    }

    #[test]
    fn answers_survive_the_wire() {
        let id = "0193e3c8-7c00-7000-8000-000000000001";
        let progress = json!({"task_id": id, "status": "in_progress", "progress": 50,
            "subtasks": {"total": 4, "completed": 2, "running": 1, "failed": 0}});
        let read: TaskProgress = serde_json::from_value(progress.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), progress);

        let list = json!({"tasks": [{"task_id": id, "description": "Count the words", "task_type": "custom",
            "status": "pending", "progress": 0, "priority": "urgent",
            "waiting_for": "no online worker offers gemini_cli; start one: regatta worker --tools gemini_cli",
            "created_at": "2026-11-23T18:00:00.000000Z", "updated_at": "2026-11-23T18:00:00.000001Z"}],
            "total": 10000, "total_capped": true, "limit": 1, "offset": 0, "next_cursor": "c"});
        let read: TaskList = serde_json::from_value(list.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), list);

        let results =
            json!({"results": [{"task_id": id, "ok": true}, {"task_id": id, "ok": false, "detail": "ended"}]});
        let read: BulkResults = serde_json::from_value(results.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), results);
    }

    #[test]
    fn a_detail_survives_the_wire() {
        let id = "0193e3c8-7c00-7000-8000-000000000001";
        let value = json!({"task_id": id, "user_id": "local", "description": "Count the words", "task_type": "custom",
            "status": "failed", "progress": 0, "priority": "normal", "privacy_level": "sensitive",
            "checkpoint_frequency": "medium", "requires": {"gpu": "a100"}, "task_metadata": {"ticket": 7},
            "error": "exit code 2", "created_at": "2026-11-23T18:00:00.000000Z", "updated_at": "2026-11-23T18:00:00.000001Z",
            "started_at": "2026-11-23T18:00:00.000000Z", "completed_at": "2026-11-23T18:00:00.000001Z",
            "subtasks": [{"subtask_id": id, "name": "Count", "status": "failed", "progress": 0, "dependencies": [id],
                "attempt": 3, "complexity": 1, "priority": 0, "simulated": false, "error": "exit code 2"}]});
        let read: TaskDetail = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }
}
