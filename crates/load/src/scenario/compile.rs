//! From a scenario file to a plan.
//!
//! - [`steps`]: what a class does; [`values`]: the texts in it

mod steps;
mod values;

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::data::Table;
use super::error::{ScenarioError, did_you_mean};
use super::file::{File, Step, Users};
use super::plan::{Action, Behaviour, Class, Limits, Op, Plan, RequestName, Script, Task};
use super::wait::Wait;
use crate::http::target::Target;
use crate::threshold::Threshold;

/// The server that nobody named.
pub const DEFAULT_HOST: &str = "http://localhost:8000";

/// A scenario's text and where it comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name for errors.
    pub name: String,
    /// The text.
    pub text: String,
    /// Where its data files are looked for.
    pub folder: PathBuf,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::of_file(&name, format!("the scenario cannot be read: {error}")))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { name, text, folder })
    }
}

/// What of a scenario is wanted.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// The server, instead of the scenario's.
    pub host: Option<String>,
    /// Only these classes; empty means all.
    pub classes: Vec<String>,
    /// Only tasks with one of these tags; empty means all.
    pub tags: Vec<String>,
    /// No tasks with one of these tags.
    pub exclude_tags: Vec<String>,
    /// All classes have the same weight.
    pub equal_weights: bool,
    /// What `{{ run }}` says.
    pub run: String,
}

/// The words for `--tags` that tasks of a scenario have, sorted; none where it cannot be read.
pub fn tags(source: &Source) -> Vec<String> {
    let file = toml::from_str::<File>(&source.text).ok();
    let users = file.iter().flat_map(|file| &file.users);
    let tasks = users.flat_map(|users| &users.get_ref().tasks);
    let mut tags: Vec<String> = tasks.flat_map(|task| task.get_ref().tags.clone()).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Reads a scenario and makes it ready to run.
///
/// # Errors
/// What is wrong with it, with line and column where there is one.
pub fn load(source: &Source, choices: &Choices) -> Result<Plan, ScenarioError> {
    let file: File =
        toml::from_str(&source.text).map_err(|error| ScenarioError::of_toml(&source.name, &source.text, &error))?;
    let at = |span: &Range<usize>, message: String| ScenarioError::at(&source.name, &source.text, span, message);
    let whole = |message: String| ScenarioError::of_file(&source.name, message);

    let host = choices.host.as_deref().or(file.host.as_deref()).unwrap_or(DEFAULT_HOST);
    let host: Target = host.parse().map_err(|error| whole(format!("{error}")))?;
    let mut data: Vec<Table> = Vec::new();
    for entry in &file.data {
        let name = &entry.get_ref().name;
        if data.iter().any(|table| table.name == *name) {
            return Err(at(&entry.span(), format!("there are two data files called `{name}`")));
        }
        let path = source.folder.join(&entry.get_ref().file);
        let table = Table::read(name, &path, entry.get_ref().order).map_err(|why| at(&entry.span(), why))?;
        data.push(table);
    }
    let mut thresholds = Vec::new();
    for threshold in &file.thresholds {
        thresholds.push(Threshold::parse(threshold.get_ref()).map_err(|why| at(&threshold.span(), why))?);
    }
    let defaults = Limits::default();
    let limits = Limits {
        timeout: file.timeout.map_or(defaults.timeout, |span| span.0),
        max_answer: file.max_answer.unwrap_or(defaults.max_answer),
        redirects: file.redirects.unwrap_or(defaults.redirects),
        ..defaults
    };

    if file.users.is_empty() {
        return Err(whole("the scenario has no users: begin a class with a line [[users]]".to_owned()));
    }
    let known: Vec<&str> = file.users.iter().map(|users| users.get_ref().name.as_str()).collect();
    for wanted in &choices.classes {
        if !known.contains(&wanted.as_str()) {
            return Err(whole(format!("there is no class of users `{wanted}`{}", did_you_mean(wanted, &known))));
        }
    }
    let mut names = Vec::new();
    let mut classes: Vec<Class> = Vec::new();
    for users in &file.users {
        let (span, users) = (users.span(), users.get_ref());
        if known.iter().filter(|name| **name == users.name).count() > 1 {
            return Err(at(&span, format!("there are two classes of users called `{}`", users.name)));
        }
        let builder = Builder { file: &file, host: &host, users, data: &data, choices, names: &mut names };
        let class = builder.class(&span).map_err(|(span, message)| at(&span, message))?;
        let wanted = choices.classes.is_empty() || choices.classes.contains(&users.name);
        if let Some(class) = class.filter(|class| wanted && class.weight > 0.0) {
            classes.push(class);
        }
    }
    if classes.is_empty() {
        return Err(whole("with these tags no class of users has a task left".to_owned()));
    }
    Ok(Plan { host, classes, names, data, thresholds, limits })
}

type Located<T> = Result<T, (Range<usize>, String)>;

/// Makes one class.
struct Builder<'a> {
    file: &'a File,
    host: &'a Target,
    users: &'a Users,
    data: &'a [Table],
    choices: &'a Choices,
    names: &'a mut Vec<RequestName>,
}

