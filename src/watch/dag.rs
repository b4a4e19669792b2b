//! A task's plan and where each step stands, kept up to date by its events. No printing.

use std::collections::HashMap;

use regatta_client::api::subtask::SubtaskRow;
use regatta_client::api::task::TaskDetail;
use regatta_client::api::{SubtaskStatus, TaskStatus, Time};
use uuid::Uuid;

use crate::feed::Event;

/// The plan, in the order it is shown: by depth, then as the plan has it.
#[derive(Debug)]
pub struct Dag {
    pub description: String,
    pub status: TaskStatus,
    pub progress: u32,
    pub waiting_for: Option<String>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub steps: Vec<Step>,
    index: HashMap<Uuid, usize>,
}

/// A step and what was last heard of it.
#[derive(Debug)]
pub struct Step {
    pub row: SubtaskRow,
    /// The longest way from a step without dependencies.
    pub depth: usize,
    /// The last line it logged.
    pub last_line: Option<String>,
}

impl Dag {
    /// The plan of a task, as it was when asked.
    pub fn new(task: TaskDetail) -> Self {
        let mut dag = Self {
            description: task.description,
            status: task.status,
            progress: task.progress,
            waiting_for: task.waiting_for,
            created_at: task.created_at,
            started_at: task.started_at,
            ended_at: task.completed_at,
            steps: Vec::new(),
            index: HashMap::new(),
        };
        dag.plan(task.subtasks);
        dag
    }

    /// The plan anew: it was not there yet, or the task ended.
    pub fn refresh(&mut self, task: TaskDetail) {
        let lines: HashMap<_, _> =
            self.steps.drain(..).filter_map(|step| Some((step.row.subtask_id, step.last_line?))).collect();
        *self = Self::new(task);
        for step in &mut self.steps {
            step.last_line = lines.get(&step.row.subtask_id).cloned();
        }
    }

    fn plan(&mut self, rows: Vec<SubtaskRow>) {
        let depths = depths(&rows);
        self.steps = rows.into_iter().zip(depths).map(|(row, depth)| Step { row, depth, last_line: None }).collect();
        // Stable: within a depth the plan's own order stays.
        self.steps.sort_by_key(|step| step.depth);
        self.index = self.steps.iter().enumerate().map(|(at, step)| (step.row.subtask_id, at)).collect();
    }

    /// Takes an event; false when it is about a step that is not in the plan, which then must be read again.
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::TaskUpdate(update) => {
                let task = &update.data;
                if task.status == TaskStatus::InProgress && self.started_at.is_none() {
                    self.started_at = Some(update.timestamp);
                }
                self.ended_at = task.status.is_ended().then_some(update.timestamp);
                self.status = task.status;
                self.progress = task.progress;
                self.waiting_for.clone_from(&task.waiting_for);
                // A plan that was just made.
                !(self.steps.is_empty() && task.status == TaskStatus::InProgress)
            }
            Event::SubtaskUpdate(update) => match self.index.get(&update.data.row.subtask_id) {
                Some(&at) => {
                    self.steps[at].row = update.data.row.clone();
                    true
                }
                None => false,
            },
            Event::Log(log) => {
                if let Some(&at) = self.index.get(&log.data.subtask_id) {
                    self.steps[at].last_line = Some(log.data.message.clone());
                }
                true
            }
        }
    }

    /// Says of a step why it waits.
    pub fn waits(&mut self, step: Uuid, why: Option<String>) {
        if let Some(&at) = self.index.get(&step)
            && self.steps[at].row.status == SubtaskStatus::Queued
        {
            self.steps[at].row.waiting_for = why;
        }
    }

    /// The steps that one waits for and that are not completed.
    pub fn missing(&self, step: &Step) -> Vec<&str> {
        let done = |step: &&Step| step.row.status != SubtaskStatus::Completed;
        let by_id = |id| self.index.get(id).map(|&at| &self.steps[at]);
        step.row.dependencies.iter().filter_map(by_id).filter(done).map(|step| step.row.name.as_str()).collect()
    }

    /// How many steps have this status.
    pub fn count(&self, status: SubtaskStatus) -> usize {
        self.steps.iter().filter(|step| step.row.status == status).count()
    }

    /// The workers that are spoken of.
    pub fn workers(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.steps.iter().filter_map(|step| step.row.assigned_worker)
    }
}

