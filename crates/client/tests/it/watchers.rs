//! Watchers: subscriptions, and going on where a connection broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::routing::any;
use regatta_client::api::frames::all::{Topic, WatchFrame};
use regatta_client::api::frames::logs::LogsFrame;
use regatta_client::{Error, LogFollower, Options, RetryPolicy, Watcher};
use uuid::Uuid;

use crate::server::{client, client_with};

const TASK: Uuid = Uuid::from_u128(0x0193_e3c8_7c00_7000_8000_0000_0000_0001);

fn log(seq: u64) -> String {
    format!(
        r#"{{"type":"log","data":{{"task_id":"{TASK}","subtask_id":"{TASK}","level":"info","message":"line {seq}","timestamp":"2026-11-23T18:00:00.000000Z"}},"_seq":{seq},"timestamp":"2026-11-23T18:00:00.000000Z"}}"#
    )
}

async fn say(socket: &mut WebSocket, text: impl Into<String>) {
    socket.send(Message::text(text.into())).await.expect("the client is there");
}

async fn hear(socket: &mut WebSocket) -> String {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
            Some(Ok(_)) => {}
            other => panic!("the client left: {other:?}"),
        }
    }
}

/// A server whose `/ws` hears one frame on each connection, tells it to the test, and answers with the lines of that
/// connection's turn; then it breaks the connection, except the last.
fn turns(lines: Vec<Vec<u64>>) -> (Router, Receiver<String>) {
    let (heard, receiver) = channel();
    let turn = Arc::new(AtomicU32::new(0));
    let handler = move |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            heard.send(hear(&mut socket).await).expect("the test listens");
            let turn = turn.fetch_add(1, Ordering::SeqCst) as usize;
            for &seq in &lines[turn] {
                say(&mut socket, log(seq)).await;
            }
            if turn + 1 == lines.len() {
                while let Some(Ok(_)) = socket.recv().await {}
            }
        })
    };
    (Router::new().route("/api/v1/ws", any(handler)), receiver)
}

async fn next_seq(watcher: &mut Watcher) -> Option<u64> {
    watcher.next().await.unwrap().seq()
}

#[tokio::test]
async fn a_watched_task_goes_on_where_its_connection_broke() {
    // The second connection repeats a line, as a server may at the seam.
    let (routes, heard) = turns(vec![vec![1, 2], vec![2, 3, 4]]);
    let mut watcher = client(routes).await.watch_task(TASK, Some(0)).await.unwrap();
    for seq in 1..=4 {
        assert_eq!(next_seq(&mut watcher).await, Some(seq));
    }
    let heard: Vec<_> = heard.try_iter().collect();
    let subscribe =
        |from: u64| format!(r#"{{"action":"subscribe","type":"task","task_id":"{TASK}","from_seq":{from}}}"#);
    assert_eq!(heard, [subscribe(0), subscribe(3)]);
}

#[tokio::test]
async fn what_cannot_be_resumed_is_told_to_be_read_again() {
    let (routes, heard) = turns(vec![vec![], vec![7]]);
    let mut watcher = client(routes).await.watch([Topic::tasks()]).await.unwrap();
    assert_eq!(watcher.next().await.unwrap(), WatchFrame::Resync);
    assert_eq!(next_seq(&mut watcher).await, Some(7));
    let subscribe = r#"{"action":"subscribe","type":"tasks"}"#;
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [subscribe, subscribe]);
}

#[tokio::test]
async fn a_dropped_future_loses_nothing() {
    let (routes, heard) = turns(vec![vec![1], vec![2], vec![3]]);
    let mut watcher = client(routes).await.watch_task(TASK, Some(0)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        // Sooner than a reconnection takes: most of these futures are dropped somewhere inside it.
        if let Ok(frame) = tokio::time::timeout(Duration::from_millis(5), watcher.next()).await {
            seen.extend(frame.unwrap().seq());
        }
    }
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!(heard.try_iter().count(), 3);
}

