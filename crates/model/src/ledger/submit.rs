//! Making tasks and writing their plans down.

use std::sync::Arc;

use super::{Ledger, Remembered, Rows, SubtaskText};
use crate::command::{AddSteps, IDEMPOTENCY_KEPT, PlanTask, Planned, Submit, Submitted};
use crate::id::TaskKey;
use crate::plan::{NewSteps, PlannedStep};
use crate::rank;
use crate::subtask::{State, SubtaskHead, SubtaskRow};
use crate::task::NewPlan;
use crate::words::TaskStatus;

impl<R: Rows> Ledger<'_, R> {
    pub(super) fn submit(&mut self, command: &Submit) -> Result<Submitted, R::Error> {
        if let Some(key) = &command.idempotency {
            if let Some(made) = self.rows.remembered(key)?
                && self.now - made.at < IDEMPOTENCY_KEPT
            {
                return Ok(if made.body == key.body { Submitted::Before(made.tasks) } else { Submitted::OtherBody });
            }
            let tasks = command.tasks.iter().map(|task| task.id).collect();
            self.rows.remember(key, Remembered { body: key.body, tasks, at: self.now })?;
        }
        for task in &command.tasks {
            let key = self.rows.insert_task(task, self.now)?;
            self.effects.task_changed(key);
            if let Some(plan) = &task.plan {
                self.write_plan(key, plan)?;
            }
        }
        Ok(Submitted::Made)
    }

    pub(super) fn plan_task(&mut self, command: &PlanTask) -> Result<Planned, R::Error> {
        let Some(key) = self.rows.find_task(command.task)? else {
            return Ok(Planned::Unknown);
        };
        let task = self.rows.task(key)?;
        match task.status {
            TaskStatus::Pending => {
                self.write_plan(key, &command.plan)?;
                Ok(Planned::Done)
            }
            TaskStatus::Cancelled => Ok(Planned::Cancelled),
            _ => Ok(Planned::Already),
        }
    }

    pub(super) fn add_steps(&mut self, command: &AddSteps) -> Result<Planned, R::Error> {
        let Some(key) = self.rows.find_task(command.task)? else {
            return Ok(Planned::Unknown);
        };
        match self.rows.task(key)?.status {
            TaskStatus::Initializing => {
                let NewSteps { first, steps } = &command.steps;
                if *first > 0 && self.rows.subtask(key.subtask(first - 1))?.is_none() {
                    return Ok(Planned::Already);
                }
                // A chunk may come twice, from whoever began the plan and from whoever found it unfinished: what is
                // there stays.
                let mut next = *first;
                let end = first.saturating_add(steps.len() as u16);
                while next < end && self.rows.subtask(key.subtask(next))?.is_some() {
                    next += 1;
                }
                self.write_steps(key, next, &steps[usize::from(next - first)..])?;
                if command.last && u32::from(end) >= self.rows.task(key)?.total {
                    self.begin(key)?;
                }
                Ok(Planned::Done)
            }
            TaskStatus::Cancelled => Ok(Planned::Cancelled),
            _ => Ok(Planned::Already),
        }
    }

    /// Writes a plan, or its first chunk; a whole plan begins at once.
    fn write_plan(&mut self, key: TaskKey, plan: &NewPlan) -> Result<(), R::Error> {
        let now = self.now;
        let task = self.rows.task_mut(key)?;
        task.total = plan.total;
        task.start_at = None;
        task.started_at = Some(now);
        task.status = TaskStatus::Initializing;
        self.effects.task_changed(key);
        self.write_steps(key, plan.steps.first, &plan.steps.steps)?;
        if plan.steps.steps.len() >= plan.total as usize { self.begin(key) } else { Ok(()) }
    }

    fn write_steps(&mut self, task: TaskKey, first: u16, steps: &[PlannedStep]) -> Result<(), R::Error> {
        let id = self.rows.task(task)?.head.id;
        for (position, step) in (first..).zip(steps) {
            let lane = self.rows.lane(&step.lane)?;
            let head = Arc::new(SubtaskHead {
                key: task.subtask(position),
                id: id.subtask(position),
                name: step.name.clone(),
                dependencies: step.dependencies.clone(),
                dependents: step.dependents.clone(),
                complexity: step.complexity,
                priority: step.priority,
                timeout_seconds: step.timeout_seconds,
                max_attempts: step.max_attempts,
                lane,
                head_start: step.head_start,
            });
            let row = SubtaskRow {
                head,
                state: State::Waiting,
                deps_left: step.dependencies.len() as u32,
                context_bytes: 0,
                rank: 0,
                attempt: 0,
                failures: 0,
                losses: 0,
                epoch: 0,
                holder: None,
                lease_expires_at: None,
                due_at: None,
                missed: 0,
                avoid: None,
                progress: 0,
                queued_at: None,
                started_at: None,
                completed_at: None,
                error: None,
                exit_code: None,
                execution_time: 0.0,
                simulated: false,
            };
            let text = SubtaskText { description: step.description.clone(), input: step.input.clone() };
            self.rows.insert_subtask(row, text)?;
        }
        Ok(())
    }

    /// Lets a task run whose plan is whole: what waits for nothing becomes ready.
    fn begin(&mut self, key: TaskKey) -> Result<(), R::Error> {
        self.rows.task_mut(key)?.status = TaskStatus::InProgress;
        self.effects.task_changed(key);
        self.rows.drop_deferred_steps(key)?;
        for subtask in self.rows.unfinished(key)? {
            let now = self.now;
            let row = self.rows.subtask_mut(subtask)?;
            if row.deps_left > 0 {
                continue;
            }
            // No event of its own: the task's says that it is planned, and its subtasks are read with it.
            row.state = State::Ready;
            row.queued_at = Some(now);
            row.rank = rank::rank(now, row.head.head_start);
            let lane = row.head.lane;
            self.effects.woke(lane);
        }
        Ok(())
    }
}