impl Builder<'_> {
    /// The class; `None` when the tags leave it no task.
    fn class(mut self, span: &Range<usize>) -> Located<Option<Class>> {
        let users = self.users;
        if users.name.is_empty() || users.name.contains(char::is_whitespace) {
            return Err((span.clone(), format!("`{}` is no name of a class: it must be one word", users.name)));
        }
        let weight = if self.choices.equal_weights { 1.0 } else { users.weight.unwrap_or(1.0) };
        let wait = match &users.wait {
            None => Wait::None,
            Some(wait) => {
                wait.get_ref().check().map_err(|why| (wait.span(), why))?;
                *wait.get_ref()
            }
        };
        check_weight(weight, span)?;
        let mut script = Script::default();
        script.slots.extend(users.vars.keys().cloned());
        for step in users.on_start.iter().chain(&users.tasks).chain(&users.on_stop) {
            collect_slots(step.get_ref(), &mut script.slots);
        }
        for (index, text) in users.vars.values().enumerate() {
            let template = self.text(text, &mut script)?;
            script.vars.push((index, template));
        }
        for (steps, is_start) in [(&users.on_start, true), (&users.on_stop, false)] {
            let mut ops = Vec::new();
            for step in steps {
                let (span, step) = (step.span(), step.get_ref());
                if step.weight.is_some() || !step.tags.is_empty() {
                    return Err((span, "`weight` and `tags` belong to tasks".to_owned()));
                }
                self.step(step, &span, None, &mut script, &mut ops)?;
            }
            if is_start {
                script.on_start = ops;
            } else {
                script.on_stop = ops;
            }
        }
        if users.tasks.is_empty() {
            let message = format!("`{}` has no tasks: begin one with a line [[users.tasks]]", users.name);
            return Err((span.clone(), message));
        }
        for task in &users.tasks {
            let (span, step) = (task.span(), task.get_ref());
            let weight = step.weight.unwrap_or(1.0);
            check_weight(weight, &span)?;
            let mut ops = Vec::new();
            self.step(step, &span, None, &mut script, &mut ops)?;
            if ops.is_empty() {
                return Err((span, "this task does nothing".to_owned()));
            }
            let tagged = |tags: &[String]| step.tags.iter().any(|tag| tags.contains(tag));
            let wanted = self.choices.tags.is_empty() || tagged(&self.choices.tags);
            if wanted && !tagged(&self.choices.exclude_tags) && weight > 0.0 {
                script.tasks.push(Task { name: self.task_name(step, &ops, &script), weight, ops });
            }
        }
        script.data.sort_unstable();
        script.data.dedup();
        if script.tasks.is_empty() {
            return Ok(None);
        }
        Ok(Some(Class { name: users.name.clone(), weight, wait, behaviour: Behaviour::Script(Box::new(script)) }))
    }

    fn task_name(&self, step: &Step, ops: &[Op], script: &Script) -> String {
        let first = ops.iter().find_map(|op| match op.action {
            Action::Request(index) => Some(&self.names[script.requests[index].id]),
            Action::Open(index) => Some(&self.names[script.sockets[index].id]),
            Action::Receive(index) => Some(&self.names[script.receives[index].id]),
            Action::Pause(_) | Action::Send(_) | Action::Close => None,
        });
        step.name.clone().unwrap_or_else(|| first.map_or("pause".into(), |id| format!("{} {}", id.method, id.name)))
    }
}

fn collect_slots(step: &Step, slots: &mut Vec<String>) {
    for name in step.extract.keys() {
        if !slots.contains(name) {
            slots.push(name.clone());
        }
    }
    step.steps.iter().flatten().for_each(|inner| collect_slots(inner.get_ref(), slots));
}

fn check_weight(weight: f64, span: &Range<usize>) -> Located<()> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    Err((span.clone(), format!("{weight} is no weight: it is a number from 0 up")))
}

/// A text as a form field's name or value (WHATWG URL, application/x-www-form-urlencoded).
pub(super) fn form_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(byte as char),
            b' ' => out.push('+'),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}