#[tokio::test]
async fn topics_come_and_go() {
    let (heard, receiver) = channel();
    let handler = move |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            for _ in 0..3 {
                heard.send(hear(&mut socket).await).expect("the test listens");
            }
            say(&mut socket, log(5)).await;
            say(&mut socket, log(5)).await;
            say(&mut socket, r#"{"type":"pong"}"#).await;
            while let Some(Ok(_)) = socket.recv().await {}
        })
    };
    let client = client(Router::new().route("/api/v1/ws", any(handler))).await;
    let mut watcher = client.watch([Topic::workers()]).await.unwrap();
    watcher.subscribe(Topic::task(TASK, None)).await.unwrap();
    watcher.unsubscribe(Topic::workers()).await.unwrap();
    assert_eq!(next_seq(&mut watcher).await, Some(5));
    assert_eq!(watcher.next().await.unwrap(), WatchFrame::Pong);
    let expected = [
        r#"{"action":"subscribe","type":"workers"}"#.to_owned(),
        format!(r#"{{"action":"subscribe","type":"task","task_id":"{TASK}"}}"#),
        r#"{"action":"unsubscribe","type":"workers"}"#.to_owned(),
    ];
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), expected);

    let error = watcher.subscribe(Topic::tasks()).await.unwrap_err();
    assert!(error.to_string().contains("two watchers"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_gone_for_good_ends_the_watch() {
    let (routes, _heard) = turns(vec![vec![1], vec![]]);
    let options = Options { reconnect: RetryPolicy::none(), ..Options::default() };
    let mut watcher = client_with(routes, options).await.watch_task(TASK, Some(0)).await.unwrap();
    assert_eq!(next_seq(&mut watcher).await, Some(1));
    let error = watcher.next().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

async fn line(follower: &mut LogFollower) -> String {
    loop {
        if let LogsFrame::Log { data, .. } = follower.next().await.unwrap() {
            return data.message;
        }
    }
}

#[tokio::test]
async fn a_log_is_followed_over_a_broken_connection() {
    let (asked, receiver) = channel();
    let turn = Arc::new(AtomicU32::new(0));
    let handler = move |Path(id): Path<Uuid>, RawQuery(query): RawQuery, upgrade: WebSocketUpgrade| async move {
        asked.send((id, query)).expect("the test listens");
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        upgrade.on_upgrade(move |mut socket| async move {
            let (kept, last_seq, live) = if turn == 0 { (4, 6, 9) } else { (9, 9, 11) };
            say(&mut socket, format!(r#"{{"type":"history_start","task_id":"{TASK}","count":1}}"#)).await;
            say(&mut socket, log(kept)).await;
            say(&mut socket, format!(r#"{{"type":"history_end","task_id":"{TASK}","last_seq":{last_seq}}}"#)).await;
            say(&mut socket, format!(r#"{{"type":"subscribed","data":{{"task_id":"{TASK}"}}}}"#)).await;
            say(&mut socket, log(live)).await;
            if turn > 0 {
                while let Some(Ok(_)) = socket.recv().await {}
            }
        })
    };
    let client = client(Router::new().route("/api/v1/ws/tasks/{id}/logs", any(handler))).await;
    let mut follower = client.follow_logs(TASK, None).await.unwrap();
    for expected in ["line 4", "line 9", "line 11"] {
        assert_eq!(line(&mut follower).await, expected);
    }
    let asked: Vec<_> = receiver.try_iter().collect();
    assert_eq!(asked, [(TASK, None), (TASK, Some("from_seq=10".to_owned()))]);
}

#[tokio::test]
async fn an_unknown_task_is_a_problem_at_once() {
    let routes = Router::new().route("/api/v1/ws/tasks/{id}/logs", any(|| async { StatusCode::NOT_FOUND }));
    let error = client(routes).await.follow_logs(TASK, Some(0)).await.err().unwrap();
    assert_eq!(error.status(), Some(404));
}
