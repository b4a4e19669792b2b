//! `/ws`: everything that happens, by topic.

use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use regatta_api::frames::all::{Topic, TopicKind, WatchAction, WatchFrame};
use regatta_api::limits::LOG_LIMIT;
use regatta_engine::bus::{self, Body, Delivery, Notice, Subscriber};
use regatta_model::TaskId;
use regatta_model::event::What;
use tokio::sync::mpsc;

use super::socket::{ACTIONS, Asked, End, Incoming, Outgoing, Upgrade, finish, read_actions};
use super::tail::{Meets, Step, Stop, Tails};
use crate::app::App;
use crate::convert::events::{event_frame, frame, text};
use crate::convert::{task_id, worker_id};
use crate::identity::Identity;
use crate::problem::Failure;
use crate::reply::Result;

/// Events read from the store at once.
const PAGE: u32 = *LOG_LIMIT.end();

/// Everything that happens, by topic
#[utoipa::path(get, path = "/api/v1/ws", tag = "websockets", responses(
    (status = 101, description = "`WatchFrame` from the server, `WatchAction` from the client"),
    (status = 426, description = "This is no WebSocket handshake", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn open(State(app): State<App>, caller: Identity, upgrade: Upgrade) -> Result<Response> {
    let serving = app.clone();
    Ok(upgrade.open(&app, caller, move |incoming, outgoing| serve(serving, incoming, outgoing)))
}

async fn serve(app: App, mut incoming: Incoming, outgoing: Outgoing) {
    let subscriber = app.engine.bus().subscribe(app.limits.socket_queue);
    let mut watcher = Watcher { app: app.clone(), subscriber, outgoing, tails: Tails::default() };
    let (actions, asked) = mpsc::channel(ACTIONS);
    let end = tokio::select! {
        end = read_actions(&mut incoming, actions) => end,
        end = watcher.run(asked) => end,
    };
    finish(end, incoming, watcher.outgoing).await;
}

struct Watcher {
    app: App,
    subscriber: Subscriber,
    outgoing: Outgoing,
    /// The tasks that are a topic of their own.
    tails: Tails,
}

impl Watcher {
    async fn run(&mut self, mut asked: mpsc::Receiver<Asked<WatchAction>>) -> End {
        let app = self.app.clone();
        let mut draining = pin!(app.until_draining());
        loop {
            let done = tokio::select! {
                () = &mut draining => return End::Draining,
                Some(action) = asked.recv() => match action {
                    Ok(action) => self.act(action).await,
                    Err(message) => self.outgoing.error(&message).await.map_err(Stop::from),
                },
                delivery = self.subscriber.next() => self.deliver(delivery).await,
                () = self.outgoing.ping_due() => self.outgoing.ping().await.map_err(Stop::from),
            };
            let said = match done {
                Ok(()) => Ok(()),
                Err(Stop::Gone) => return End::Gone,
                Err(Stop::Refused(failure)) => self.outgoing.error(&failure.sentence()).await,
            };
            if said.is_err() {
                return End::Gone;
            }
        }
    }

    async fn act(&mut self, action: WatchAction) -> Step {
        match action {
            WatchAction::Ping => Ok(self.outgoing.write(&WatchFrame::Pong).await?),
            WatchAction::Subscribe(topic) => self.subscribe(topic).await,
            WatchAction::Unsubscribe(topic) => {
                let on_bus = on_bus(&topic)?;
                self.subscriber.remove(on_bus);
                if let bus::Topic::Task(task) = on_bus {
                    self.tails.leave(task);
                }
                Ok(self.outgoing.write(&WatchFrame::Unsubscribed { data: echo(&topic) }).await?)
            }
        }
    }

    async fn subscribe(&mut self, topic: Topic) -> Step {
        let on_bus = on_bus(&topic)?;
        let most = self.app.limits.topics_per_socket;
        if !self.subscriber.has(on_bus) && self.subscriber.topics().count() >= most {
            return Err(Failure::field("type", format!("one socket may have {most} topics; open another")).into());
        }
        // There must be such a thing.
        match on_bus {
            bus::Topic::Task(task) => drop(self.app.engine.progress(task).await?),
            bus::Topic::Worker(worker) => drop(self.app.engine.worker(worker).await?),
            bus::Topic::Tasks | bus::Topic::Workers => {}
        }
        self.subscriber.add(on_bus);
        self.outgoing.write(&WatchFrame::Subscribed { data: echo(&topic) }).await?;
        if let bus::Topic::Task(task) = on_bus {
            let seen = match topic.from_seq {
                Some(from) => Some(self.fill(task, from.saturating_sub(1), u64::MAX).await?),
                None => self.tails.seen(task),
            };
            self.tails.follow(task, seen);
        }
        Ok(())
    }

    async fn deliver(&mut self, delivery: Delivery) -> Step {
        match delivery {
            Delivery::Notice(notice) => self.notice(&notice).await,
            Delivery::Lagged(missed) => self.lagged(missed).await,
            Delivery::Resync => {
                self.catch_up(false).await?;
                self.read_again().await
            }
        }
    }

    async fn notice(&mut self, notice: &Notice) -> Step {
        if let Body::Event(event) = &notice.body {
            let task = event.task.id;
            match self.tails.meets(task, event.seq) {
                Meets::Old => return Ok(()),
                Meets::Missing { after, upto } => drop(self.fill(task, after, upto).await?),
                Meets::Next | Meets::Nothing => {}
            }
            self.tails.sent(task, event.seq);
            if let What::Subtask(head, _) = &event.what {
                // Another node may have met its lane first.
                self.app.engine.learn_lanes(std::iter::once(head.lane)).await?;
            }
        }
        Ok(self.outgoing.send(frame(&self.app.engine, notice).await).await?)
    }

    async fn lagged(&mut self, missed: u64) -> Step {
        self.catch_up(true).await?;
        if self.tails.safe() == self.subscriber.topics().count() {
            return Ok(());
        }
        self.tails.skip();
        self.outgoing.write(&WatchFrame::Lagged { missed }).await?;
        self.read_again().await
    }

    /// Lists that are watched must be read again.
    async fn read_again(&mut self) -> Step {
        if self.subscriber.has(bus::Topic::Tasks) || self.subscriber.has(bus::Topic::Workers) {
            self.outgoing.write(&WatchFrame::Resync).await?;
        }
        Ok(())
    }

    /// Reads what came after the last event sent.
    async fn catch_up(&mut self, only_fresh: bool) -> Step {
        for (task, seen) in self.tails.behind(only_fresh) {
            let seen = self.fill(task, seen, u64::MAX).await?;
            self.tails.caught_up(task, seen);
        }
        Ok(())
    }

    /// Sends the kept events with numbers in `after + 1 ..= upto`, and says which of them are lost; returns up to
    /// which number everything was sent.
    async fn fill(&mut self, task: TaskId, after: u64, upto: u64) -> Step<u64> {
        let mut last = after;
        loop {
            let page = self.app.engine.events(task, last, PAGE).await?;
            let read = page.events.len();
            for event in page.events.iter().take_while(|event| event.seq <= upto) {
                if event.seq > last + 1 {
                    self.outgoing.feed(text(&WatchFrame::Gap { from: last + 1, to: event.seq - 1 })).await?;
                }
                self.outgoing.feed(event_frame(&self.app.engine, event)).await?;
                last = event.seq;
            }
            let end = page.last_seq.min(upto);
            if last >= end || read < PAGE as usize {
                if last < end {
                    self.outgoing.feed(text(&WatchFrame::Gap { from: last + 1, to: end })).await?;
                }
                self.outgoing.flush().await?;
                return Ok(end.max(after));
            }
        }
    }
}

/// The topic as it is said back.
fn echo(topic: &Topic) -> Topic {
    Topic { from_seq: None, ..*topic }
}

/// The topic of the bus.
fn on_bus(topic: &Topic) -> std::result::Result<bus::Topic, Failure> {
    if topic.from_seq.is_some() && topic.kind != TopicKind::Task {
        return Err(Failure::field("from_seq", "goes only with type task; events of other topics have no numbers"));
    }
    match topic.kind {
        TopicKind::Tasks => Ok(bus::Topic::Tasks),
        TopicKind::Workers => Ok(bus::Topic::Workers),
        TopicKind::Task => {
            let id = topic.task_id.ok_or_else(|| Failure::field("task_id", "is required with type task"))?;
            task_id(id).map(bus::Topic::Task).ok_or_else(|| Failure::no_such("task", &id.to_string()))
        }
        TopicKind::Worker => {
            let id = topic.worker_id.ok_or_else(|| Failure::field("worker_id", "is required with type worker"))?;
            Ok(bus::Topic::Worker(worker_id(id)))
        }
    }
}
