//! `/ws/tasks/{id}/logs`: the log of a task, kept and live, each line exactly once.
//!
//! The seam: first the bus is subscribed to, then the store is read. The read says up to which number it saw
//! everything; what is live and not above that is skipped.

use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use regatta_api::frames::TaskIdData;
use regatta_api::frames::logs::{LogsAction, LogsFrame, LogsRange};
use regatta_api::limits::{LOG_HISTORY_DEFAULT, LOG_LIMIT};
use regatta_api::page::FromSeqQuery;
use regatta_engine::bus::{Body, Delivery, Notice, Subscriber, Topic};
use regatta_engine::store::{LogPage, LogQuery};
use regatta_model::TaskId;
use regatta_model::event::What;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::socket::{ACTIONS, Asked, End, Gone, Incoming, Outgoing, Upgrade, finish, read_actions};
use super::tail::{Meets, Step, Stop, Tails};
use crate::app::App;
use crate::convert::events::{frame, log_data, text};
use crate::convert::{task_id, time};
use crate::identity::Identity;
use crate::params::Params;
use crate::path::Id;
use crate::problem::Failure;
use crate::reply::Result;

/// Lines read from the store at once.
const PAGE: u32 = *LOG_LIMIT.end();

/// A task's log, kept and live
#[utoipa::path(get, path = "/api/v1/ws/tasks/{task_id}/logs", tag = "websockets",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), FromSeqQuery), responses(
    (status = 101, description = "`LogsFrame` from the server, `LogsAction` from the client"),
    (status = 426, description = "This is no WebSocket handshake", body = regatta_api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn open(
    State(app): State<App>,
    caller: Identity,
    Id(task): Id<TaskId>,
    mut params: Params,
    upgrade: Upgrade,
) -> Result<Response> {
    let from = params.number("from_seq", &(0..=i64::MAX as u64));
    params.finish()?;
    // An unknown task gets its 404 instead of the 101.
    app.engine.progress(task).await?;
    let serving = app.clone();
    Ok(upgrade.open(&app, caller, move |incoming, outgoing| serve(serving, task, from, incoming, outgoing)))
}

async fn serve(app: App, task: TaskId, from: Option<u64>, mut incoming: Incoming, outgoing: Outgoing) {
    let subscriber = app.engine.bus().subscribe(app.limits.socket_queue);
    let mut watcher = Watcher { app: app.clone(), subscriber, outgoing, tails: Tails::default() };
    let (actions, asked) = mpsc::channel(ACTIONS);
    let end = tokio::select! {
        end = read_actions(&mut incoming, actions) => end,
        end = watcher.run(task, from, asked) => end,
    };
    finish(end, incoming, watcher.outgoing).await;
}

struct Watcher {
    app: App,
    subscriber: Subscriber,
    outgoing: Outgoing,
    tails: Tails,
}

impl Watcher {
    async fn run(&mut self, task: TaskId, from: Option<u64>, mut asked: mpsc::Receiver<Asked<LogsAction>>) -> End {
        if self
            .tell_refusal(Ok(LogsAction::Subscribe(LogsRange { task_id: task.uuid(), from_seq: from, limit: None })))
            .await
            .is_err()
        {
            return End::Gone;
        }
        let app = self.app.clone();
        let mut draining = pin!(app.until_draining());
        loop {
            let sent = tokio::select! {
                () = &mut draining => return End::Draining,
                Some(action) = asked.recv() => self.tell_refusal(action).await,
                delivery = self.subscriber.next() => self.deliver(delivery).await,
                () = self.outgoing.ping_due() => self.outgoing.ping().await,
            };
            if sent.is_err() {
                return End::Gone;
            }
        }
    }

    /// Does what was asked; what is refused is said to the client.
    async fn tell_refusal(&mut self, asked: Asked<LogsAction>) -> std::result::Result<(), Gone> {
        let done = match asked {
            Ok(action) => self.act(action).await,
            Err(message) => return self.outgoing.error(&message).await,
        };
        match done {
            Ok(()) => Ok(()),
            Err(Stop::Gone) => Err(Gone),
            Err(Stop::Refused(failure)) => self.outgoing.error(&failure.sentence()).await,
        }
    }

    async fn act(&mut self, action: LogsAction) -> Step {
        match action {
            LogsAction::Ping => Ok(self.outgoing.write(&LogsFrame::Pong).await?),
            LogsAction::Subscribe(range) => {
                let task = known(range.task_id)?;
                if !self.tails.follows(task) && self.tails.len() >= self.app.limits.topics_per_socket {
                    let most = self.app.limits.topics_per_socket;
                    return Err(Stop::Refused(Failure::field(
                        "task_id",
                        format!("one socket may watch {most} tasks; open another"),
                    )));
                }
                self.subscriber.add(Topic::Task(task));
                // The number of lines limits how far back it goes, never what is live after it.
                let last = range.limit.filter(|_| range.from_seq.is_none());
                let seen = match self.history(task, range.from_seq, last, false).await {
                    Ok(seen) => seen,
                    Err(stop) => {
                        if !self.tails.follows(task) {
                            self.subscriber.remove(Topic::Task(task));
                        }
                        return Err(stop);
                    }
                };
                self.tails.follow(task, Some(seen));
                let data = TaskIdData { task_id: task.uuid() };
                Ok(self.outgoing.write(&LogsFrame::Subscribed { data }).await?)
            }
            LogsAction::Unsubscribe(range) => {
                let task = known(range.task_id)?;
                self.subscriber.remove(Topic::Task(task));
                self.tails.leave(task);
                let data = TaskIdData { task_id: task.uuid() };
                Ok(self.outgoing.write(&LogsFrame::Unsubscribed { data }).await?)
            }
            LogsAction::Replay(range) => {
                let task = known(range.task_id)?;
                self.history(task, range.from_seq, range.limit, true).await.map(drop)
            }
        }
    }

    /// Sends kept lines between their frames, and returns the number up to which everything kept was sent. With
    /// `first`, `limit` counts from the front.
    async fn history(&mut self, task: TaskId, from: Option<u64>, limit: Option<u32>, first: bool) -> Step<u64> {
        let Some(from) = from else {
            let page = self.app.engine.logs(task, LogQuery::Last(limit.unwrap_or(LOG_HISTORY_DEFAULT))).await?;
            return self.send_page(task, &page, page.last_seq).await;
        };
        let after = from.saturating_sub(1);
        let page = self.app.engine.logs(task, LogQuery::After { seq: after, limit: limit.unwrap_or(PAGE) }).await?;
        if !page.more {
            return self.send_page(task, &page, page.last_seq).await;
        }
        if let (true, Some(_), Some((last, ..))) = (first, limit, page.lines.last()) {
            return self.send_page(task, &page, *last).await;
        }
        self.long_history(task, after, page).await
    }

    async fn send_page(&mut self, task: TaskId, page: &LogPage, last_seq: u64) -> Step<u64> {
        let task_id = task.uuid();
        self.outgoing.feed(text(&LogsFrame::HistoryStart { task_id, count: page.lines.len() as u64 })).await?;
        self.feed_lines(task, page, last_seq).await?;
        self.outgoing.feed(text(&LogsFrame::HistoryEnd { task_id, last_seq })).await?;
        self.outgoing.flush().await?;
        Ok(last_seq)
    }

    /// More than one page: counted first, since the count goes out first and the lines may not fit into memory.
    async fn long_history(&mut self, task: TaskId, after: u64, first: LogPage) -> Step<u64> {
        let task_id = task.uuid();
        let mut count = first.lines.len() as u64;
        let mut last = first.lines.last().map_or(after, |(seq, ..)| *seq);
        let last_seq = loop {
            let page = self.app.engine.logs(task, LogQuery::After { seq: last, limit: PAGE }).await?;
            count += page.lines.len() as u64;
            last = page.lines.last().map_or(last, |(seq, ..)| *seq);
            if !page.more {
                break page.last_seq;
            }
        };
        self.outgoing.feed(text(&LogsFrame::HistoryStart { task_id, count })).await?;
        let mut page = first;
        loop {
            self.feed_lines(task, &page, last_seq).await?;
            let sent = page.lines.last().map_or(last_seq, |(seq, ..)| *seq);
            if sent >= last || page.lines.is_empty() {
                break;
            }
            page = self.app.engine.logs(task, LogQuery::After { seq: sent, limit: PAGE }).await?;
        }
        self.outgoing.feed(text(&LogsFrame::HistoryEnd { task_id, last_seq })).await?;
        self.outgoing.flush().await?;
        Ok(last_seq)
    }

    async fn feed_lines(&mut self, task: TaskId, page: &LogPage, last_seq: u64) -> std::result::Result<(), Gone> {
        for (seq, at, line) in page.lines.iter().filter(|(seq, ..)| *seq <= last_seq) {
            let frame = LogsFrame::Log { data: log_data(task, *at, line), seq: *seq, timestamp: time(*at) };
            self.outgoing.feed(text(&frame)).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, delivery: Delivery) -> std::result::Result<(), Gone> {
        let done = match delivery {
            Delivery::Notice(notice) => self.notice(&notice).await,
            Delivery::Lagged(missed) => self.lagged(missed).await,
            Delivery::Resync => self.catch_up(false).await,
        };
        match done {
            Ok(()) => Ok(()),
            Err(Stop::Gone) => Err(Gone),
            Err(Stop::Refused(failure)) => self.outgoing.error(&failure.sentence()).await,
        }
    }

    async fn notice(&mut self, notice: &Notice) -> Step {
        let Body::Event(event) = &notice.body else { return Ok(()) };
        let task = event.task.id;
        match self.tails.meets(task, event.seq) {
            Meets::Nothing | Meets::Old => return Ok(()),
            Meets::Missing { after, upto } => drop(self.fill(task, after, upto).await?),
            Meets::Next => {}
        }
        self.tails.sent(task, event.seq);
        if matches!(event.what, What::Log(_)) {
            self.outgoing.send(frame(&self.app.engine, notice).await).await?;
        }
        Ok(())
    }

    async fn lagged(&mut self, missed: u64) -> Step {
        self.catch_up(true).await?;
        if self.tails.safe() == self.tails.len() {
            return Ok(());
        }
        self.tails.skip();
        Ok(self.outgoing.write(&LogsFrame::Lagged { missed }).await?)
    }

    /// Reads what came after the last line sent.
    async fn catch_up(&mut self, only_fresh: bool) -> Step {
        for (task, seen) in self.tails.behind(only_fresh) {
            let seen = self.fill(task, seen, u64::MAX).await?;
            self.tails.caught_up(task, seen);
        }
        Ok(())
    }

    /// Sends the kept lines with numbers in `after + 1 ..= upto`; returns up to which number everything was seen.
    async fn fill(&mut self, task: TaskId, after: u64, upto: u64) -> Step<u64> {
        let mut last = after;
        loop {
            let page = self.app.engine.logs(task, LogQuery::After { seq: last, limit: PAGE }).await?;
            self.feed_lines(task, &page, upto).await?;
            last = page.lines.last().map_or(last, |(seq, ..)| *seq);
            if !page.more || last >= upto {
                self.outgoing.flush().await?;
                return Ok(page.last_seq.min(upto).max(after));
            }
        }
    }
}

fn known(id: Uuid) -> Step<TaskId> {
    task_id(id).ok_or_else(|| Stop::Refused(Failure::no_such("task", &id.to_string())))
}
