//! A user from a scenario: its variables, and the steps of its tasks.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;
use serde_json::Value;

use super::client::{Call, Client};
use super::shard::Shard;
use crate::http::exchange::Want;
use crate::http::request::{self, Method, Parts};
use crate::scenario::data::Table;
use crate::scenario::extract::{Extract, as_text};
use crate::scenario::plan::{Action, Behaviour, Message, Op, Open, Receive, Request, Script, Send};
use crate::scenario::template::{Template, Values};
use crate::ws;

/// Which steps of its class.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    OnStart,
    Task,
    OnStop,
}

/// A user from a scenario.
#[derive(Debug)]
pub(super) struct ScriptUser {
    shard: Rc<Shard>,
    class: usize,
    slots: Vec<Option<String>>,
    /// Row of each data file, for this task.
    rows: Vec<usize>,
    /// Where requests that change are written; kept, so that it is allocated once.
    message: Vec<u8>,
}

/// What templates are filled from.
struct Filling<'a> {
    slots: &'a [Option<String>],
    rows: &'a [usize],
    data: &'a [Table],
    about: (u64, u64),
}

impl Values for Filling<'_> {
    fn slot(&self, slot: usize) -> Option<&str> {
        self.slots.get(slot)?.as_deref()
    }

    fn data(&self, table: usize, column: usize) -> &str {
        self.data[table].cell(self.rows[table], column)
    }

    fn about(&self) -> (u64, u64) {
        self.about
    }
}

impl ScriptUser {
    pub fn new(shard: Rc<Shard>, class: usize) -> Self {
        let rows = vec![0; shard.plan.data.len()];
        // Who is stopped before its first step cleans up all the same, and looks whether there is something to clean up.
        let slots = match &shard.plan.classes[class].behaviour {
            Behaviour::Script(script) => vec![None; script.slots.len()],
            Behaviour::Rust(_) => Vec::new(),
        };
        Self { shard, class, slots, rows, message: Vec::new() }
    }

    /// Does a part of what its class does.
    pub async fn run(&mut self, client: &mut Client, part: Part) {
        let shard = Rc::clone(&self.shard);
        let class = &shard.plan.classes[self.class];
        let Behaviour::Script(script) = &class.behaviour else { return };
        if !matches!(part, Part::OnStop) {
            for &table in &script.data {
                self.rows[table] = shard.plan.data[table].next();
            }
        }
        let (ops, place) = match part {
            Part::OnStart => {
                for (slot, template) in &script.vars {
                    match self.render(template, client) {
                        Ok(text) => self.slots[*slot] = Some(text),
                        Err(missing) => self.unset_variable(script, missing, &class.name, "vars"),
                    }
                }
                (script.on_start.as_slice(), "on_start")
            }
            Part::Task => {
                let task = pick(script);
                (script.tasks[task].ops.as_slice(), script.tasks[task].name.as_str())
            }
            Part::OnStop => (script.on_stop.as_slice(), "on_stop"),
        };
        for op in ops {
            // Cleaning up goes on whatever fails; a task ends at its first failure, for the rest builds on it.
            if !self.step(client, script, op, &class.name, place).await && !matches!(part, Part::OnStop) {
                break;
            }
        }
    }

    async fn step(&mut self, client: &mut Client, script: &Script, op: &Op, class: &str, place: &str) -> bool {
        if op.when.is_some_and(|slot| self.slots[slot].is_none()) {
            return true;
        }
        let ok = match op.action {
            Action::Pause(wait) => {
                client.attend(pin!(tokio::time::sleep(wait.after(Duration::ZERO)))).await;
                true
            }
            Action::Close => {
                // What only some users do lies in boxes: the others need no room for it.
                Box::pin(client.close(self.shard.plan.limits.timeout)).await;
                true
            }
            Action::Receive(index) => Box::pin(self.receive(client, &script.receives[index])).await,
            Action::Open(index) => match Box::pin(self.open(client, &script.sockets[index])).await {
                Ok(ok) => ok,
                Err(missing) => {
                    self.unset_variable(script, missing, class, place);
                    false
                }
            },
            Action::Send(index) => match Box::pin(self.send(client, &script.sends[index])).await {
                Ok(ok) => ok,
                Err(missing) => {
                    self.unset_variable(script, missing, class, place);
                    false
                }
            },
            Action::Request(index) => match self.request(client, &script.requests[index]).await {
                Ok(ok) => ok,
                Err(missing) => {
                    self.unset_variable(script, missing, class, place);
                    false
                }
            },
        };
        if let Some(slot) = op.unset {
            self.slots[slot] = None;
        }
        ok
    }

