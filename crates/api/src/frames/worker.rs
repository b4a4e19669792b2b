//! The worker's line, `GET /api/v1/workers/{worker_id}/ws`: the frames of both directions.
//!
//! Reading is forgiving, as older agents need it: no lease anywhere, and unknown fields.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ErrorData;
use crate::WorkerStatus;
use crate::nulls::null_default;
use crate::objects;
use crate::subtask::{AppendLog, ReportProgress, ReportResult};
use crate::worker::{Assignment, LeaseRef, Resources};

/// A frame from the server to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// Comes first.
    Connected {
        /// Who the worker is.
        data: ConnectedData,
    },
    /// Answers `resume`.
    Resumed {
        /// Leases that go on.
        kept: Vec<LeaseRef>,
        /// Leases that are over: the worker stops these.
        dropped: Vec<LeaseRef>,
    },
    /// A subtask to run.
    TaskAssignment {
        /// Everything about it.
        data: Box<Assignment>,
    },
    /// A subtask to stop.
    TaskCancel {
        /// Which, and why.
        data: TaskCancelData,
    },
    /// What became of a `result`. Not accepted is final: the worker drops it.
    ResultAck {
        /// The subtask.
        subtask_id: Uuid,
        /// The lease the result came with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<String>,
        /// Whether it counts.
        accepted: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// Only to older agents, which answer it with `pong`.
    Ping,
    /// Answers `ping`.
    Pong,
    /// A frame did not fit.
    Error {
        /// What is wrong with it.
        data: ErrorData,
    },
}

/// Who a worker is, to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectedData {
    /// The worker.
    pub worker_id: Uuid,
    /// The name people see.
    pub machine_name: String,
}

/// A subtask to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCancelData {
    /// The subtask.
    pub subtask_id: Uuid,
    /// Why, in words.
    pub reason: String,
}

/// A frame from a worker to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WorkerFrame {
    /// What still runs, after every `connected`. It concerns only leases given before that.
    Resume {
        /// The leases.
        #[serde(default, deserialize_with = "objects::list_or_null")]
        running: Vec<LeaseRef>,
    },
    /// An assignment arrived.
    Ack {
        /// The subtask.
        subtask_id: Uuid,
        /// Its lease.
        lease: String,
    },
    /// A heartbeat.
    Status {
        /// How the worker is.
        #[serde(deserialize_with = "objects::one")]
        data: StatusData,
    },
    /// A line of log.
    Log {
        /// The subtask, and the body of `POST /subtasks/{id}/log`.
        data: About<AppendLog>,
    },
    /// How far a subtask is.
    Progress {
        /// The subtask, and the body of `POST /subtasks/{id}/progress`.
        data: About<ReportProgress>,
    },
    /// How a subtask ended; answered with `result_ack`.
    Result {
        /// The subtask, and the body of `POST /subtasks/{id}/result`.
        data: About<ReportResult>,
    },
    /// The worker will not run an assignment: back to the queue, not to the same worker for 5 s.
    TaskRejected {
        /// The subtask.
        subtask_id: Uuid,
        /// Why, in words.
        #[serde(default, deserialize_with = "null_default")]
        reason: String,
        /// Its lease; older agents send none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<String>,
    },
    /// Answered with `pong`.
    Ping,
    /// Older agents' answer to `ping`.
    Pong,
}

impl WorkerFrame {
    /// Reads a frame, as `Deserialize` does, but without building reports in memory twice: a tagged enum and a flattened
    /// structure each buffer all of what they read, and a result may have a mebibyte.
    ///
    /// # Errors
    /// When the text is no JSON, or does not fit its type.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Outline<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
        }
        let outline: Outline<'_> = serde_json::from_str(text)?;
        match (outline.kind.as_ref(), outline.data.map(RawValue::get)) {
            ("log", Some(data)) => Ok(Self::Log { data: About::parse(data)? }),
            ("progress", Some(data)) => Ok(Self::Progress { data: About::parse(data)? }),
            ("result", Some(data)) => Ok(Self::Result { data: About::parse(data)? }),
            _ => serde_json::from_str(text),
        }
    }
}

