//! WebSocket steps against axum's WebSockets, and against servers that do not keep to the standard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{any, get};
use parking_lot::Mutex;
use regatta_load::engine::client::Client;
use regatta_load::engine::user::{Step, User, UserClass};
use regatta_load::scenario::compile::Choices;
use regatta_load::scenario::duration::Span;
use regatta_load::scenario::plan::{Behaviour, Class, Limits};
use regatta_load::scenario::wait::Wait;
use regatta_load::{Engine, Plan};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Nobody, plan, run, start, users};

/// Answers texts with what `answer` makes of them; notes what it hears.
fn socket<F, Fut>(serve: F) -> Router
where
    F: Fn(WebSocket, HeaderMap) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Router::new().route(
        "/ws",
        any(move |upgrade: WebSocketUpgrade, headers: HeaderMap| async move {
            let answer: Response = upgrade.on_upgrade(move |socket| serve(socket, headers));
            answer
        }),
    )
}

#[test]
fn open_send_receive_extract_close() {
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (talk, items) = (Arc::clone(&heard), Arc::clone(&heard));
    let routes = socket(move |mut socket, headers| {
        let talk = Arc::clone(&talk);
        async move {
            talk.lock().push(json!(headers["x-token"].to_str().unwrap()));
            socket.send(Message::Text(r#"{"type": "hello"}"#.into())).await.unwrap();
            while let Some(Ok(message)) = socket.recv().await {
                match message {
                    Message::Text(text) => {
                        let said: Value = serde_json::from_str(&text).unwrap();
                        // Something else first, then the answer.
                        socket.send(Message::Text(r#"{"type": "noise", "id": 1}"#.into())).await.unwrap();
                        let answer = json!({ "type": "made", "id": said["who"] });
                        socket.send(Message::Text(answer.to_string().into())).await.unwrap();
                        talk.lock().push(said);
                    }
                    Message::Close(frame) => talk.lock().push(json!(frame.map(|frame| frame.code))),
                    _ => {}
                }
            }
        }
    })
    .route(
        "/items/{id}",
        get(move |axum::extract::Path(id): axum::extract::Path<String>| async move { items.lock().push(json!(id)) }),
    );
    let text = r#"
[[users]]
name = "Talker"
wait = { constant = "1h" }
on_stop = [{ close = true }]
[[users.tasks]]
name = "talk"
steps = [
    { ws = "/ws?user={{user}}", name = "/ws", headers = { X-Token = "t{{user}}" } },
    { receive = { json = { "$.type" = "hello" } }, record = false },
    { send = { who = "u{{user}}", run = "{{run}}" } },
    { receive = { contains = "made", json = { "$.type" = "made" } }, name = "/ws made", extract = { id = "$.id" } },
    { get = "/items/{{id}}", name = "/items/{id}" },
]
"#;
    let ran = run(text, start(routes), users(1, 1_500));
    assert!(ran.totals.errors.is_empty() && ran.totals.exceptions.is_empty(), "{:?}", ran.totals.errors);
    let expected = [json!("t1"), json!({ "who": "u1", "run": "r1" }), json!("u1"), json!(1000)];
    assert_eq!(*heard.lock(), expected);
    let rows: Vec<_> =
        ran.totals.sorted().iter().map(|entry| (entry.id.method, entry.id.name.to_string(), entry.requests)).collect();
    let expected =
        [("GET", "/items/{id}".to_owned(), 1), ("WS", "/ws".to_owned(), 1), ("WSR", "/ws made".to_owned(), 1)];
    assert_eq!(rows, expected);
}

/// A message is timed from what caused it to its arrival: not to when somebody looked, and over whatever was sent last.
#[test]
fn what_a_message_is_timed_from() {
    let (tell, told) = tokio::sync::watch::channel(0);
    let routes = socket(move |mut socket, _| {
        let mut told = told.clone();
        async move {
            let _ = socket.send(Message::Text("first".into())).await;
            while told.changed().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let _ = socket.send(Message::Text("event".into())).await;
            }
        }
    })
    .route("/cause", get(move || async move { tell.send_modify(|count| *count += 1) }));
    let text = r#"
[[users]]
name = "Watcher"
wait = { constant = "1h" }
[[users.tasks]]
steps = [
    { ws = "/ws" },
    { wait = { constant = "4s" } },
    { receive = { contains = "first" }, name = "first" },
    { get = "/cause" },
    { receive = { contains = "event" }, name = "event" },
]
"#;
    let mut options = users(1, 5_000);
    options.stop_timeout = Duration::from_secs(60);
    let ran = run(text, start(routes), options);
    let time = |name: &str| {
        let entry = ran.totals.entries.iter().find(|entry| &*entry.id.name == name && entry.id.method == "WSR");
        entry.unwrap().response.max()
    };
    assert!(ran.totals.errors.is_empty(), "{:?}", ran.totals.errors);
    assert!(time("event") >= 300_000, "{}", time("event"));
    assert!(time("first") < 4_000_000, "it came while the user paused: {}", time("first"));
}

#[test]
fn users_in_rust_talk_too() {
    #[derive(Debug)]
    struct Talkers;
    struct Talker;
    impl UserClass for Talkers {
        fn user(&self, _: u64) -> Box<dyn User> {
            Box::new(Talker)
        }
    }
    impl User for Talker {
        fn on_start<'a>(&'a mut self, client: &'a mut Client) -> Step<'a> {
            Box::pin(async move {
                assert!(client.send_text("early", "say").await.is_err());
                client.open_socket("/ws", "/ws").await.unwrap();
            })
        }
        fn task<'a>(&'a mut self, client: &'a mut Client) -> Step<'a> {
            Box::pin(async move {
                client.send_text("two", "say").await.unwrap();
                let message = client.receive_message("echo", |message| message.body.ends_with(b"wo")).await.unwrap();
                assert_eq!(message.body, b"two");
            })
        }
        fn on_stop<'a>(&'a mut self, client: &'a mut Client) -> Step<'a> {
            Box::pin(client.close_socket())
        }
    }
    let routes = socket(|mut socket, _| async move {
        while let Some(Ok(Message::Text(text))) = socket.recv().await {
            let _ = socket.send(Message::Text("one".into())).await;
            let _ = socket.send(Message::Text(text)).await;
        }
    });
    let plan = Plan {
        host: format!("http://{}", start(routes)).parse().unwrap(),
        classes: vec![Class {
            name: "Talkers".to_owned(),
            weight: 1.0,
            wait: Wait::Constant(Span(Duration::from_millis(20))),
            behaviour: Behaviour::Rust(Arc::new(Talkers)),
        }],
        names: Vec::new(),
        data: Vec::new(),
        thresholds: Vec::new(),
        limits: Limits::default(),
    };
    let ran = Engine::new(plan, users(2, 600)).unwrap().run(&mut Nobody).unwrap();
    let rows: Vec<_> =
        ran.totals.sorted().iter().map(|entry| (entry.id.method, entry.id.name.to_string(), entry.failures)).collect();
    let expected = [("WS", "/ws".to_owned(), 0), ("WSR", "echo".to_owned(), 0), ("WSS", "say".to_owned(), 2)];
    assert_eq!(rows, expected);
    assert!(ran.totals.entries.iter().any(|entry| &*entry.id.name == "echo" && entry.requests > 2));
}

#[test]
fn pings_are_answered_while_a_user_rests() {
    let answered: Arc<Mutex<u32>> = Arc::default();
    let count = Arc::clone(&answered);
    let routes = socket(move |mut socket, _| {
        let count = Arc::clone(&count);
        async move {
            for _ in 0..3 {
                let _ = socket.send(Message::Ping(vec![7].into())).await;
                if matches!(socket.recv().await, Some(Ok(Message::Pong(content))) if content.as_ref() == [7]) {
                    *count.lock() += 1;
                }
            }
            let _ = socket.recv().await;
        }
    });
    let text = r#"
[[users]]
name = "Idle"
wait = { constant = "1h" }
[[users.tasks]]
ws = "/ws"
"#;
    run(text, start(routes), users(1, 1_500));
    assert_eq!(*answered.lock(), 3);
}

/// A server that answers the handshake as it should, with the bytes behind it.
fn raw(status: &'static str, proof: bool, after: &'static [u8]) -> SocketAddr {
    let (address, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let Ok(read @ 1..) = stream.read(&mut head).await else { return };
                    let head = String::from_utf8_lossy(&head[..read]).into_owned();
                    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
                    let accept = if proof { proof_of(key) } else { "x".to_owned() };
                    let answer =
                        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
                    let _ = stream.write_all(&[answer.as_bytes(), after].concat()).await;
                    while matches!(stream.read(&mut vec![0; 4096]).await, Ok(1..)) {}
                });
            }
        });
    });
    port.recv().unwrap()
}