    /// Sends it; whether it was a success.
    ///
    /// # Errors
    /// The variable that nothing set.
    async fn request(&mut self, client: &mut Client, request: &Request) -> Result<bool, usize> {
        let shard = Rc::clone(&self.shard);
        let bytes: &[u8] = match &request.message {
            Message::Fixed(bytes) => bytes,
            Message::Made { path, headers, body } => {
                self.make(client, request, path, headers, body.as_ref())?;
                &self.message
            }
        };
        let limits = shard.plan.limits;
        let want = Want {
            method: request.method,
            head: request.needs_head,
            body: request.needs_body,
            most: limits.max_answer,
        };
        let timeout = request.timeout.unwrap_or(limits.timeout);
        let call = Call { id: request.id, want, timeout, record: request.record };
        let slots = &mut self.slots;
        let outcome = client.call(bytes, call, |answer| {
            let json: Option<Value> = if request.needs_body { serde_json::from_slice(&answer.body).ok() } else { None };
            request.expect.check(answer.head.status, &answer.raw_head, &answer.body, json.as_ref())?;
            for (slot, from) in &request.extract {
                let found = match from {
                    Extract::Json(path, _) => json.as_ref().and_then(|json| path.query(json).first()).map(as_text),
                    Extract::Header(name) => crate::http::head::header(&answer.raw_head, name),
                };
                slots[*slot] = Some(found.ok_or_else(|| format!("there is no {from} to extract"))?);
            }
            Ok(())
        });
        Ok(outcome.await.is_ok())
    }

    /// Opens a WebSocket; whether it is open.
    ///
    /// # Errors
    /// The variable that nothing set.
    async fn open(&self, client: &mut Client, open: &Open) -> Result<bool, usize> {
        let path = self.render(&open.path, client)?;
        let mut headers = Vec::with_capacity(open.headers.len());
        for (name, value) in &open.headers {
            headers.push((name.clone(), self.render(value, client)?));
        }
        let call = self.call(open.id, open.timeout, open.record);
        Ok(client.open(&path, &headers, call).await.is_ok())
    }

    /// Sends over it; whether that worked.
    ///
    /// # Errors
    /// The variable that nothing set.
    async fn send(&self, client: &mut Client, send: &Send) -> Result<bool, usize> {
        let text = self.render(&send.text, client)?;
        Ok(client.send(&text, self.call(send.id, None, true)).await.is_ok())
    }

    /// Waits for a message; whether it came.
    async fn receive(&mut self, client: &mut Client, receive: &Receive) -> bool {
        let call = self.call(receive.id, receive.timeout, receive.record);
        let needs_json = !receive.expect.json.is_empty() || !receive.extract.is_empty();
        let fits = |message: &ws::Message| {
            let json: Option<Value> = if needs_json { serde_json::from_slice(&message.body).ok() } else { None };
            receive.expect.check(200, &[], &message.body, json.as_ref()).is_ok().then_some(json)
        };
        let slots = &mut self.slots;
        let outcome = client.receive(call, fits, |_, json| {
            for (slot, from) in &receive.extract {
                let found = match from {
                    Extract::Json(path, _) => json.as_ref().and_then(|json| path.query(json).first()).map(as_text),
                    Extract::Header(_) => None,
                };
                slots[*slot] = Some(found.ok_or_else(|| format!("there is no {from} to extract"))?);
            }
            Ok(())
        });
        outcome.await.is_ok()
    }

    fn call(&self, id: usize, timeout: Option<Duration>, record: bool) -> Call {
        let limits = self.shard.plan.limits;
        let want = Want { method: Method::Get, head: true, body: true, most: limits.max_answer };
        Call { id, want, timeout: timeout.unwrap_or(limits.timeout), record }
    }

    fn make(
        &mut self,
        client: &Client,
        request: &Request,
        path: &Template,
        headers: &[(String, Template)],
        body: Option<&(&'static str, Template)>,
    ) -> Result<(), usize> {
        let path = self.render(path, client)?;
        let mut made = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            made.push((name.clone(), self.render(value, client)?));
        }
        let body = match body {
            None => None,
            Some((kind, body)) => Some((*kind, self.render(body, client)?)),
        };
        let body = body.as_ref().map(|(kind, body)| (*kind, body.as_bytes()));
        self.message.clear();
        let parts = Parts { method: request.method, path: &path, headers: &made, body };
        request::write(&self.shard.plan.host, &parts, &mut self.message);
        Ok(())
    }

    fn render(&self, template: &Template, client: &Client) -> Result<String, usize> {
        let mut out = String::new();
        let about = (client.number, client.iteration);
        let filling = Filling { slots: &self.slots, rows: &self.rows, data: &self.shard.plan.data, about };
        template.render(&filling, &mut out)?;
        Ok(out)
    }

    fn unset_variable(&self, script: &Script, missing: usize, class: &str, place: &str) {
        let name = script.slots.get(missing).map_or("?", String::as_str);
        let message = format!("the variable `{name}` is not set: no step before has extracted it");
        self.shard.meter.borrow_mut().exception(message, format!("{class}: {place}"));
    }
}

/// A task by chance and weight.
fn pick(script: &Script) -> usize {
    if script.tasks.len() == 1 {
        return 0;
    }
    let all: f64 = script.tasks.iter().map(|task| task.weight).sum();
    let mut left = rand::rng().random::<f64>() * all;
    script
        .tasks
        .iter()
        .position(|task| {
            left -= task.weight;
            left < 0.0
        })
        .unwrap_or(script.tasks.len() - 1)
}
