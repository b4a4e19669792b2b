//! Claims: who gets what, and that nobody idles beside work that is theirs.

use std::collections::BTreeMap;

use crate::world::{World, step};

#[test]
fn a_backlog_for_one_worker_hides_no_work_of_another() {
    let mut world = World::new();
    // A long backlog for one slot, and behind it, younger, work for others.
    for _ in 0..100 {
        world.submit(&[step("slow", "claude_code", &[])]);
    }
    world.pass(1);
    for tool in ["gemini_cli", "ollama"] {
        for _ in 0..3 {
            world.submit(&[step("quick", tool, &[])]);
        }
    }
    world.worker(1, &["claude_code"], 1);
    world.worker(2, &["gemini_cli"], 2);
    world.worker(3, &["ollama"], 5);
    let mut given: BTreeMap<String, usize> = BTreeMap::new();
    for assignment in world.claim() {
        *given.entry(assignment.tool.to_string()).or_default() += 1;
    }
    let expected = [("claude_code", 1), ("gemini_cli", 2), ("ollama", 3)].map(|(tool, count)| (tool.to_owned(), count));
    assert_eq!(given, expected.into());
    assert_eq!(world.claim(), []);
}

#[test]
fn the_oldest_goes_first_over_all_lanes() {
    let mut world = World::new();
    let mut submitted = Vec::new();
    for number in 0..40 {
        world.pass(1);
        submitted.push(world.submit(&[step("a", if number % 2 == 0 { "claude_code" } else { "gemini_cli" }, &[])]));
    }
    world.worker(1, &["claude_code", "gemini_cli"], 7);
    let given: Vec<_> = world.claim().iter().map(|assignment| assignment.lease.subtask.task()).collect();
    assert_eq!(given, submitted[..7]);
}
