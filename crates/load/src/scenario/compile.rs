//! From a scenario file to a plan.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::data::Table;
use super::error::{ScenarioError, did_you_mean};
use super::file::{File, Step, Text, Users};
use super::plan::{
    Action, Behaviour, Class, Limits, Message, Op, Open, Plan, Receive, Request, RequestName, Script, Send, Task,
};
use super::template::{Escape, Expression, Hole, Template, Word, json_escaped};
use super::wait::Wait;
use crate::http::request::{self, Method};
use crate::http::target::Target;
use crate::threshold::Threshold;

/// The server that nobody named.
pub const DEFAULT_HOST: &str = "http://localhost:8000";

/// Loops are unrolled up to so many steps in one task.
const MOST_STEPS: usize = 10_000;

/// What stands in place of a path in a step.
const METHODS: &str = "`get`, `post`, `put`, `patch`, `delete`, `head` or `options`";

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

    /// Adds a step's operations to `ops`.
    fn step(
        &mut self,
        step: &Step,
        span: &Range<usize>,
        when: Option<usize>,
        script: &mut Script,
        ops: &mut Vec<Op>,
    ) -> Located<()> {
        let wrong = |message: &str| Err((span.clone(), message.to_owned()));
        let slot = |name: &toml::Spanned<String>, script: &Script| {
            let found = script.slots.iter().position(|slot| slot == name.get_ref());
            found.ok_or_else(|| (name.span(), unknown_variable(name.get_ref(), &script.slots)))
        };
        let when = step.when.as_ref().map(|name| slot(name, script)).transpose()?.or(when);
        let unset = step.unset.as_ref().map(|name| slot(name, script)).transpose()?;
        let paths = [
            (Method::Get, &step.get),
            (Method::Post, &step.post),
            (Method::Put, &step.put),
            (Method::Patch, &step.patch),
            (Method::Delete, &step.delete),
            (Method::Head, &step.head),
            (Method::Options, &step.options),
        ];
        let mut paths = paths.into_iter().filter_map(|(method, path)| Some((method, path.as_ref()?)));
        let (path, second) = (paths.next(), paths.next());
        let kinds = [
            path.is_some(),
            second.is_some(),
            step.steps.is_some(),
            step.wait.is_some(),
            step.ws.is_some(),
            step.send.is_some(),
            step.receive.is_some(),
            step.close.is_some(),
        ];
        if kinds.into_iter().filter(|kind| *kind).count() > 1 {
            return wrong(
                "a step is one request, one `wait`, one of `ws`, `send`, `receive` and `close`, or a list of `steps`: this \
                 one is several",
            );
        }
        if step.repeat.is_some() && step.steps.is_none() {
            return wrong("`repeat` belongs beside `steps`");
        }
        if let Some((method, path)) = path {
            let request = self.request(step, span, method, path, script)?;
            script.requests.push(request);
            ops.push(Op { when, unset, action: Action::Request(script.requests.len() - 1) });
            return Ok(());
        }
        if let Some(action) = self.socket(step, span, script)? {
            ops.push(Op { when, unset, action });
            return Ok(());
        }
        let only_requests = step.json.is_some()
            || step.body.is_some()
            || !step.form.is_empty()
            || step.expect.is_some()
            || !step.extract.is_empty()
            || !step.headers.is_empty();
        if only_requests {
            return Err((span.clone(), format!("this step has no path: name one with {METHODS}")));
        }
        if let Some(wait) = &step.wait {
            wait.get_ref().check().map_err(|why| (wait.span(), why))?;
            if matches!(wait.get_ref(), Wait::Pacing(_) | Wait::Throughput(_)) {
                return Err((wait.span(), "a pause between steps is `constant` or `between`".to_owned()));
            }
            ops.push(Op { when, unset, action: Action::Pause(*wait.get_ref()) });
            return Ok(());
        }
        let Some(steps) = &step.steps else {
            let message = format!(
                "this step does nothing: give it {METHODS}, `wait`, `ws`, `send`, `receive`, `close` or `steps`"
            );
            return Err((span.clone(), message));
        };
        let mut once = Vec::new();
        for inner in steps {
            let (span, inner) = (inner.span(), inner.get_ref());
            if inner.weight.is_some() || !inner.tags.is_empty() {
                return Err((span, "`weight` and `tags` belong to tasks, not to the steps of one".to_owned()));
            }
            self.step(inner, &span, when, script, &mut once)?;
        }
        for _ in 0..step.repeat.unwrap_or(1) {
            if ops.len() + once.len() > MOST_STEPS {
                return Err((span.clone(), format!("repeated it has more than {MOST_STEPS} steps")));
            }
            ops.extend_from_slice(&once);
        }
        if let (Some(unset), Some(last)) = (unset, ops.last_mut()) {
            last.unset = last.unset.or(Some(unset));
        }
        Ok(())
    }

    fn request(
        &mut self,
        step: &Step,
        span: &Range<usize>,
        method: Method,
        path: &Text,
        script: &mut Script,
    ) -> Located<Request> {
        check_path(path)?;
        let bodies =
            usize::from(step.json.is_some()) + usize::from(step.body.is_some()) + usize::from(!step.form.is_empty());
        if bodies > 1 {
            return Err((span.clone(), "a request has one of `json`, `body` and `form`".to_owned()));
        }
        let target = self.text(path, script)?;
        let headers = self.headers(step, script)?;
        let body = if let Some(json) = &step.json {
            Some(("application/json", self.json(json.get_ref(), &json.span(), script)?))
        } else if let Some(body) = &step.body {
            Some(("text/plain; charset=utf-8", self.text(body, script)?))
        } else if step.form.is_empty() {
            None
        } else {
            let mut all = Template::default();
            for (index, (name, text)) in step.form.iter().enumerate() {
                all.push_text(&format!("{}{}=", if index > 0 { "&" } else { "" }, form_encoded(name)));
                all.append(self.text(text, script)?, Escape::Form, form_encoded);
            }
            Some(("application/x-www-form-urlencoded", all))
        };
        let name = RequestName {
            name: step.name.clone().unwrap_or_else(|| path.source.clone()).into(),
            method: method.as_str(),
        };
        let id = self.id(name);
        let extract = extracted(step, script);
        let expect = step.expect.clone().unwrap_or_default();
        let is_json = |from: &super::extract::Extract| matches!(from, super::extract::Extract::Json(..));
        Ok(Request {
            id,
            method,
            message: self.message(method, target, headers, body),
            needs_body: expect.needs_body() || extract.iter().any(|(_, from)| is_json(from)),
            needs_head: !expect.headers.is_empty() || extract.iter().any(|(_, from)| !is_json(from)),
            expect,
            extract,
            record: step.record.unwrap_or(true),
            timeout: step.timeout.map(|span| span.0),
        })
    }

    /// What a step does with a WebSocket, if that is what it is about.
    fn socket(&mut self, step: &Step, span: &Range<usize>, script: &mut Script) -> Located<Option<Action>> {
        let stray = |wrong: bool, what: &str| match wrong {
            true => Err((span.clone(), what.to_owned())),
            false => Ok(()),
        };
        if step.ws.is_none() && step.send.is_none() && step.receive.is_none() && step.close.is_none() {
            return Ok(None);
        }
        let body = step.json.is_some() || step.body.is_some() || !step.form.is_empty() || step.expect.is_some();
        stray(
            body,
            "`json`, `body`, `form` and `expect` belong to requests; over a WebSocket it is `send` and `receive`",
        )?;
        stray(step.ws.is_none() && !step.headers.is_empty(), "`headers` belong to `ws`, which opens the WebSocket")?;
        stray(step.receive.is_none() && !step.extract.is_empty(), "`extract` belongs to `receive`")?;
        let name = |default: &str, method| RequestName {
            name: step.name.clone().unwrap_or_else(|| default.to_owned()).into(),
            method,
        };
        let (record, timeout) = (step.record.unwrap_or(true), step.timeout.map(|span| span.0));
        if let Some(path) = &step.ws {
            check_path(path)?;
            let id = self.id(name(&path.source, "WS"));
            let (path, headers) = (self.text(path, script)?, self.headers(step, script)?);
            script.sockets.push(Open { id, path, headers, record, timeout });
            return Ok(Some(Action::Open(script.sockets.len() - 1)));
        }
        if let Some(send) = &step.send {
            let id = self.id(name("send", "WSS"));
            let text = match send.get_ref() {
                Value::String(text) => {
                    let parsed = Template::parse(text).map_err(|(_, message)| (send.span(), message))?;
                    self.resolve(&parsed, &send.span(), script)?
                }
                json => self.json(json, &send.span(), script)?,
            };
            script.sends.push(Send { id, text });
            return Ok(Some(Action::Send(script.sends.len() - 1)));
        }
        if let Some(receive) = &step.receive {
            stray(
                record && step.name.is_none(),
                "what is received needs a `name` for the reports, or `record = false`",
            )?;
            let header = step.extract.values().any(|from| matches!(from, super::extract::Extract::Header(_)));
            stray(header, "a message over a WebSocket has no headers to extract")?;
            let id = self.id(name("receive", "WSR"));
            let (expect, extract) = (receive.get_ref().0.clone(), extracted(step, script));
            script.receives.push(Receive { id, expect, extract, record, timeout });
            return Ok(Some(Action::Receive(script.receives.len() - 1)));
        }
        match &step.close {
            Some(close) if *close.get_ref() => Ok(Some(Action::Close)),
            Some(close) => Err((close.span(), "`close` is `true`, or left out".to_owned())),
            None => Ok(None),
        }
    }

    /// The id of a request that the reports know so.
    fn id(&mut self, name: RequestName) -> usize {
        self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        })
    }

    fn headers(&self, step: &Step, script: &mut Script) -> Located<Vec<(String, Template)>> {
        let mut headers: BTreeMap<String, (String, Template)> = BTreeMap::new();
        // The narrower wins: the file's, the class's, the step's.
        for (name, text) in self.file.headers.iter().chain(&self.users.headers).chain(&step.headers) {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
                return Err((text.span.clone(), format!("`{name}` is no name of a header")));
            }
            if name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding") {
                return Err((text.span.clone(), format!("`{name}` is worked out from the body: leave it out")));
            }
            headers.insert(name.to_ascii_lowercase(), (name.clone(), self.text(text, script)?));
        }
        Ok(headers.into_values().collect())
    }

    /// Bytes when nothing changes, else what to make them from.
    fn message(
        &self,
        method: Method,
        path: Template,
        headers: Vec<(String, Template)>,
        body: Option<(&'static str, Template)>,
    ) -> Message {
        let fixed = || {
            let path = path.constant()?;
            let headers: Option<Vec<(String, String)>> =
                headers.iter().map(|(name, value)| Some((name.clone(), value.constant()?))).collect();
            let body = match &body {
                None => None,
                Some((kind, body)) => Some((*kind, body.constant()?)),
            };
            let mut bytes = Vec::new();
            let parts = request::Parts {
                method,
                path: &path,
                headers: &headers?,
                body: body.as_ref().map(|(kind, body)| (*kind, body.as_bytes())),
            };
            request::write(self.host, &parts, &mut bytes);
            Some(Message::Fixed(bytes.into()))
        };
        fixed().unwrap_or(Message::Made { path, headers, body })
    }

    fn text(&self, text: &Text, script: &mut Script) -> Located<Template> {
        self.resolve(&text.template, &text.span, script)
    }

    /// A body of JSON, in which every text may be a template.
    fn json(&self, value: &Value, span: &Range<usize>, script: &mut Script) -> Located<Template> {
        let mut all = Template::default();
        self.json_into(value, span, script, &mut all)?;
        Ok(all)
    }

    fn json_into(&self, value: &Value, span: &Range<usize>, script: &mut Script, all: &mut Template) -> Located<()> {
        match value {
            Value::String(text) => {
                let parsed = Template::parse(text).map_err(|(_, message)| (span.clone(), message))?;
                let bare = parsed.only_hole().is_some_and(|hole| hole.json);
                let template = self.resolve(&parsed, span, script)?;
                if bare {
                    all.append(template, Escape::Plain, str::to_owned);
                } else {
                    all.push_text("\"");
                    all.append(template, Escape::JsonString, json_escaped);
                    all.push_text("\"");
                }
            }
            Value::Array(list) => {
                all.push_text("[");
                for (index, item) in list.iter().enumerate() {
                    all.push_text(if index > 0 { "," } else { "" });
                    self.json_into(item, span, script, all)?;
                }
                all.push_text("]");
            }
            Value::Object(map) => {
                all.push_text("{");
                for (index, (key, item)) in map.iter().enumerate() {
                    all.push_text(&format!("{}{}:", if index > 0 { "," } else { "" }, Value::from(key.as_str())));
                    self.json_into(item, span, script, all)?;
                }
                all.push_text("}");
            }
            other => all.push_text(&other.to_string()),
        }
        Ok(())
    }

    /// What the names between the braces mean.
    fn resolve(&self, template: &Template<Expression>, span: &Range<usize>, script: &mut Script) -> Located<Template> {
        template.resolve(|expression| {
            let wrong = |message: String| Err((span.clone(), message));
            let hole = match &expression.word {
                Word::Random(from, to) => Hole::Random(*from, *to),
                Word::Name(space, Some(name)) if space == "env" => {
                    return match std::env::var(name) {
                        Ok(value) => Ok(Err(value.into())),
                        Err(_) => wrong(format!("the environment has no variable {name}")),
                    };
                }
                Word::Name(space, Some(name)) => {
                    let Some(table) = self.data.iter().position(|table| table.name == *space) else {
                        return wrong(format!("there is no data file called `{space}`: name it in a [[data]]"));
                    };
                    let columns = &self.data[table].columns;
                    let Some(column) = columns.iter().position(|column| column == name) else {
                        let known: Vec<&str> = columns.iter().map(String::as_str).collect();
                        return wrong(format!("`{space}` has no column `{name}`{}", did_you_mean(name, &known)));
                    };
                    script.data.push(table);
                    Hole::Data(table, column)
                }
                Word::Name(name, None) => match script.slots.iter().position(|slot| slot == name) {
                    Some(slot) => Hole::Slot(slot),
                    None => match name.as_str() {
                        "uuid" => Hole::Uuid,
                        "user" => Hole::User,
                        "iteration" => Hole::Iteration,
                        "now" => Hole::Now,
                        "run" => return Ok(Err(self.choices.run.as_str().into())),
                        _ => return wrong(unknown_variable(name, &script.slots)),
                    },
                },
            };
            Ok(Ok(hole))
        })
    }
}

fn unknown_variable(name: &str, slots: &[String]) -> String {
    let known: Vec<&str> =
        slots.iter().map(String::as_str).chain(["uuid", "user", "iteration", "run", "now", "random(1, 9)"]).collect();
    format!("nothing sets a variable `{name}`{}", did_you_mean(name, &known))
}

fn collect_slots(step: &Step, slots: &mut Vec<String>) {
    for name in step.extract.keys() {
        if !slots.contains(name) {
            slots.push(name.clone());
        }
    }
    step.steps.iter().flatten().for_each(|inner| collect_slots(inner.get_ref(), slots));
}

fn check_path(path: &Text) -> Located<()> {
    if path.source.starts_with('/') || path.source.starts_with("{{") {
        return Ok(());
    }
    let message = format!("the path `{}` must begin with /; the server is named by `host`", path.source);
    Err((path.span.clone(), message))
}

/// What a step extracts, into which variables.
fn extracted(step: &Step, script: &Script) -> Vec<(usize, super::extract::Extract)> {
    // Every name was collected before.
    let slot = |name: &String| script.slots.iter().position(|slot| slot == name).unwrap_or_default();
    step.extract.iter().map(|(name, from)| (slot(name), from.clone())).collect()
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
