//! The built-in plans, one for each task type.

use std::sync::LazyLock;

use crate::plan::{Brief, DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT_SECONDS, PlannedStep, Step, resolve};
use crate::routing::Labels;
use crate::words::{Priority, Privacy, TaskType};

/// Name, complexity, priority, names of dependencies.
type Row = (&'static str, u8, i32, &'static [&'static str]);

fn rows(task_type: TaskType) -> &'static [Row] {
    match task_type {
        TaskType::DevelopFeature => &[
            ("Code Generation", 3, 100, &[]),
            ("Code Review", 2, 80, &["Code Generation"]),
            ("Test Generation", 2, 70, &["Code Generation"]),
            ("Documentation", 1, 50, &["Code Review", "Test Generation"]),
        ],
        TaskType::BugFix => &[
            ("Bug Analysis", 2, 100, &[]),
            ("Fix Implementation", 3, 90, &["Bug Analysis"]),
            ("Regression Testing", 2, 80, &["Fix Implementation"]),
        ],
        TaskType::Refactor => &[
            ("Code Analysis", 2, 100, &[]),
            ("Refactoring", 4, 90, &["Code Analysis"]),
            ("Test Verification", 2, 80, &["Refactoring"]),
        ],
        TaskType::CodeReview => &[
            ("Static Analysis", 1, 100, &[]),
            ("Security Review", 2, 90, &[]),
            ("Review Report", 1, 80, &["Static Analysis", "Security Review"]),
        ],
        TaskType::Documentation => &[
            ("API Documentation", 2, 100, &[]),
            ("User Guide", 2, 90, &[]),
            ("README Update", 1, 80, &["API Documentation", "User Guide"]),
        ],
        TaskType::Testing => &[
            ("Test Planning", 2, 100, &[]),
            ("Unit Test Implementation", 2, 90, &["Test Planning"]),
            ("Integration Test Implementation", 3, 80, &["Test Planning"]),
            ("Test Execution Report", 1, 70, &["Unit Test Implementation", "Integration Test Implementation"]),
        ],
        TaskType::Custom => &[("Custom Task", 1, 100, &[])],
    }
}

/// The built-in plan of `task_type` with everything that does not depend on the task. Worked out once: most tasks have
/// one of these, and names need not be looked up for each.
pub(super) fn planned(task_type: TaskType) -> &'static [PlannedStep] {
    static PLANS: LazyLock<Vec<Vec<PlannedStep>>> = LazyLock::new(|| {
        let plan = |&task_type| {
            let requires = &Labels::new();
            let (privacy, priority) = (Privacy::Normal, Priority::Normal);
            let brief = Brief { description: "", task_type, privacy, priority, tool_preferences: &[], requires };
            // The tables above hold no mistakes, which a test sees to.
            resolve(&brief, &steps(task_type)).map(|plan| plan.steps).unwrap_or_default()
        };
        TaskType::ALL.iter().map(plan).collect()
    });
    &PLANS[usize::from(task_type.code())]
}

/// The steps of the built-in plan of `task_type`.
pub(super) fn steps(task_type: TaskType) -> Vec<Step> {
    rows(task_type)
        .iter()
        .map(|&(name, complexity, priority, depends_on)| Step {
            name: name.to_owned(),
            description: None,
            depends_on: depends_on.iter().map(|&name| name.to_owned()).collect(),
            tool: None,
            requires: Labels::new(),
            input: None,
            complexity,
            priority,
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
        })
        .collect()
}
