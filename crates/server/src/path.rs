//! Ids in paths. What is no id, or an id of another kind, is a 404: there is no such thing.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use regatta_model::{SubtaskId, TaskId, WorkerId};
use uuid::Uuid;

use crate::problem::{Failure, Kind};

/// An id that stands in a path.
pub(crate) trait PathId: Sized + Send {
    /// The name of the parameter, and with `_id` cut off that of the kind.
    const PARAM: &'static str;
    /// The id of this kind; `None` for another kind's.
    fn of(uuid: Uuid) -> Option<Self>;
}

impl PathId for TaskId {
    const PARAM: &'static str = "task_id";
    fn of(uuid: Uuid) -> Option<Self> {
        Self::from_uuid(uuid)
    }
}

impl PathId for SubtaskId {
    const PARAM: &'static str = "subtask_id";
    fn of(uuid: Uuid) -> Option<Self> {
        Self::from_uuid(uuid)
    }
}

impl PathId for WorkerId {
    const PARAM: &'static str = "worker_id";
    fn of(uuid: Uuid) -> Option<Self> {
        Some(Self(uuid))
    }
}

/// The id of this kind in the path of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T: PathId, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let kind = T::PARAM.trim_end_matches("_id");
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::new(Kind::NotFound, "The path is not UTF-8, so there is nothing there."))?;
        let text = params.iter().find_map(|(name, text)| (name == T::PARAM).then_some(text)).unwrap_or_default();
        Uuid::try_parse(text).ok().and_then(T::of).map(Id).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Failure::no_such(kind, &shown)
        })
    }
}
