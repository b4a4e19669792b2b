//! Between the domain and the wire, a file a resource. Shapes only: nothing here decides anything.

pub(crate) mod events;
pub(crate) mod stats;
pub(crate) mod subtasks;
pub(crate) mod tasks;
pub(crate) mod workers;

use std::sync::Arc;

use regatta_api::worker::LeaseRef;
use regatta_api::{JsonObject, JsonText, Time};
use regatta_model::plan::Json;
use regatta_model::{Lease, SubtaskId, TaskId, Timestamp, WorkerId};
use uuid::Uuid;

pub(crate) fn time(at: Timestamp) -> Time {
    Time::from_micros(at.0)
}

pub(crate) fn json(text: &Json) -> JsonText {
    JsonText::from_valid(text.clone())
}

/// An object as the store keeps it.
pub(crate) fn object(object: &JsonObject) -> Json {
    Arc::from(JsonText::from_object(object).as_str())
}

/// An epoch that no lease has: what a text that is no lease of the subtask becomes, so that it is answered as stale.
const NO_EPOCH: i64 = -1;

/// The lease that came with a call about `subtask`. A text that is none, or another subtask's, is not an error of
/// form: it is a lease that does not hold.
pub(crate) fn lease(subtask: SubtaskId, text: &str) -> Lease {
    match text.parse::<Lease>() {
        Ok(lease) if lease.subtask == subtask => lease,
        _ => Lease { subtask, epoch: NO_EPOCH },
    }
}

/// What a worker says it runs: the leases among it, and what is none.
pub(crate) fn running(named: &[LeaseRef]) -> (Vec<Lease>, Vec<LeaseRef>) {
    let mut leases = Vec::with_capacity(named.len());
    let mut others = Vec::new();
    for one in named {
        match one.lease.parse::<Lease>() {
            Ok(lease) if lease.subtask.uuid() == one.subtask_id => leases.push(lease),
            _ => others.push(one.clone()),
        }
    }
    (leases, others)
}

pub(crate) fn lease_ref(lease: &Lease) -> LeaseRef {
    LeaseRef { subtask_id: lease.subtask.uuid(), lease: lease.to_string() }
}

/// A task's id from a body or frame.
pub(crate) fn task_id(id: Uuid) -> Option<TaskId> {
    TaskId::from_uuid(id)
}

/// A subtask's id from a body or frame.
pub(crate) fn subtask_id(id: Uuid) -> Option<SubtaskId> {
    SubtaskId::from_uuid(id)
}

/// A worker's id from a body or frame.
pub(crate) fn worker_id(id: Uuid) -> WorkerId {
    WorkerId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_lease_of_the_subtask_holds_nothing() {
        let task = TaskId::from_random(Uuid::from_u128(1 << 90));
        let good = Lease { subtask: task.subtask(0), epoch: Lease::epoch(1, 7) };
        assert_eq!(lease(good.subtask, &good.to_string()), good);
        for (subtask, text) in [(task.subtask(1), good.to_string()), (good.subtask, "x".to_owned())] {
            assert_eq!(lease(subtask, &text), Lease { subtask, epoch: NO_EPOCH });
        }
        let named = [lease_ref(&good), LeaseRef { lease: "x".to_owned(), ..lease_ref(&good) }];
        assert_eq!(running(&named), (vec![good], vec![named[1].clone()]));
    }
}
