//! What can be subscribed to, and which topics a notice belongs to.

use regatta_model::event::What;
use regatta_model::{TaskId, WorkerId};

use crate::notice::Body;

/// What a subscriber wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Every event of one task: itself, its subtasks, its log.
    Task(TaskId),
    /// What changes in the list of tasks: of every task the events about itself.
    Tasks,
    /// Every worker, also when it is taken off the list.
    Workers,
    /// One worker.
    Worker(WorkerId),
}

impl Topic {
    /// The topics to which `body` belongs: that of the one it is about, and that of the list that shows it.
    pub fn of(body: &Body) -> (Topic, Option<Topic>) {
        match body {
            Body::Event(event) => {
                let listed = matches!(event.what, What::Task(_)).then_some(Topic::Tasks);
                (Topic::Task(event.task.id), listed)
            }
            Body::Worker(row) => (Topic::Worker(row.id), Some(Topic::Workers)),
            Body::WorkerRemoved(id) => (Topic::Worker(*id), Some(Topic::Workers)),
        }
    }
}
