//! Plan files: a task and its steps in TOML, for `regatta task submit --plan FILE`.
//!
//! The keys are those of the body of `POST /tasks` and of its steps, see [`CreateTask`]; `task_type` is `custom`
//! unless the file says otherwise. A key that nobody knows is an error, because a misspelt `depends_on` would
//! silently change the plan. What only the server can judge (cycles, limits) is left to it, and its answer is told at the
//! place in the file that it is about, see [`PlanFile::explain`].
//!
//! `[vars]` names texts that stand in for `${name}` in every string of the file; `--var name=text` replaces them.
//! Two are there unasked: `${here}`, the folder in which the command was typed, and `${plan_dir}`, that of the
//! file. What is not a name between braces is left alone, so shell's `${x%y}` needs no care; `$${x}` is `${x}`.

mod closest;
mod error;
mod explain;
mod vars;

use std::path::Path;

use regatta_api::task::CreateTask;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use self::closest::did_you_mean;
pub use self::error::PlanFileError;
use self::vars::Vars;

/// What a file may say of the task; the fields of [`CreateTask`].
const TASK_KEYS: [&str; 12] = [
    "description",
    "task_type",
    "requirements",
    "checkpoint_frequency",
    "privacy_level",
    "tool_preferences",
    "priority",
    "requires",
    "subtasks",
    "start",
    "start_at",
    "metadata",
];
/// What it may say of a step; the fields of [`regatta_api::task::Step`].
const STEP_KEYS: [&str; 10] = [
    "name",
    "description",
    "depends_on",
    "tool",
    "requires",
    "input",
    "complexity",
    "priority",
    "timeout_seconds",
    "max_attempts",
];
const VARS: &str = "vars";

/// A plan file that was read.
#[derive(Debug)]
pub struct PlanFile {
    /// The request that it makes.
    pub task: CreateTask,
    /// Its name, for errors.
    file: String,
    /// Its text.
    text: String,
}

/// Reads a plan file; `overrides` are the `--var name=text` of the command line, later ones win.
///
/// # Errors
/// When the file cannot be read, is no TOML, has a key or a variable that nobody knows, or a value that does not
/// fit; with line and column where there is one.
pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<PlanFile, PlanFileError> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| PlanFileError::of_file(&name, format!("the plan cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let (good, bad) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let text = String::from_utf8_lossy(good) + String::from_utf8_lossy(bad);
        let place = good.len()..good.len() + 1;
        PlanFileError::at(&name, &text, place, "a plan is UTF-8, and this is not: save the file as UTF-8".to_owned())
    })?;
    let mut vars = Vars::default();
    let here = std::env::current_dir().ok();
    if let Some(here) = here.as_deref().and_then(Path::to_str) {
        vars.built_in("here", here);
    }
    if let Some(dir) = std::path::absolute(path).ok().as_deref().and_then(Path::parent).and_then(Path::to_str) {
        vars.built_in("plan_dir", dir);
    }
    let task = parse(&name, &text, vars, overrides)?;
    Ok(PlanFile { task, file: name, text })
}

fn parse(file: &str, text: &str, mut vars: Vars, overrides: &[(String, String)]) -> Result<CreateTask, PlanFileError> {
    let at = |span, message: String| PlanFileError::at(file, text, span, message);
    let toml_error = |error: toml::de::Error| match error.span() {
        Some(span) => at(span, in_toml(error.message())),
        None => PlanFileError::of_file(file, in_toml(error.message())),
    };

    let mut table = DeTable::parse(text).map_err(toml_error)?;
    check_keys(table.get_ref(), &at)?;
    if let Some(defined) = table.get_mut().remove(VARS) {
        vars.define(&defined).map_err(|(span, message)| at(span, message))?;
    }
    vars.override_with(overrides).map_err(|message| PlanFileError::of_file(file, message))?;
    for (_, value) in table.get_mut().iter_mut() {
        vars.expand(value, text).map_err(|(span, message)| at(span, message))?;
    }
    if !table.get_ref().contains_key("description") {
        return Err(PlanFileError::of_file(file, "the plan has no `description`: say in it what is to be done"));
    }
    table
        .get_mut()
        .entry(Spanned::new(0..0, "task_type".into()))
        .or_insert_with(|| Spanned::new(0..0, DeValue::String("custom".into())));
    CreateTask::deserialize(Deserializer::from(table)).map_err(toml_error)
}

/// A message about types in the words of TOML instead of those of Rust.
fn in_toml(message: &str) -> String {
    let words = [
        ("expected u32", "expected a whole number that is not negative"),
        ("expected i32", "expected a whole number"),
        ("expected a sequence", "expected a list such as [\"a\", \"b\"]"),
        ("expected a map", "expected a table such as { a = \"b\" }"),
        ("expected a boolean", "expected true or false"),
        ("invalid type: sequence", "invalid type: a list"),
        ("invalid type: map", "invalid type: a table"),
    ];
    words.iter().fold(message.to_owned(), |text, (rust, toml)| text.replace(rust, toml))
}

/// Every key of the task and of its steps must be known.
fn check_keys(
    table: &DeTable<'_>,
    at: &impl Fn(std::ops::Range<usize>, String) -> PlanFileError,
) -> Result<(), PlanFileError> {
    let known = |key: &str| TASK_KEYS.contains(&key) || key == VARS;
    if let Some((key, _)) = table.iter().find(|(key, _)| !known(key.get_ref())) {
        let hint = if STEP_KEYS.contains(&key.get_ref().as_ref()) {
            "; it belongs to a step, below a line [[subtasks]]".to_owned()
        } else {
            did_you_mean(key.get_ref(), TASK_KEYS.into_iter().chain([VARS]))
        };
        return Err(at(key.span(), format!("a plan has no key `{}`{hint}", key.get_ref())));
    }
    let Some(subtasks) = table.get("subtasks") else { return Ok(()) };
    let DeValue::Array(steps) = subtasks.get_ref() else {
        return Err(at(subtasks.span(), "`subtasks` must be a list: start each step with a line [[subtasks]]".into()));
    };
    for step in steps.iter() {
        let DeValue::Table(step) = step.get_ref() else {
            return Err(at(step.span(), "a step must be a table: start it with a line [[subtasks]]".into()));
        };
        if let Some((key, _)) = step.iter().find(|(key, _)| !STEP_KEYS.contains(&key.get_ref().as_ref())) {
            let hint = if TASK_KEYS.contains(&key.get_ref().as_ref()) {
                "; it belongs to the task, above the first [[subtasks]]".to_owned()
            } else {
                did_you_mean(key.get_ref(), STEP_KEYS)
            };
            return Err(at(key.span(), format!("a step has no key `{}`{hint}", key.get_ref())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
