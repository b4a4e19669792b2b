//! Keys that are made of keys: a subtask's is its task's, 14 bits to the left, plus its position; an event's is its task's,
//! 30 bits to the left, plus its number. So what belongs to a task lies side by side.

use regatta_model::TaskKey;

use super::PackError;

/// Bits of an event's key that hold its number.
const SEQ_BITS: u32 = 30;
const SEQ_MASK: i64 = (1 << SEQ_BITS) - 1;

/// The key of a task's event number `seq`.
pub(crate) fn event_key(task: TaskKey, seq: u64) -> Result<i64, PackError> {
    match i64::try_from(seq) {
        Ok(seq) if seq <= SEQ_MASK => Ok((task.0 << SEQ_BITS) | seq),
        _ => Err(PackError::Limit(format!("a task can have {SEQ_MASK} events and log lines; submit another task"))),
    }
}

/// The number in an event's key.
pub(crate) const fn event_seq(key: i64) -> u64 {
    (key & SEQ_MASK) as u64
}

/// The keys of all events of a task: above the first, up to the last.
pub(crate) const fn event_range(task: TaskKey) -> (i64, i64) {
    (task.0 << SEQ_BITS, (task.0 << SEQ_BITS) | SEQ_MASK)
}

/// The first and last key that subtasks of a task can have.
pub(crate) const fn subtask_range(task: TaskKey) -> (i64, i64) {
    (task.subtask(0).0, TaskKey(task.0 + 1).subtask(0).0 - 1)
}

#[cfg(test)]
mod tests {
    use regatta_model::SubtaskKey;

    use super::*;

    #[test]
    fn an_events_key_holds_its_task_and_number() {
        let (first, last) = event_range(TaskKey(7));
        let key = event_key(TaskKey(7), 12).unwrap();
        assert!(first < key && key <= last);
        assert_eq!(event_seq(key), 12);
        assert!(event_key(TaskKey(7), 1 << 30).is_err());
        assert!(event_range(TaskKey(8)).0 > last);
    }

    #[test]
    fn a_tasks_subtasks_lie_between_its_neighbours() {
        let (first, last) = subtask_range(TaskKey(5));
        assert_eq!(SubtaskKey(first).task(), TaskKey(5));
        assert_eq!(SubtaskKey(last).task(), TaskKey(5));
        assert_eq!(SubtaskKey(last + 1).task(), TaskKey(6));
    }
}
