//! Names of things: the ids that clients see and the integer keys that stores use inside.
//!
//! A subtask's id is its task's id with the position of its step in the low 14 bits, and its key is made
//! from the task's key likewise. So one unique index, on the ids of tasks, finds every subtask.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many bits of a subtask's id and key hold its position; 2^14 - 1 > 10,000 steps.
const POSITION_BITS: u32 = 14;
const POSITION_MASK: u128 = (1 << POSITION_BITS) - 1;

/// The id of a task: a UUID version 7 whose low 14 bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(Uuid);

/// The id of a subtask: its task's id plus its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubtaskId(Uuid);

/// The id of a worker, given at its first registration and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub Uuid);

impl TaskId {
    /// The task id made from a fresh UUID: its low 14 bits are cleared.
    pub fn from_random(uuid: Uuid) -> Self {
        Self(Uuid::from_u128(uuid.as_u128() & !POSITION_MASK))
    }

    /// Reads an id from outside; `None` when it cannot be a task's.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        (uuid.as_u128() & POSITION_MASK == 0).then_some(Self(uuid))
    }

    /// As it stands on the wire.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The id of the subtask at `position` (0-based) of this task's plan.
    pub fn subtask(self, position: u16) -> SubtaskId {
        SubtaskId(Uuid::from_u128(self.0.as_u128() | (u128::from(position) + 1)))
    }
}

impl SubtaskId {
    /// Reads an id from outside; `None` when it cannot be a subtask's.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        (uuid.as_u128() & POSITION_MASK != 0).then_some(Self(uuid))
    }

    /// As it stands on the wire.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The task it belongs to.
    pub fn task(self) -> TaskId {
        TaskId(Uuid::from_u128(self.0.as_u128() & !POSITION_MASK))
    }

    /// Its 0-based place in the plan.
    pub fn position(self) -> u16 {
        ((self.0.as_u128() & POSITION_MASK) - 1) as u16
    }
}

impl WorkerId {
    /// As it stands on the wire.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

macro_rules! show_as_uuid {
    ($($name:ident),+) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+ };
}
show_as_uuid!(TaskId, SubtaskId, WorkerId);

/// A task's key inside a store: a counter, so that its order is the order of submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey(pub i64);

/// A subtask's key inside a store: its task's key and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubtaskKey(pub i64);

/// A worker's key inside a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerKey(pub i64);

/// A lane's key inside a store, see [`crate::routing::Lane`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneKey(pub i64);

impl TaskKey {
    /// The key of the subtask at `position`.
    pub const fn subtask(self, position: u16) -> SubtaskKey {
        SubtaskKey((self.0 << POSITION_BITS) | position as i64)
    }
}

impl SubtaskKey {
    /// The key of the task it belongs to.
    pub const fn task(self) -> TaskKey {
        TaskKey(self.0 >> POSITION_BITS)
    }
    /// Its 0-based place in the plan.
    pub const fn position(self) -> u16 {
        (self.0 & ((1 << POSITION_BITS) - 1)) as u16
    }
}

/// The fencing token of one attempt: which subtask, and which of its claims.
///
/// The epoch is the number of the attempt in its high half, so it only grows, and a random number in its low
/// half, so that it can neither be guessed nor come again after a backup was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The subtask that is leased.
    pub subtask: SubtaskId,
    /// Grows with every claim; never given twice.
    pub epoch: i64,
}

impl Lease {
    /// The epoch of claim number `attempt`, with a random `nonce`.
    pub const fn epoch(attempt: u32, nonce: u32) -> i64 {
        ((attempt as i64) << 32) | nonce as i64
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.subtask.0.simple(), self.epoch)
    }
}

/// A text that is no lease of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a lease")]
pub struct NotALease;

impl FromStr for Lease {
    type Err = NotALease;
    fn from_str(text: &str) -> Result<Self, NotALease> {
        let (subtask, epoch) = text.split_once('.').ok_or(NotALease)?;
        let subtask = Uuid::try_parse(subtask).ok().and_then(SubtaskId::from_uuid).ok_or(NotALease)?;
        if epoch.starts_with('+') {
            return Err(NotALease);
        }
        let epoch = i64::from_str_radix(epoch, 16).map_err(|_| NotALease)?;
        Ok(Self { subtask, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtask_knows_its_task_and_place() {
        let task = TaskId::from_random(Uuid::from_u128(u128::MAX / 3));
        for position in [0, 1, 499, 9_999] {
            let subtask = task.subtask(position);
            assert_eq!(subtask.task(), task);
            assert_eq!(subtask.position(), position);
            assert_eq!(SubtaskId::from_uuid(subtask.uuid()), Some(subtask));
            assert_eq!(TaskId::from_uuid(subtask.uuid()), None);
            let key = TaskKey(77).subtask(position);
            assert_eq!((key.task(), key.position()), (TaskKey(77), position));
        }
        assert_eq!(SubtaskId::from_uuid(task.uuid()), None);
    }

    #[test]
    fn a_lease_survives_its_text_and_garbage_is_refused() {
        let task = TaskId::from_random(Uuid::from_u128(1 << 100));
        let lease = Lease { subtask: task.subtask(3), epoch: Lease::epoch(7, u32::MAX) };
        assert_eq!(lease.to_string().parse(), Ok(lease));
        for garbage in ["", ".", "x.1", &format!("{}.1", task.uuid().simple()), "é.é"] {
            assert_eq!(garbage.parse::<Lease>(), Err(NotALease));
        }
    }
}
