//! Order within a lane: a virtual deadline, so that an index serves the order and nothing starves.
//!
//! A subtask's rank is the time at which it was queued minus a head start for its priority. Smaller runs
//! first. Whatever the head starts, everything queued later than the largest one comes after, so that
//! every subtask reaches the front.

use crate::time::{Span, Timestamp};
use crate::words::Priority;

/// The head start of a task's priority.
pub const fn task_head_start(priority: Priority) -> Span {
    match priority {
        Priority::Low => Span::seconds(-600),
        Priority::Normal => Span::seconds(0),
        Priority::High => Span::seconds(600),
        Priority::Urgent => Span::seconds(3_600),
    }
}

/// The head start of a step: a second for each point of its `priority`, at most ten minutes either way,
/// so that it orders work of equal tasks and never outweighs a task's own priority.
pub fn head_start(task: Priority, step_priority: i32) -> Span {
    let step = i64::from(step_priority).clamp(-600, 600);
    Span(task_head_start(task).0 + Span::seconds(step).0)
}

/// The rank of something queued at `queued_at`.
pub fn rank(queued_at: Timestamp, head_start: Span) -> i64 {
    (queued_at - head_start).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_overtakes_for_an_hour_and_no_longer() {
        let old = rank(Timestamp(0), head_start(Priority::Normal, 0));
        let soon = rank(Timestamp(0) + Span::seconds(3_599), head_start(Priority::Urgent, 0));
        let late = rank(Timestamp(0) + Span::seconds(3_601), head_start(Priority::Urgent, 0));
        assert!(soon < old && old < late);
    }
}
