//! The frames of the three WebSockets: JSON objects with `type` (what clients send to a watcher's socket: `action`).
//!
//! What is allowed when is not here: the server's sockets and the worker keep the order of frames.

pub mod all;
pub mod logs;
pub mod worker;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What an `error` frame says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorData {
    /// What is wrong with the frame that was sent, and what to do.
    pub message: String,
}

/// A task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskIdData {
    /// The task.
    pub task_id: Uuid,
}
