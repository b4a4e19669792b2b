//! Taking tasks in and planning them.

use std::sync::Arc;

use regatta_model::command::{AddSteps, Idempotency, PlanTask, Planned, Submit, Submitted};
use regatta_model::plan::{self, Brief, FieldError, Json, NewSteps, Plan, Step};
use regatta_model::routing::Labels;
use regatta_model::task::{NewPlan, NewTask, Start, TaskText};
use regatta_model::{CheckpointFrequency, Priority, Privacy, TaskId, TaskStatus, TaskType};
use regatta_store::TaskDetail;

use crate::{Engine, Error, Result};

/// Steps written in one transaction; longer plans go down in chunks, so that they hold nobody up.
const CHUNK: usize = 500;

/// A task as a caller asks for it, its fields already within their limits.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTaskRequest {
    /// What the caller wants.
    pub description: Arc<str>,
    /// Chooses the built-in plan.
    pub task_type: TaskType,
    /// A JSON object.
    pub requirements: Option<Json>,
    /// How often to stop for a person.
    pub checkpoint_frequency: CheckpointFrequency,
    /// Whether it may leave the house.
    pub privacy: Privacy,
    /// Tools to try first.
    pub tool_preferences: Vec<Arc<str>>,
    /// How soon.
    pub priority: Priority,
    /// Labels that workers must carry.
    pub requires: Labels,
    /// A JSON object.
    pub metadata: Option<Json>,
    /// The caller's own steps.
    pub steps: Option<Vec<Step>>,
    /// When it starts.
    pub start: Start,
}

/// A caller's key for "do this once".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key.
    pub key: Arc<str>,
    /// A hash of the parsed body.
    pub body: u64,
}

impl Engine {
    /// Makes tasks, all or none, and plans those that start now. They are durable when this returns.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::TooLarge`] for a plan that does not fit; [`Error::Conflict`] for a key
    /// that was used with another body.
    pub async fn submit(
        &self,
        user: &str,
        requests: Vec<NewTaskRequest>,
        key: Option<IdempotencyKey>,
    ) -> Result<Vec<TaskId>> {
        let several = requests.len() > 1;
        let user: Arc<str> = user.into();
        let mut tasks = Vec::with_capacity(requests.len());
        let mut rests: Vec<(TaskId, Vec<NewSteps>)> = Vec::new();
        for (place, request) in requests.into_iter().enumerate() {
            let plan = plan_request(&request).map_err(|error| if several { at_place(error, place) } else { error })?;
            let id = TaskId::from_random(self.inner.world.uuid());
            let mut text = text_of(&request);
            let plan = if request.start == Start::Now {
                let (first, rest) = first_chunk(plan);
                if !rest.is_empty() {
                    // Should we die before the last chunk is written, the next start goes on from this.
                    text.deferred_steps = steps_json(request.steps.as_deref());
                    rests.push((id, rest));
                }
                Some(first)
            } else {
                text.deferred_steps = steps_json(request.steps.as_deref());
                None
            };
            tasks.push(NewTask {
                id,
                user: user.clone(),
                task_type: request.task_type,
                priority: request.priority,
                text,
                start: request.start,
                plan,
            });
        }
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let idempotency = key.map(|key| Idempotency { scope: user, key: key.key, body: key.body });
        match self.run_and(Submit { tasks, idempotency }, || self.expect_work()).await? {
            Submitted::Made => {}
            Submitted::Before(ids) => return Ok(ids),
            Submitted::OtherBody => {
                return Err(Error::Conflict(
                    "this Idempotency-Key was used within 24 hours for another body; use a new key for a new request"
                        .into(),
                ));
            }
        }
        for (id, rest) in rests {
            self.write_rest(id, rest).await?;
        }
        Ok(ids)
    }

    /// Plans a task that waits, and starts it; a task that is planned already is left as it is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was cancelled before.
    pub async fn decompose(&self, id: TaskId) -> Result<TaskDetail> {
        let detail = self.task(id).await?;
        match detail.row.status {
            TaskStatus::Pending => {}
            TaskStatus::Initializing => return self.planned(id).await,
            // Also one that had its plan: a second call answers the same plan because the task goes on with it, and
            // this one does not. The plan can still be read, and a retry goes on with it.
            TaskStatus::Cancelled => return Err(cancelled(id)),
            _ => return Ok(detail),
        }
        let (plan, rest) = first_chunk(plan_detail(&detail)?);
        match self.run(PlanTask { task: id, plan }).await? {
            Planned::Done => {
                self.write_rest(id, rest).await?;
                self.task(id).await
            }
            Planned::Already => self.planned(id).await,
            Planned::Cancelled => Err(cancelled(id)),
            Planned::Unknown => Err(Error::not_found("task", id)),
        }
    }

