//! Plans: what a task is decomposed into. Steps and their dependencies in, a checked DAG out.
//!
//! Not here: writing a plan down, or running it.

mod builtin;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rank;
use crate::routing::{COMMAND, Labels, Lane};
use crate::time::Span;
use crate::words::{Priority, Privacy, TaskType};

/// JSON text that is passed through unread.
pub type Json = Arc<str>;

/// The most steps a plan may have.
pub const MAX_STEPS: usize = 10_000;
/// Time-out of an attempt where the step names none, in seconds.
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 3_600;
/// Attempts that may fail where the step names no number.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;

/// A step as a caller (or a built-in plan) writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the plan.
    pub name: String,
    /// What to do; where absent, made from the name and the task's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Names of steps that must complete first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// The tool to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Labels the worker must carry, merged over the task's.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub requires: Labels,
    /// A JSON object for the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// 1..=5.
    pub complexity: u8,
    /// Orders steps of like tasks; higher first.
    pub priority: i32,
    /// How long an attempt may run.
    pub timeout_seconds: u32,
    /// Attempts that may fail.
    pub max_attempts: u32,
}

/// What of a task its plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a> {
    /// What the caller wants.
    pub description: &'a str,
    /// Chooses the built-in plan.
    pub task_type: TaskType,
    /// Sensitive work stays on local tools.
    pub privacy: Privacy,
    /// A head start for all steps.
    pub priority: Priority,
    /// Tools to try first for steps that name none.
    pub tool_preferences: &'a [Arc<str>],
    /// Labels that every step requires.
    pub requires: &'a Labels,
}

/// A step that has its place: dependencies as positions, the lane worked out.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// Unique in the plan.
    pub name: Arc<str>,
    /// What to do.
    pub description: Arc<str>,
    /// Positions of the steps it waits for, ascending.
    pub dependencies: Box<[u16]>,
    /// Positions of the steps that wait for it, ascending.
    pub dependents: Box<[u16]>,
    /// Who may run it.
    pub lane: Lane,
    /// For its priority and its task's, see [`crate::rank`].
    pub head_start: Span,
    /// A JSON object for the tool.
    pub input: Option<Json>,
    /// 1..=5.
    pub complexity: u8,
    /// As the caller gave it.
    pub priority: i32,
    /// How long an attempt may run.
    pub timeout_seconds: u32,
    /// Attempts that may fail.
    pub max_attempts: u32,
}

/// A checked plan: at least one step, unique names, no cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the caller's order; a step's place here is its position.
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    /// Cuts it into chunks of at most `size` steps, in order.
    pub fn chunks(self, size: usize) -> Vec<NewSteps> {
        let mut chunks = Vec::with_capacity(self.steps.len() / size.max(1) + 1);
        let mut first = 0_u16;
        let mut steps = self.steps.into_iter().peekable();
        while steps.peek().is_some() {
            let chunk: Vec<PlannedStep> = steps.by_ref().take(size.max(1)).collect();
            let len = chunk.len() as u16;
            chunks.push(NewSteps { first, steps: chunk });
            first += len;
        }
        chunks
    }
}

/// A run of steps of one plan, on its way into a store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSteps {
    /// Position of the first.
    pub first: u16,
    /// In order.
    pub steps: Vec<PlannedStep>,
}

/// Something in a request that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Path of the field, such as `subtasks[3].depends_on`.
    pub field: String,
    /// A sentence that says what is wrong and what would do.
    pub message: String,
}

impl FieldError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// More than [`MAX_STEPS`]; this many were given.
    TooLarge(usize),
    /// Steps that do not fit, each named.
    Invalid(Vec<FieldError>),
}

/// Makes the plan of a task: from the caller's own `steps` when there are any, else the built-in one of
/// its type. Depends on nothing but its arguments, so the same task always gets the same plan.
///
/// # Errors
/// Names the culprits: doubled names, unknown dependencies, cycles, `command` without `input`.
pub fn plan(brief: &Brief<'_>, steps: Option<&[Step]>) -> Result<Plan, PlanError> {
    match steps {
        Some(steps) => resolve(brief, steps),
        None => Ok(Plan { steps: builtin::planned(brief.task_type).iter().map(|step| fitted(brief, step)).collect() }),
    }
}

/// A step of a built-in plan, which was resolved once, for this task.
fn fitted(brief: &Brief<'_>, step: &PlannedStep) -> PlannedStep {
    let description = match brief.task_type {
        TaskType::Custom => brief.description.into(),
        _ => describe(&step.name, brief.description),
    };
    PlannedStep {
        description,
        lane: lane(brief, None, &step.lane.requires),
        head_start: rank::head_start(brief.priority, step.priority),
        ..step.clone()
    }
}

/// What a step without words of its own is to do.
fn describe(name: &str, description: &str) -> Arc<str> {
    [name, ": ", description].concat().into()
}

