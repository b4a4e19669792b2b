//! Regatta's wire: the shapes of every request, answer and WebSocket frame, as serde types that also make the OpenAPI document.
//!
//! Shapes, defaults and documented limits only. Nothing here checks a limit, talks to a socket or knows the domain's rules:
//! the server validates, the engine decides.
//!
//! Two conventions hold for every type:
//! - a field that may be absent is an `Option` (skipped when `None`) or has a default; `null` in such a field means absent;
//! - unknown fields are ignored (agents in the field send some), except in a plan's [`Step`].

pub mod frames;
pub mod health;
pub mod json;
pub mod legacy;
pub mod limits;
mod nulls;
mod objects;
pub mod page;
pub mod problem;
pub mod stats;
pub mod subtask;
pub mod task;
pub mod time;
pub mod worker;

pub use json::{JsonObject, JsonText};
pub use problem::{FieldError, Problem};
pub use regatta_model::words::{
    AttemptOutcome, CheckpointFrequency, LogLevel, Priority, Privacy, SubtaskStatus, TaskStatus, TaskType, UnknownWord,
    WorkerStatus,
};
pub use task::Step;
pub use time::Time;

/// The prefix of every call of the API, without a slash at its end.
pub const PREFIX: &str = "/api/v1";

/// The header of a registration's answer with the id of the system that the worker belongs to now: all nodes on one database are
/// one system. A worker keeps results by it, since nodes come and go.
pub const CLUSTER_HEADER: &str = "regatta-cluster";

#[cfg(test)]
mod tests {
    use utoipa::OpenApi;

    use crate::frames::{all, logs, worker as line};
    use crate::{legacy, subtask, task, worker};

    /// The document of every root type, as the server will gather it.
    #[derive(OpenApi)]
    #[openapi(components(schemas(
        task::CreateTask,
        task::TaskDetail,
        subtask::SubtaskDetail,
        subtask::EventPage,
        worker::WorkerDetail,
        legacy::LegacyResult,
        line::ServerFrame,
        line::WorkerFrame,
        logs::LogsFrame,
        logs::LogsAction,
        all::WatchFrame,
        all::WatchAction
    )))]
    struct Document;

    #[test]
    fn the_document_states_the_limits_and_resolves_every_reference() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let schemas = &document["components"]["schemas"];
        let task = &schemas["CreateTask"];
        assert_eq!(task["required"], serde_json::json!(["description"]));
        assert_eq!(task["properties"]["description"]["maxLength"], 10_000);
        assert_eq!(task["properties"]["priority"]["default"], "normal");
        assert_eq!(schemas["Step"]["additionalProperties"], false);

        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.get(name).is_some(), "{name} is referred to and absent");
        }
    }
}
