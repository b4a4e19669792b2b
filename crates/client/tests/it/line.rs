//! The worker's line: frames both ways, and how it ends.

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::routing::any;
use regatta_client::api::WorkerStatus;
use regatta_client::api::frames::worker::{ServerFrame, StatusData, WorkerFrame};
use regatta_client::api::limits::FRAME_BYTES;
use regatta_client::{Client, Error};
use uuid::Uuid;

use crate::server::client;

const LINE: &str = "/api/v1/workers/{id}/ws";

/// A client of a server that does this with every line.
async fn line_server<F, R>(serve: F) -> Client
where
    F: Fn(WebSocket) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let handler = move |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(serve) };
    client(Router::new().route(LINE, any(handler))).await
}

async fn say(socket: &mut WebSocket, text: &str) {
    socket.send(Message::text(text)).await.expect("the client is there");
}

fn status() -> WorkerFrame {
    WorkerFrame::Status { data: StatusData { status: WorkerStatus::Idle, resources: None, running: Some(Vec::new()) } }
}

#[tokio::test]
async fn frames_go_both_ways_and_pings_are_answered() {
    let client = line_server(|mut socket| async move {
        say(
            &mut socket,
            r#"{"type":"connected","data":{"worker_id":"0193e3c8-7c00-7000-8000-000000000001","machine_name":"n"}}"#,
        )
        .await;
        say(&mut socket, r#"{"type":"of_tomorrow","data":{}}"#).await;
        socket.send(Message::Ping("are you there".into())).await.expect("the client is there");
        // Says back what it hears: the pong first, then the frame.
        let mut heard = Vec::new();
        while heard.len() < 2 {
            match socket.recv().await {
                Some(Ok(Message::Pong(payload))) => {
                    heard.push(String::from_utf8_lossy(&payload).into_owned());
                    say(&mut socket, r#"{"type":"pong"}"#).await;
                }
                Some(Ok(Message::Text(text))) => heard.push(text.as_str().to_owned()),
                other => panic!("unexpected: {other:?}"),
            }
        }
        let heard = serde_json::json!({"type": "error", "data": {"message": heard.join(" ")}});
        say(&mut socket, &heard.to_string()).await;
    })
    .await;

    let (mut reader, mut writer) = client.worker_line(Uuid::nil()).await.unwrap().split();
    let connected = reader.recv().await.unwrap().unwrap();
    assert!(matches!(connected, ServerFrame::Connected { .. }));
    // The unknown type is skipped; the pong proves that the ping was answered.
    assert_eq!(reader.recv().await.unwrap(), Some(ServerFrame::Pong));
    tokio::spawn(async move { writer.send(&status()).await.expect("the line is open") });
    let Some(ServerFrame::Error { data }) = reader.recv().await.unwrap() else {
        panic!("the server did not say what it heard");
    };
    assert_eq!(data.message, r#"are you there {"type":"status","data":{"status":"idle","running":[]}}"#);
}

#[tokio::test]
async fn the_close_code_is_told_to_both_halves() {
    for (code, superseded, unregistered) in [(4001, true, false), (4002, false, true)] {
        let client = line_server(move |mut socket| async move {
            let frame = CloseFrame { code, reason: "because".into() };
            socket.send(Message::Close(Some(frame))).await.expect("the client is there");
            // The client answers the close frame, in order.
            let answer = socket.recv().await;
            assert!(matches!(answer, Some(Ok(Message::Close(Some(ref frame)))) if frame.code == code), "{answer:?}");
        })
        .await;
        let (mut reader, mut writer) = client.worker_line(Uuid::nil()).await.unwrap().split();
        assert_eq!(reader.closed(), None);
        assert_eq!(reader.recv().await.unwrap(), None);
        let closed = reader.closed().unwrap();
        assert_eq!((closed.code, closed.reason.as_str()), (Some(code), "because"));
        assert_eq!((closed.is_superseded(), closed.is_unregistered()), (superseded, unregistered));
        assert_eq!(reader.recv().await.unwrap(), None);
        match writer.send(&status()).await.unwrap_err() {
            Error::Closed(closed) => assert_eq!(closed.code, Some(code)),
            error => panic!("unexpected: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_broken_line_has_no_code() {
    let client = line_server(|socket| async move { drop(socket) }).await;
    let mut line = client.worker_line(Uuid::nil()).await.unwrap();
    assert_eq!(line.recv().await.unwrap(), None);
    let closed = line.closed().unwrap();
    assert_eq!(closed.code, None);
    assert!(closed.to_string().starts_with("the line broke"), "{closed}");
}

#[tokio::test]
async fn a_frame_that_does_not_fit_is_an_error_and_the_line_goes_on() {
    let client = line_server(|mut socket| async move {
        say(&mut socket, r#"{"type":"task_cancel","data":{}}"#).await;
        say(&mut socket, r#"{"type":"ping"}"#).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
    .await;
    let mut line = client.worker_line(Uuid::nil()).await.unwrap();
    let error = line.recv().await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    assert_eq!(line.recv().await.unwrap(), Some(ServerFrame::Ping));
    line.close().await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_not_sent() {
    let client = line_server(|mut socket| async move { while let Some(Ok(_)) = socket.recv().await {} }).await;
    let mut line = client.worker_line(Uuid::nil()).await.unwrap();
    let frame = WorkerFrame::TaskRejected { subtask_id: Uuid::nil(), reason: "x".repeat(FRAME_BYTES), lease: None };
    let error = line.send(&frame).await.unwrap_err();
    assert!(matches!(error, Error::FrameTooLarge { .. }), "{error:?}");
    line.send(&status()).await.unwrap();
}

#[tokio::test]
async fn a_refused_line_is_a_problem_with_its_status() {
    let routes = Router::new().route(LINE, any(|| async { (StatusCode::CONFLICT, "unregistered") }));
    let error = client(routes).await.worker_line(Uuid::nil()).await.err().unwrap();
    assert_eq!(error.status(), Some(409), "{error:?}");
}

#[tokio::test]
async fn a_server_that_dies_during_the_handshake_is_away_and_not_broken() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("a bound address"));
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
        }
    });
    let client = Client::new(regatta_client::Options { server, ..Default::default() }).expect("a good address");
    let Err(error) = client.worker_line(Uuid::nil()).await else { panic!("there was no answer") };
    assert!(error.is_unreachable(), "{error:?}");
}