/// Who may run a step that names this tool and requires these labels.
fn lane(brief: &Brief<'_>, tool: Option<&str>, requires: &Labels) -> Lane {
    let mut all = brief.requires.clone();
    all.extend(requires.iter().map(|(label, value)| (label.clone(), value.clone())));
    Lane {
        tool: tool.map(Into::into),
        prefer: if tool.is_some() { Vec::new() } else { brief.tool_preferences.to_vec() },
        sensitive: brief.privacy == Privacy::Sensitive,
        requires: all,
    }
}

/// At most this many culprits are named; a plan of 10,000 wrong steps is answered with a page, not a book.
const MAX_NAMED: usize = 20;

fn resolve(brief: &Brief<'_>, steps: &[Step]) -> Result<Plan, PlanError> {
    if steps.len() > MAX_STEPS {
        return Err(PlanError::TooLarge(steps.len()));
    }
    let mut errors = Vec::new();
    if steps.is_empty() {
        errors.push(FieldError::new("subtasks", "must name at least one step, or be left out for the built-in plan"));
    }
    let mut position_of: HashMap<&str, u16> = HashMap::with_capacity(steps.len());
    for (position, step) in steps.iter().enumerate() {
        if let Some(first) = position_of.insert(&step.name, position as u16) {
            errors.push(FieldError::new(
                format!("subtasks[{position}].name"),
                format!(
                    "the name {:?} is already used by subtasks[{first}]; names must be unique in a plan",
                    step.name
                ),
            ));
        }
        if step.tool.as_deref() == Some(COMMAND) && step.input.is_none() {
            errors.push(FieldError::new(
                format!("subtasks[{position}].input"),
                format!("step {:?} uses the tool command, which needs an input with argv", step.name),
            ));
        }
    }
    let mut dependencies: Vec<Vec<u16>> = Vec::with_capacity(steps.len());
    for (position, step) in steps.iter().enumerate() {
        let mut found = Vec::with_capacity(step.depends_on.len());
        for name in &step.depends_on {
            match position_of.get(name.as_str()) {
                Some(&dependency) => found.push(dependency),
                None => errors.push(FieldError::new(
                    format!("subtasks[{position}].depends_on"),
                    format!("step {:?} depends on {name:?}, which is no step of this plan", step.name),
                )),
            }
        }
        found.sort_unstable();
        found.dedup();
        dependencies.push(found);
    }
    if !errors.is_empty() {
        errors.truncate(MAX_NAMED);
        return Err(PlanError::Invalid(errors));
    }
    let mut dependents: Vec<Vec<u16>> = vec![Vec::new(); steps.len()];
    for (position, found) in dependencies.iter().enumerate() {
        for &dependency in found {
            dependents[usize::from(dependency)].push(position as u16);
        }
    }
    if let Some(cycle) = find_cycle(&dependencies, &dependents) {
        let names: Vec<&str> = cycle.iter().map(|&position| steps[usize::from(position)].name.as_str()).collect();
        let mut shown = names[..names.len().min(MAX_NAMED)].join(" -> ");
        if names.len() > MAX_NAMED {
            shown.push_str(&format!(" -> ... ({} steps)", names.len()));
        }
        return Err(PlanError::Invalid(vec![FieldError::new(
            "subtasks",
            format!("these steps wait for one another in a cycle: {shown} -> {}", names[0]),
        )]));
    }
    let steps = steps
        .iter()
        .zip(dependencies)
        .zip(dependents)
        .map(|((step, dependencies), dependents)| planned(brief, step, dependencies, dependents))
        .collect();
    Ok(Plan { steps })
}

fn planned(brief: &Brief<'_>, step: &Step, dependencies: Vec<u16>, dependents: Vec<u16>) -> PlannedStep {
    let description = match &step.description {
        Some(description) => description.as_str().into(),
        None => describe(&step.name, brief.description),
    };
    PlannedStep {
        name: step.name.as_str().into(),
        description,
        dependencies: dependencies.into(),
        dependents: dependents.into(),
        lane: lane(brief, step.tool.as_deref(), &step.requires),
        head_start: rank::head_start(brief.priority, step.priority),
        input: step.input.clone(),
        complexity: step.complexity,
        priority: step.priority,
        timeout_seconds: step.timeout_seconds,
        max_attempts: step.max_attempts,
    }
}

