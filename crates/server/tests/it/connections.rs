//! Connections, byte by byte: what is no request, and who is slow.

use http::StatusCode;
use regatta_server::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{Rig, soon};

async fn connect(rig: &Rig) -> TcpStream {
    soon("a connection", TcpStream::connect(rig.handle.addresses()[0])).await.unwrap()
}

/// Sends bytes and reads until the other end closes.
async fn ask(rig: &Rig, bytes: &[u8]) -> String {
    let mut stream = connect(rig).await;
    // The server may have read enough before it has read all.
    let _ = soon("sending", stream.write_all(bytes)).await;
    let mut answer = Vec::new();
    soon("an answer", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[track_caller]
fn is_problem(answer: &str, status: StatusCode, kind: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(head.contains("server-timing: ") && head.contains("date: "), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["type"], &body["status"]), (&json!(kind), &json!(status.as_u16())));
    let id = body["request_id"].as_str().unwrap();
    assert!(!id.is_empty() && head.contains(&format!("x-request-id: {id}")), "{head}");
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_a_problem() {
    let rig = Rig::start().await;
    for bad in [
        "GET /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n",
        "GET /api/v1/t asks HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/v1/tasks HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "G\u{e9}T /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\u{16}\u{3}\u{1} a TLS handshake\r\n\r\n",
        "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    ] {
        is_problem(&ask(&rig, bad.as_bytes()).await, StatusCode::BAD_REQUEST, "/problems/bad-request");
    }
    let long = format!("GET /api/v1/tasks?search={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(70_000));
    is_problem(&ask(&rig, long.as_bytes()).await, StatusCode::URI_TOO_LONG, "/problems/uri-too-long");
    // More than is read before it is refused.
    for headers in ["a: b\r\n".repeat(200), format!("a: {}\r\n", "x".repeat(2 << 20))] {
        let head = format!("GET /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        is_problem(
            &ask(&rig, head.as_bytes()).await,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "/problems/headers-too-large",
        );
    }
    // On a connection that served before, too.
    let twice = "GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\nx\r\n\r\n";
    let answer = ask(&rig, twice.as_bytes()).await;
    let second = answer.rfind("HTTP/1.1 400").unwrap();
    is_problem(&answer[second..], StatusCode::BAD_REQUEST, "/problems/bad-request");
}

#[tokio::test]
async fn a_request_has_one_host() {
    let rig = Rig::start().await;
    for hosts in ["", "Host: localhost\r\nHost: localhost\r\n"] {
        let request = format!("GET /api/v1/health HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        is_problem(&ask(&rig, request.as_bytes()).await, StatusCode::BAD_REQUEST, "/problems/bad-request");
    }
    let old = ask(&rig, b"GET /api/v1/health HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
}

#[tokio::test]
async fn whoever_is_slow_is_cut_off_and_a_socket_is_not() {
    let options = Options { head_seconds: 1, keep_alive_seconds: 1, ..Default::default() };
    let rig = Rig::with(options, Default::default()).await;
    let mut socket = rig.socket("/api/v1/ws").await;
    let (worker, mut line) = rig.line("w", 1).await;
    let polling = async {
        // Under way for longer than both bounds: it is the server that takes its time.
        let body = json!({"slots": 1, "wait_seconds": 3});
        rig.post(&format!("/api/v1/workers/{worker}/poll"), body).await.is(StatusCode::OK);
    };
    let slow = async {
        let mut never = connect(&rig).await;
        let mut head = connect(&rig).await;
        head.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: local").await.unwrap();
        let mut rests = connect(&rig).await;
        rests.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        for (what, stream) in [("nothing", &mut never), ("half a head", &mut head)] {
            // An end or a reset: it is closed without an answer.
            let _ = soon(what, stream.read_to_end(&mut answer)).await;
            assert_eq!(answer, b"", "{what}");
        }
        soon("a rest", rests.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    };
    tokio::join!(polling, slow);
    socket.send(json!({"action": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong");
    line.send(json!({"type": "ping"})).await;
    assert_eq!(line.next_of("pong").await["type"], "pong");
}

#[tokio::test]
async fn who_sends_a_body_byte_by_byte_holds_no_place_for_long() {
    let limits = regatta_server::Limits { concurrent_requests: 2, ..Default::default() };
    let rig = Rig::with(Options { body_seconds: 1, limits, ..Default::default() }, Default::default()).await;
    let head = "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let slow = |length: &'static str| {
        let (rig, head) = (&rig, format!("{head}{length}\r\n\r\n"));
        async move {
            let (mut reads, mut writes) = connect(rig).await.into_split();
            writes.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let drip = async {
                // Never ends by itself: a byte now and then, for as long as the other end takes it.
                while writes.write_all(b"1\r\n \r\n").await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            };
            tokio::select! {
                read = soon("an answer", reads.read_to_end(&mut answer)) => drop(read),
                () = drip => drop(soon("an answer", reads.read_to_end(&mut answer)).await),
            }
            String::from_utf8(answer).unwrap()
        }
    };
    // Both places, by one that says how long it will be and one that does not.
    let answers = tokio::join!(slow("Content-Length: 30000"), slow("Transfer-Encoding: chunked"));
    for answer in [answers.0, answers.1] {
        is_problem(&answer, StatusCode::REQUEST_TIMEOUT, "/problems/too-slow");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    rig.post("/api/v1/tasks", json!({"description": "after the slow ones"})).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn who_never_reads_an_answer_is_cut_off() {
    let rig = Rig::with(Options { keep_alive_seconds: 1, ..Default::default() }, Default::default()).await;
    let body = json!({"description": "a task that is long", "requirements": {"long": "x".repeat(7 << 20)}});
    let task = rig.post("/api/v1/tasks", body).await.text("task_id");
    // More than the buffers of the system take on their way.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = rig.handle.addresses().iter().copied().find(std::net::SocketAddr::is_ipv4).unwrap();
    let mut stream = soon("a connection", socket.connect(address)).await.unwrap();
    let request = format!("GET /api/v1/tasks/{task} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    soon("the end of the connection", async {
        // Nothing is read meanwhile; that the other end is gone is seen by who writes.
        while stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    // Who reads, however slowly, gets it whole.
    let whole = ask(&rig, request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await;
    assert!(whole.len() > 7 << 20, "{}", whole.len());
}