impl<T: ToSchema + DeserializeOwned> About<T> {
    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Subject {
            subtask_id: Uuid,
        }
        let Subject { subtask_id } = serde_json::from_str(text)?;
        // Bodies ignore fields they do not know, so this one too.
        Ok(Self { subtask_id, body: serde_json::from_str(text)? })
    }
}

/// How a worker is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusData {
    /// What the worker says of itself; it never frees or takes work.
    pub status: WorkerStatus,
    /// What its machine uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// What really runs: exactly these leases are renewed. Without it (older agents) all are.
    #[serde(default, deserialize_with = "objects::optional_list", skip_serializing_if = "Option::is_none")]
    pub running: Option<Vec<LeaseRef>>,
}

/// A report about a subtask: its id beside the body that the REST call of the same name takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct About<T: ToSchema> {
    /// The subtask.
    pub subtask_id: Uuid,
    /// The body.
    #[serde(flatten)]
    pub body: T,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subtask::ResultStatus;
    use crate::{JsonObject, JsonText};
    use serde_json::{Value, json};

    const ID: &str = "0193e3c8-7c00-7000-8000-000000000001";

    fn id() -> Uuid {
        ID.parse().unwrap()
    }

    fn lease() -> LeaseRef {
        LeaseRef { subtask_id: id(), lease: "l-1".to_owned() }
    }

    /// Every frame the server sends, as literal JSON, comes out as it went in.
    #[test]
    fn server_frames_survive_the_wire() {
        let frames = [
            json!({"type": "connected", "data": {"worker_id": ID, "machine_name": "n"}}),
            json!({"type": "resumed", "kept": [{"subtask_id": ID, "lease": "l-1"}], "dropped": []}),
            json!({"type": "task_assignment", "data": {"subtask_id": ID, "task_id": ID, "name": "Merge", "description": "d",
                "assigned_tool": "command", "input": {"z": 1, "a": 2}, "context": {"Count": {"words": 7}}, "complexity": 1,
                "priority": 100, "attempt": 1, "lease": "l-1", "lease_seconds": 90, "timeout_seconds": 3600}}),
            json!({"type": "task_cancel", "data": {"subtask_id": ID, "reason": "the task was cancelled"}}),
            json!({"type": "result_ack", "subtask_id": ID, "lease": "l-1", "accepted": false, "detail": "the lease is over"}),
            json!({"type": "ping"}),
            json!({"type": "pong"}),
            json!({"type": "error", "data": {"message": "no JSON"}}),
        ];
        for frame in frames {
            let read: ServerFrame = serde_json::from_value(frame.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), frame);
        }
    }

    #[test]
    fn worker_frames_survive_the_wire() {
        let frames = [
            json!({"type": "resume", "running": [{"subtask_id": ID, "lease": "l-1"}]}),
            json!({"type": "ack", "subtask_id": ID, "lease": "l-1"}),
            json!({"type": "status", "data": {"status": "busy", "resources": {"cpu_percent": 1.5}, "running": []}}),
            json!({"type": "log", "data": {"subtask_id": ID, "level": "info", "message": "m", "lease": "l-1"}}),
            json!({"type": "progress", "data": {"subtask_id": ID, "progress": 50, "lease": "l-1"}}),
            json!({"type": "result", "data": {"subtask_id": ID, "status": "completed", "result": {"z": 1, "a": 2},
                "execution_time": 0.5, "exit_code": 0, "simulated": false, "lease": "l-1"}}),
            json!({"type": "task_rejected", "subtask_id": ID, "reason": "no such tool"}),
            json!({"type": "ping"}),
        ];
        for frame in frames {
            let read: WorkerFrame = serde_json::from_value(frame.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), frame);
            assert_eq!(WorkerFrame::parse(&frame.to_string()).unwrap(), read);
        }
    }

    #[test]
    fn what_older_agents_send_is_read() {
        let read = |frame: Value| serde_json::from_value::<WorkerFrame>(frame).unwrap();
        assert_eq!(read(json!({"type": "pong", "worker_id": ID})), WorkerFrame::Pong);
        assert_eq!(
            read(json!({"type": "task_rejected", "worker_id": ID, "reason": "busy", "subtask_id": ID})),
            WorkerFrame::TaskRejected { subtask_id: id(), reason: "busy".to_owned(), lease: None }
        );
        assert_eq!(
            read(json!({"type": "status", "data": {"status": "idle", "queue": 3}, "worker_id": ID})),
            WorkerFrame::Status { data: StatusData { status: WorkerStatus::Idle, resources: None, running: None } }
        );
        let WorkerFrame::Result { data } =
            read(json!({"type": "result", "data": {"subtask_id": ID, "status": "failed", "error": "x"}}))
        else {
            panic!("a result was read as something else");
        };
        assert_eq!((data.body.status, data.body.lease), (ResultStatus::Failed, None));
    }

    #[test]
    fn payloads_keep_their_order_on_the_line() {
        let mut result = JsonObject::new();
        result.insert("z".to_owned(), json!(1));
        result.insert("a".to_owned(), json!(2));
        let frame = WorkerFrame::Result {
            data: About {
                subtask_id: id(),
                body: ReportResult {
                    status: ResultStatus::Completed,
                    result,
                    execution_time: 0.0,
                    error: None,
                    exit_code: None,
                    simulated: true,
                    lease: Some("l-1".to_owned()),
                },
            },
        };
        let text = serde_json::to_string(&frame).unwrap();
        assert!(text.contains(r#""result":{"z":1,"a":2}"#), "{text}");
        let read: WorkerFrame = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);

        let text = r#"{"type":"task_assignment","data":{"subtask_id":"0193e3c8-7c00-7000-8000-000000000001","task_id":"0193e3c8-7c00-7000-8000-000000000001","name":"n","description":"","assigned_tool":"command","input":{"z":1,"a":2},"context":{},"complexity":1,"priority":0,"attempt":1,"lease":"l","lease_seconds":90,"timeout_seconds":1}}"#;
        let ServerFrame::TaskAssignment { data } = serde_json::from_str(text).unwrap() else {
            panic!("an assignment was read as something else");
        };
        assert_eq!(data.input, JsonText::from_valid(r#"{"z":1,"a":2}"#));
        assert_eq!(serde_json::to_string(&ServerFrame::TaskAssignment { data }).unwrap(), text);
    }

    #[test]
    fn a_frame_that_does_not_fit_says_why() {
        let error = |frame: Value| {
            let parsed = WorkerFrame::parse(&frame.to_string()).unwrap_err().to_string();
            let read = serde_json::from_value::<WorkerFrame>(frame).unwrap_err().to_string();
            assert!(parsed.starts_with(&read), "{parsed} is not {read}");
            read
        };
        assert_eq!(error(json!({"data": {}})), "missing field `type`");
        assert_eq!(error(json!({"type": "log"})), "missing field `data`");
        assert_eq!(error(json!({"type": "progress", "data": {"progress": 5}})), "missing field `subtask_id`");
        assert_eq!(error(json!({"type": "result", "data": {"subtask_id": ID}})), "missing field `status`");
        assert!(WorkerFrame::parse("ping").is_err());
        assert!(error(json!({"type": "dance"})).starts_with("unknown variant `dance`, expected"));
        assert_eq!(error(json!({"type": "ack", "subtask_id": ID})), "missing field `lease`");
        assert_eq!(
            serde_json::to_value(WorkerFrame::Resume { running: vec![lease()] }).unwrap()["running"][0]["lease"],
            "l-1"
        );
    }
}