/// One cycle, in order, if there is any. Takes away what waits for nothing until nothing more can be taken
/// (Kahn, 1962); from what is left, following dependencies must come back somewhere.
fn find_cycle(dependencies: &[Vec<u16>], dependents: &[Vec<u16>]) -> Option<Vec<u16>> {
    let mut waits: Vec<usize> = dependencies.iter().map(Vec::len).collect();
    let mut free: Vec<usize> = (0..waits.len()).filter(|&position| waits[position] == 0).collect();
    while let Some(position) = free.pop() {
        for &dependent in &dependents[position] {
            let dependent = usize::from(dependent);
            waits[dependent] -= 1;
            if waits[dependent] == 0 {
                free.push(dependent);
            }
        }
    }
    let mut at = waits.iter().position(|&left| left > 0)?;
    let mut seen_at: Vec<Option<usize>> = vec![None; waits.len()];
    let mut path: Vec<u16> = Vec::new();
    loop {
        if let Some(start) = seen_at[at] {
            path.drain(..start);
            path.reverse(); // dependencies were followed upstream; show the order of running
            let first = path.iter().enumerate().min_by_key(|&(_, position)| position).map_or(0, |(place, _)| place);
            path.rotate_left(first);
            return Some(path);
        }
        seen_at[at] = Some(path.len());
        path.push(at as u16);
        at = dependencies[at].iter().map(|&d| usize::from(d)).find(|&d| waits[d] > 0)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(name: &str, depends_on: &[&str]) -> Step {
        Step {
            name: name.into(),
            description: None,
            depends_on: depends_on.iter().map(|&d| d.to_owned()).collect(),
            tool: None,
            requires: Labels::new(),
            input: None,
            complexity: 1,
            priority: 0,
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
        }
    }

    fn brief(requires: &Labels) -> Brief<'_> {
        Brief {
            description: "Count the words",
            task_type: TaskType::Custom,
            privacy: Privacy::Normal,
            priority: Priority::Normal,
            tool_preferences: &[],
            requires,
        }
    }

    fn message(result: Result<Plan, PlanError>) -> String {
        match result {
            Err(PlanError::Invalid(errors)) => errors.into_iter().map(|e| e.message).collect::<Vec<_>>().join("; "),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_built_in_plan_is_what_its_steps_written_out_would_be() {
        let requires = Labels::from([("gpu".into(), "yes".into())]);
        for &task_type in TaskType::ALL {
            let brief = Brief {
                task_type,
                privacy: Privacy::Sensitive,
                priority: Priority::High,
                tool_preferences: &["ollama".into()],
                ..brief(&requires)
            };
            let mut steps = builtin::steps(task_type);
            if task_type == TaskType::Custom {
                steps[0].description = Some(brief.description.to_owned());
            }
            assert_eq!(plan(&brief, None), plan(&brief, Some(&steps)), "{task_type}");
        }
    }

    #[test]
    fn culprits_are_named() {
        let labels = Labels::new();
        let brief = brief(&labels);
        assert!(message(plan(&brief, Some(&[step("a", &[]), step("a", &[])]))).contains("\"a\" is already used"));
        assert!(message(plan(&brief, Some(&[step("a", &["b"])]))).contains("\"b\", which is no step"));
        let cycle = [step("a", &["c"]), step("b", &["a"]), step("c", &["b"]), step("d", &["c"])];
        assert!(message(plan(&brief, Some(&cycle))).contains("a -> b -> c -> a"));
        assert!(message(plan(&brief, Some(&[step("a", &["a"])]))).contains("a -> a"));
        let command = Step { tool: Some("command".into()), ..step("run", &[]) };
        assert!(message(plan(&brief, Some(&[command]))).contains("needs an input"));
        assert!(message(plan(&brief, Some(&[]))).contains("at least one step"));
        let many: Vec<Step> = (0..=MAX_STEPS).map(|n| step(&n.to_string(), &[])).collect();
        assert_eq!(plan(&brief, Some(&many)), Err(PlanError::TooLarge(MAX_STEPS + 1)));
        assert_eq!(plan(&brief, Some(&many[..MAX_STEPS])).unwrap().steps.len(), MAX_STEPS);
    }

    #[test]
    fn a_steps_labels_go_over_the_tasks() {
        let labels: Labels = [("os".into(), "linux".into()), ("zone".into(), "a".into())].into();
        let own = Step { requires: [("zone".into(), "b".into())].into(), ..step("a", &[]) };
        let plan = plan(&brief(&labels), Some(&[own])).unwrap();
        let expected: Labels = [("os".into(), "linux".into()), ("zone".into(), "b".into())].into();
        assert_eq!(plan.steps[0].lane.requires, expected);
    }

    proptest! {
        /// Whatever the arrows, a plan is refused exactly when depth-first search finds a way back.
        #[test]
        fn cycles_are_found_exactly(arrows in proptest::collection::vec((0u16..12, 0u16..12), 0..30)) {
            let steps: Vec<Step> = (0..12u16).map(|n| {
                let depends: Vec<String> = arrows.iter().filter(|(to, _)| *to == n).map(|(_, from)| from.to_string()).collect();
                Step { depends_on: depends, ..step(&n.to_string(), &[]) }
            }).collect();
            let mut reach = [[false; 12]; 12];
            for &(to, from) in &arrows { reach[usize::from(to)][usize::from(from)] = true; }
            for k in 0..12 { for i in 0..12 { for j in 0..12 {
                reach[i][j] |= reach[i][k] && reach[k][j];
            } } }
            let cyclic = (0..12).any(|n| reach[n][n]);
            let labels = Labels::new();
            prop_assert_eq!(plan(&brief(&labels), Some(&steps)).is_err(), cyclic);
        }
    }
}
