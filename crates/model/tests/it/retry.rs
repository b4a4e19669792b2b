//! Retrying a task: what failed or was cancelled goes back, and nothing is left that never ends.

use regatta_model::command::{Changed, Reported};
use regatta_model::task::Start;
use regatta_model::{SubtaskStatus, TaskStatus};

use crate::world::{World, step};

/// Two results of this size are more than a context may be.
fn large() -> String {
    format!("{{\"x\":\"{}\"}}", "y".repeat(5 << 20))
}

#[test]
fn a_context_that_is_too_large_is_so_again_after_a_retry() {
    let mut world = World::new();
    let task = world.submit(&[
        step("left", "claude_code", &[]),
        step("right", "claude_code", &[]),
        step("join", "claude_code", &["left", "right"]),
        step("after", "claude_code", &["join"]),
        step("aside", "claude_code", &["left"]),
    ]);
    world.worker(1, &["claude_code"], 4);
    for assignment in world.claim() {
        world.report(&assignment, Ok(()), &large());
    }
    let aside = world.claim().remove(0);
    assert_eq!(&*aside.name, "aside");
    world.report(&aside, Err("broken"), "{}");
    assert_eq!(world.task(task).status, TaskStatus::Failed);

    // What can go on does; what cannot fails with its reason, and the task ends.
    assert_eq!(world.retry(task), Changed::To(TaskStatus::InProgress));
    let join = world.subtask(task.subtask(2));
    assert_eq!(join.state.status(), SubtaskStatus::Failed);
    assert!(join.error.as_deref().is_some_and(|error| error.starts_with("context_too_large")));
    assert_eq!(world.subtask(task.subtask(3)).state.status(), SubtaskStatus::Cancelled);
    let again = world.claim();
    assert_eq!(again.len(), 1);
    assert_eq!((&*again[0].name, again[0].attempt), ("aside", 2));
    assert!(matches!(world.report(&again[0], Ok(()), "{}"), Reported::Accepted { progress: 60, .. }));
    let row = world.task(task);
    assert_eq!((row.status, row.completed, row.failed, row.cancelled), (TaskStatus::Failed, 3, 1, 1));

    // Nothing but that is left: the answer says at once that it failed again.
    assert_eq!(world.retry(task), Changed::To(TaskStatus::Failed));
    assert!(world.task(task).completed_at.is_some());
    assert_eq!(world.claim(), []);
}

#[test]
fn finished_steps_keep_their_output_and_attempts_go_on_counting() {
    let mut world = World::new();
    let task = world.submit(&[step("first", "claude_code", &[]), step("second", "claude_code", &["first"])]);
    world.worker(1, &["claude_code"], 1);
    let first = world.claim().remove(0);
    world.report(&first, Ok(()), r#"{"kept":1}"#);
    let second = world.claim().remove(0);
    world.report(&second, Err("broken"), "{}");
    assert_eq!(world.task(task).error.as_deref(), Some("broken"));
    assert_eq!(world.retry(task), Changed::To(TaskStatus::InProgress));
    assert_eq!(world.retry(task), Changed::Refused(TaskStatus::InProgress));
    let again = world.claim().remove(0);
    assert_eq!((&*again.name, again.attempt, &*again.context), ("second", 2, r#"{"first":{"kept":1}}"#));
    world.report(&again, Ok(()), "{}");
    let row = world.task(task);
    assert_eq!((row.status, row.error.as_deref()), (TaskStatus::Completed, None));
}

#[test]
fn a_task_cancelled_while_its_plan_was_written_starts_again_by_itself() {
    let mut world = World::new();
    let steps: Vec<_> = (0..5).map(|number| step(&number.to_string(), "claude_code", &[])).collect();
    let task = world.submit_part(&steps, Start::Now, 2);
    assert_eq!(world.task(task).status, TaskStatus::Initializing);
    assert_eq!(world.cancel(task), Changed::To(TaskStatus::Cancelled));
    assert_eq!(world.retry(task), Changed::To(TaskStatus::Pending));
    assert_eq!(world.sweep(), [task]);
}

#[test]
fn a_task_that_waited_to_be_started_waits_again() {
    let mut world = World::new();
    let at = world.now + regatta_model::Span::seconds(60);
    let on_request = world.submit_part(&[step("a", "claude_code", &[])], Start::OnRequest, 1);
    let later = world.submit_part(&[step("a", "claude_code", &[])], Start::At(at), 1);
    for task in [on_request, later] {
        assert_eq!(world.cancel(task), Changed::To(TaskStatus::Cancelled));
        assert_eq!(world.retry(task), Changed::To(TaskStatus::Pending));
    }
    assert_eq!(world.sweep(), []);
    world.pass(60);
    assert_eq!(world.sweep(), [later]);
}