fn proof_of(key: &str) -> String {
    let hashed = ring::digest::digest(
        &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    data_encoding::BASE64.encode(hashed.as_ref())
}

#[test]
fn servers_that_misbehave() {
    let text = r#"
timeout = "400ms"
max_answer = 1000
[[users]]
name = "Reader"
wait = { constant = "1h" }
[[users.tasks]]
steps = [{ ws = "/ws", name = "/ws" }, { receive = {}, name = "message" }]
"#;
    let ok = "101 Switching Protocols";
    for (status, proof, after, method, error) in [
        ("404 Not Found", true, &b""[..], "WS", "404 Not Found: no WebSocket was opened"),
        ("200 OK", true, b"", "WS", "200 OK: no WebSocket was opened"),
        (ok, false, b"", "WS", "the server does not prove that it speaks WebSocket (Sec-WebSocket-Accept)"),
        (ok, true, b"", "WSR", "no such message within 0.4 s"),
        (ok, true, b"\x88\x02\x03\xE9", "WSR", "the server closed the WebSocket (1001)"),
        (ok, true, b"\x81\x81abcd", "WSR", "malformed answer: a server's frame is masked"),
        (ok, true, b"\x81\x02\xFF\xFF", "WSR", "malformed answer: a text is no UTF-8"),
        (ok, true, b"\x80\x00", "WSR", "malformed answer: a piece of a message that has not begun"),
        (
            ok,
            true,
            b"\x82\x7E\x03\xE9",
            "WSR",
            "the answer is larger than 1000 bytes, which is all one may hold (max_answer)",
        ),
    ] {
        let ran = run(text, raw(status, proof, after), users(1, 1_200));
        let errors = ran.totals.errors_by_count();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!((errors[0].0.method, errors[0].1), (method, error));
    }
}

#[test]
fn mistakes_in_steps() {
    let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
    for (steps, message) in [
        (r#"{ ws = "ws" }"#, "the path `ws` must begin with /"),
        (r#"{ ws = "/", send = "x" }"#, "this one is several"),
        (r#"{ receive = {} }"#, "what is received needs a `name` for the reports, or `record = false`"),
        (r#"{ receive = { status = 200 }, name = "x" }"#, "there is no key `status` here"),
        (r#"{ receive = {}, name = "x", extract = { a = "header:b" } }"#, "has no headers to extract"),
        (r#"{ send = "{{ nobody }}" }"#, "nothing sets a variable `nobody`"),
        (r#"{ send = "x", headers = { a = "b" } }"#, "`headers` belong to `ws`"),
        (r#"{ ws = "/", extract = { a = "$.b" } }"#, "`extract` belongs to `receive`"),
        (r#"{ ws = "/", json = {} }"#, "belong to requests"),
        (r#"{ close = false }"#, "`close` is `true`, or left out"),
    ] {
        let text = format!("[[users]]\nname = \"A\"\n[[users.tasks]]\nsteps = [{steps}]\n");
        let error = plan(&text, nowhere, Choices::default()).unwrap_err().to_string();
        assert!(error.contains("test.toml:4:") && error.contains(message), "{steps}: {error}");
    }
    // Sending where nothing is open is the scenario's failure, and told as one.
    let host = start(Router::new());
    let text = "[[users]]\nname = \"A\"\nwait = { constant = \"1h\" }\n[[users.tasks]]\nsend = \"x\"\n";
    let ran = run(text, host, users(1, 500));
    let errors = ran.totals.errors_by_count();
    assert_eq!(errors[0].1, "no WebSocket is open: a step `ws` opens one");
}
