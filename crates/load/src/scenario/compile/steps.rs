//! Steps of a scenario: requests, pauses, what goes over WebSockets, and lists of these.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::super::extract::Extract;
use super::super::file::{Step, Text};
use super::super::plan::{Action, Message, Op, Open, Receive, Request, RequestName, Script, Send};
use super::super::template::{Escape, Template};
use super::super::wait::Wait;
use super::values::unknown_variable;
use super::{Builder, Located, form_encoded};
use crate::http::request::{self, Method};

/// Loops are unrolled up to so many steps in one task.
const MOST_STEPS: usize = 10_000;

/// What stands in place of a path in a step.
const METHODS: &str = "`get`, `post`, `put`, `patch`, `delete`, `head` or `options`";

impl Builder<'_> {
    /// Adds a step's operations to `ops`.
    pub(super) fn step(
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
        let is_json = |from: &Extract| matches!(from, Extract::Json(..));
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
            let header = step.extract.values().any(|from| matches!(from, Extract::Header(_)));
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
}

fn check_path(path: &Text) -> Located<()> {
    if path.source.starts_with('/') || path.source.starts_with("{{") {
        return Ok(());
    }
    let message = format!("the path `{}` must begin with /; the server is named by `host`", path.source);
    Err((path.span.clone(), message))
}

/// What a step extracts, into which variables.
fn extracted(step: &Step, script: &Script) -> Vec<(usize, Extract)> {
    // Every name was collected before.
    let slot = |name: &String| script.slots.iter().position(|slot| slot == name).unwrap_or_default();
    step.extract.iter().map(|(name, from)| (slot(name), from.clone())).collect()
}