    async fn write_rest(&self, task: TaskId, rest: Vec<NewSteps>) -> Result<()> {
        let chunks = rest.len();
        for (place, steps) in rest.into_iter().enumerate() {
            let last = place + 1 == chunks;
            match self.run(AddSteps { task, steps, last }).await? {
                Planned::Done => {}
                // Someone cancelled or deleted it meanwhile: there is nothing left to write.
                Planned::Already | Planned::Cancelled | Planned::Unknown => break,
            }
        }
        Ok(())
    }

    /// The task once whoever is writing its plan has finished.
    async fn planned(&self, id: TaskId) -> Result<TaskDetail> {
        loop {
            let detail = self.task(id).await?;
            if detail.row.status != TaskStatus::Initializing {
                return Ok(detail);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Finishes a plan whose writing was cut off by the end of a process.
    pub(crate) async fn finish_plan(&self, id: TaskId) -> Result<()> {
        let detail = self.task(id).await?;
        if detail.row.status != TaskStatus::Initializing {
            return Ok(());
        }
        let written = detail.subtasks.len();
        let mut steps = plan_detail(&detail)?.steps;
        let rest = Plan { steps: steps.split_off(written.min(steps.len())) };
        let mut chunks = rest.chunks(CHUNK);
        for chunk in &mut chunks {
            chunk.first += written as u16;
        }
        if chunks.is_empty() {
            chunks.push(NewSteps { first: written as u16, steps: Vec::new() });
        }
        self.write_rest(id, chunks).await
    }
}

fn cancelled(id: TaskId) -> Error {
    Error::Conflict(format!("task {id} was cancelled; retry it first: POST /api/v1/tasks/{id}/retry"))
}

fn plan_request(request: &NewTaskRequest) -> Result<Plan> {
    let brief = Brief {
        description: &request.description,
        task_type: request.task_type,
        privacy: request.privacy,
        priority: request.priority,
        tool_preferences: &request.tool_preferences,
        requires: &request.requires,
    };
    Ok(plan::plan(&brief, request.steps.as_deref())?)
}

/// The plan of a task that was written down without it.
fn plan_detail(detail: &TaskDetail) -> Result<Plan> {
    let broken =
        |error: serde_json::Error| Error::Internal(format!("task {} cannot be read: {error}", detail.row.head.id));
    let text = &detail.text;
    let tool_preferences: Vec<Arc<str>> = serde_json::from_str(&text.tool_preferences).map_err(broken)?;
    let requires: Labels = serde_json::from_str(&text.requires).map_err(broken)?;
    let steps: Option<Vec<Step>> = match &text.deferred_steps {
        Some(steps) => serde_json::from_str(steps).map_err(broken)?,
        None => None,
    };
    let brief = Brief {
        description: &text.description,
        task_type: detail.row.head.task_type,
        privacy: text.privacy,
        priority: detail.row.head.priority,
        tool_preferences: &tool_preferences,
        requires: &requires,
    };
    Ok(plan::plan(&brief, steps.as_deref())?)
}

fn first_chunk(plan: Plan) -> (NewPlan, Vec<NewSteps>) {
    let total = plan.steps.len() as u32;
    let mut chunks = plan.chunks(CHUNK).into_iter();
    let steps = chunks.next().unwrap_or(NewSteps { first: 0, steps: Vec::new() });
    (NewPlan { steps, total }, chunks.collect())
}

fn text_of(request: &NewTaskRequest) -> TaskText {
    TaskText {
        description: request.description.clone(),
        requirements: request.requirements.clone(),
        metadata: request.metadata.clone(),
        checkpoint_frequency: request.checkpoint_frequency,
        privacy: request.privacy,
        tool_preferences: json_text(&request.tool_preferences),
        requires: json_text(&request.requires),
        deferred_steps: None,
    }
}

fn steps_json(steps: Option<&[Step]>) -> Option<Json> {
    steps.map(|steps| json_text(&steps))
}

/// JSON of what cannot fail to be JSON: strings, lists and string-keyed maps.
fn json_text(value: &impl serde::Serialize) -> Json {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into()).into()
}

/// Names the task of a batch that an error is about.
fn at_place(error: Error, place: usize) -> Error {
    match error {
        Error::Invalid(errors) => Error::Invalid(
            errors.into_iter().map(|e| FieldError::new(format!("tasks[{place}].{}", e.field), e.message)).collect(),
        ),
        other => other,
    }
}
