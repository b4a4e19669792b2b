//! What must hold after every step, recounted from the rows of the model. For tests and simulations: it panics.

use std::collections::{BTreeMap, BTreeSet};

use crate::memory::Memory;
use crate::subtask::{self, State};
use crate::{SubtaskKey, TaskStatus, WorkerKey, task};

/// What must hold from one step to the next.
#[derive(Default)]
pub struct History {
    epochs: BTreeMap<SubtaskKey, (State, u32, i64)>,
    used: BTreeMap<WorkerKey, u32>,
    completed: BTreeSet<SubtaskKey>,
}

impl History {
    /// Checks everything about one state of the model, and what changed since the last.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check(&mut self, memory: &Memory) {
        for (row, _) in memory.tasks.values() {
            check_task(memory, row);
        }
        for (row, _) in memory.subtasks.values() {
            check_subtask(memory, row);
        }
        self.check_workers(memory);
        self.check_epochs(memory);
        self.completed.retain(|key| memory.subtasks.contains_key(key));
        for key in &self.completed {
            assert_eq!(memory.subtasks[key].0.state, State::Completed, "what completed stays completed");
        }
        let done = memory.subtasks.values().filter(|(row, _)| row.state == State::Completed);
        self.completed.extend(done.map(|(row, _)| row.head.key));
    }

    fn check_workers(&mut self, memory: &Memory) {
        for (row, _) in memory.workers.values() {
            let held = memory.subtasks.values().filter(|(subtask, _)| {
                subtask.state == State::Leased && subtask.holder.as_ref().is_some_and(|holder| holder.worker == row.key)
            });
            assert_eq!(row.used, held.count() as u32, "slots in use are leases");
            let before = self.used.insert(row.key, row.used).unwrap_or(0);
            assert!(row.used <= row.profile.slots.max(before), "only slots that shrank are overbooked");
        }
    }

    fn check_epochs(&mut self, memory: &Memory) {
        self.epochs.retain(|key, _| memory.subtasks.contains_key(key));
        for (&key, (row, _)) in &memory.subtasks {
            let now = (row.state, row.attempt, row.epoch);
            let Some((_, attempt, epoch)) = self.epochs.insert(key, now) else { continue };
            if row.attempt == attempt {
                assert_eq!(row.epoch, epoch, "an epoch belongs to one attempt");
            } else {
                assert!(row.attempt > attempt && row.epoch > epoch, "attempts and epochs only grow");
            }
        }
    }
}

fn check_task(memory: &Memory, row: &task::TaskRow) {
    let key = row.head.key;
    let states: Vec<State> = memory.subtasks_of(key).map(|subtask| subtask.state).collect();
    let count = |wanted: State| states.iter().filter(|&&state| state == wanted).count() as u32;
    assert_eq!(row.completed, count(State::Completed), "completed");
    assert_eq!(row.failed, count(State::Failed), "failed");
    assert_eq!(row.cancelled, count(State::Cancelled), "cancelled");
    assert_eq!(row.running, count(State::Leased), "running");
    let ended = states.iter().all(|state| state.is_ended());
    match row.status {
        TaskStatus::Pending => assert!(states.is_empty() && row.total == 0, "not planned"),
        TaskStatus::Initializing => {
            assert!((states.len() as u32) < row.total, "its plan is not whole");
            assert!(states.iter().all(|&state| state == State::Waiting), "nothing of it may run");
        }
        TaskStatus::InProgress => {
            assert_eq!(states.len() as u32, row.total, "its plan is whole");
            assert!(!ended, "a task of which nothing is left to run has ended");
        }
        TaskStatus::Completed => assert!(row.completed == row.total && row.total > 0, "all completed"),
        TaskStatus::Failed => assert!(ended && row.failed > 0, "something failed"),
        TaskStatus::Cancelled => assert!(ended, "nothing of it runs"),
        TaskStatus::Checkpoint => panic!("nothing makes checkpoints yet"),
    }
    assert_eq!(row.status.is_ended(), row.completed_at.is_some(), "it knows when it ended");
    let numbers = memory.events.get(&key).into_iter().flatten().map(|event| event.seq);
    assert!(numbers.eq(1..=row.seq), "events are numbered from 1 without gaps");
}

fn check_subtask(memory: &Memory, row: &subtask::SubtaskRow) {
    let task = &memory.tasks[&row.head.key.task()].0;
    let dependencies: Vec<SubtaskKey> =
        row.head.dependencies.iter().map(|&position| task.head.key.subtask(position)).collect();
    let state_of = |key: &SubtaskKey| memory.subtasks.get(key).map(|(row, _)| row.state);
    let left = dependencies.iter().filter(|key| state_of(key) != Some(State::Completed)).count();
    assert_eq!(row.deps_left as usize, left, "dependencies that have not completed");
    let bytes: usize = dependencies.iter().filter_map(|key| memory.outputs.get(key)).map(|output| output.len()).sum();
    assert_eq!(row.context_bytes as usize, bytes, "bytes of context");
    let leased = row.state == State::Leased;
    assert_eq!(row.lease_expires_at.is_some(), leased, "a lease has an end");
    assert_eq!(row.due_at.is_some(), leased || row.state == State::Backoff, "what waits for time has one");
    match row.state {
        State::Waiting if task.status == TaskStatus::InProgress => {
            assert!(left > 0, "what waits for nothing is ready");
            let lost = dependencies.iter().any(|key| matches!(state_of(key), Some(State::Failed | State::Cancelled)));
            assert!(!lost, "what can never run is cancelled");
        }
        State::Ready | State::Backoff | State::Leased => {
            assert_eq!(left, 0, "nothing runs before its dependencies");
            assert_eq!(task.status, TaskStatus::InProgress, "nothing runs in a task that does not");
        }
        _ => {}
    }
    if leased {
        let holder = row.holder.as_ref().map(|holder| holder.worker);
        assert!(holder.is_some_and(|worker| memory.workers.contains_key(&worker)), "a lease has a holder");
        assert_eq!(row.epoch >> 32, i64::from(row.attempt), "an epoch carries its attempt");
    }
    let attempts = memory.attempts.get(&row.head.key).map_or(0, Vec::len) as u32;
    let current = u32::from(leased || row.state == State::Completed);
    assert_eq!(attempts + current, row.attempt, "every claim is an attempt");
}