/// The longest way to each row from one without dependencies; the plan has no cycles, the server saw to that.
fn depths(rows: &[SubtaskRow]) -> Vec<usize> {
    let index: HashMap<_, _> = rows.iter().enumerate().map(|(at, row)| (row.subtask_id, at)).collect();
    let dependencies: Vec<Vec<usize>> =
        rows.iter().map(|row| row.dependencies.iter().filter_map(|id| index.get(id).copied()).collect()).collect();
    let mut dependents = vec![Vec::new(); rows.len()];
    let mut missing: Vec<usize> = dependencies.iter().map(Vec::len).collect();
    for (at, needs) in dependencies.iter().enumerate() {
        for &need in needs {
            dependents[need].push(at);
        }
    }
    let mut depths = vec![0; rows.len()];
    let mut ready: Vec<usize> = (0..rows.len()).filter(|&at| missing[at] == 0).collect();
    while let Some(at) = ready.pop() {
        for &next in &dependents[at] {
            depths[next] = depths[next].max(depths[at] + 1);
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.push(next);
            }
        }
    }
    depths
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A task whose steps are `(name, status, dependencies)`.
    pub fn task(steps: &[(&str, &str, &[usize])]) -> TaskDetail {
        let id = |at: usize| Uuid::from_u128(at as u128 + 1);
        let at = "2026-11-23T18:00:00.000000Z";
        let subtasks: Vec<_> = steps
            .iter()
            .enumerate()
            .map(|(index, (name, status, needs))| {
                json!({"subtask_id": id(index), "name": name, "status": status, "progress": 0,
                    "dependencies": needs.iter().map(|&need| id(need)).collect::<Vec<_>>(),
                    "attempt": u32::from(*status != "pending"), "complexity": 1, "priority": 0, "simulated": false,
                    "assigned_tool": "command", "assigned_worker": Uuid::from_u128(99), "started_at": at})
            })
            .collect();
        serde_json::from_value(
            json!({"task_id": id(100), "user_id": "local", "description": "Count the words of a book",
            "task_type": "custom", "status": "in_progress", "progress": 33, "priority": "normal",
            "privacy_level": "normal", "checkpoint_frequency": "medium", "task_metadata": {}, "created_at": at,
            "updated_at": at, "started_at": at, "subtasks": subtasks}),
        )
        .unwrap()
    }

    #[test]
    fn steps_come_after_what_they_depend_on() {
        let dag = Dag::new(task(&[
            ("Merge", "pending", &[1, 3]),
            ("Count A", "pending", &[2]),
            ("Split", "completed", &[]),
            ("Count B", "in_progress", &[2]),
        ]));
        let shown: Vec<_> = dag.steps.iter().map(|step| (step.row.name.as_str(), step.depth)).collect();
        assert_eq!(shown, [("Split", 0), ("Count A", 1), ("Count B", 1), ("Merge", 2)]);
        assert_eq!(dag.missing(&dag.steps[3]), ["Count A", "Count B"]);
        assert_eq!(dag.missing(&dag.steps[1]), [""; 0]);
    }

    #[test]
    fn a_long_chain_is_no_deep_recursion() {
        let names: Vec<String> = (0..5000).map(|at| at.to_string()).collect();
        let needs: Vec<Vec<usize>> = (0..5000_usize).map(|at| at.checked_sub(1).into_iter().collect()).collect();
        let steps: Vec<_> = names.iter().zip(&needs).map(|(name, need)| (&name[..], "pending", &need[..])).collect();
        assert_eq!(Dag::new(task(&steps)).steps[4999].depth, 4999);
    }
}
