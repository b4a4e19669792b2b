//! Rejections: back to the queue, not to the same worker for 5 s, and not counted as attempts that failed.

use regatta_model::{AttemptOutcome, SubtaskStatus};

use crate::world::{World, step};

#[test]
fn a_rejection_needs_no_lease_also_from_a_worker_that_shows_leases() {
    let mut world = World::new();
    world.submit(&[step("a", "claude_code", &[])]);
    let worker = world.worker(1, &["claude_code"], 1);
    let given = world.claim().remove(0);
    world.heartbeat(worker, &[given.lease]);
    assert!(world.reject(&given, None));
    let row = world.subtask(given.lease.subtask);
    assert_eq!((row.state.status(), row.failures), (SubtaskStatus::Queued, 0));
    assert_eq!(world.memory.attempts[&row.head.key][0].outcome, AttemptOutcome::Rejected);
    // What it no longer holds it cannot give back.
    assert!(!world.reject(&given, None));
    assert!(!world.reject(&given, Some(given.lease)));
}

#[test]
fn nobody_gives_back_what_another_holds() {
    let mut world = World::new();
    world.submit(&[step("a", "claude_code", &[])]);
    world.worker(1, &["claude_code"], 1);
    let given = world.claim().remove(0);
    let other = world.worker(2, &["claude_code"], 1);
    let mut forged = given.clone();
    forged.worker = other;
    assert!(!world.reject(&forged, None));
    assert!(!world.reject(&forged, Some(given.lease)));
    assert_eq!(world.subtask(given.lease.subtask).state.status(), SubtaskStatus::InProgress);
}

#[test]
fn two_workers_that_reject_do_not_play_ping_pong() {
    let mut world = World::new();
    world.submit(&[step("a", "claude_code", &[])]);
    for number in [1, 2] {
        world.worker(number, &["claude_code"], 1);
    }
    // One second after the other both reject; from then on nobody gets it until five seconds are over.
    let first = world.claim().remove(0);
    assert!(world.reject(&first, Some(first.lease)));
    world.pass(1);
    let second = world.claim().remove(0);
    assert_ne!(second.worker, first.worker);
    assert!(world.reject(&second, Some(second.lease)));
    assert_eq!(world.subtask(first.lease.subtask).state.status(), SubtaskStatus::Queued);
    for _ in 0..3 {
        world.pass(1);
        world.sweep();
        assert_eq!(world.claim(), []);
    }
    // Five seconds after the first rejection its worker may have it again, and only that one.
    world.pass(1);
    world.sweep();
    let third = world.claim().remove(0);
    assert_eq!(third.worker, first.worker);
    assert_eq!(third.attempt, 3);
}

#[test]
fn a_rejection_is_remembered_while_another_worker_tries() {
    let mut world = World::new();
    world.submit(&[step("a", "claude_code", &[])]);
    for number in [1, 2] {
        world.worker(number, &["claude_code"], 1);
    }
    let first = world.claim().remove(0);
    world.reject(&first, None);
    let second = world.claim().remove(0);
    // Its worker loses it: it goes back, and still not to the one that rejected it a moment ago.
    world.heartbeat(second.worker, &[]);
    world.heartbeat(second.worker, &[]);
    assert_eq!(world.subtask(second.lease.subtask).state.status(), SubtaskStatus::Queued);
    assert_eq!(world.claim()[0].worker, second.worker);
}
