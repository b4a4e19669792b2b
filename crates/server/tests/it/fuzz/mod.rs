//! Thousands of spoiled requests and frames against a real server: whatever comes, the answer is one that the document
//! promises, nothing of ours breaks, and the server goes on.
//!
//! `REGATTA_FUZZ_CASES` says how many of each sort (default 1,500), `REGATTA_FUZZ_SEED` where the seeds begin; a case
//! that fails names its own.

mod mutate;

use std::collections::BTreeMap;

use http::Method;
use regatta_engine::tokens::mint;
use regatta_model::Timestamp;
use regatta_model::words::TokenRole;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Rig, Socket, soon, step};
use mutate::{Mutator, seeds};

/// Things that are there to be asked for.
struct Known {
    task: String,
    subtask: String,
    worker: String,
    lease: String,
}

impl Known {
    async fn new(rig: &Rig) -> (Self, Socket) {
        let (worker, mut line) = rig.line("known", 1).await;
        let task = rig.task(json!([step("One", &[]), step("Two", &["One"])])).await;
        let given = line.assignment().await;
        let text = |name: &str| given[name].as_str().unwrap().to_owned();
        (Self { task, subtask: text("subtask_id"), worker, lease: text("lease") }, line)
    }

    /// A good body for a call, to be spoiled.
    fn body(&self, path: &str) -> Value {
        let new_task = json!({"description": "Count the words of a folder", "task_type": "custom", "priority": "high",
            "requirements": {"a": 1}, "checkpoint_frequency": "low", "privacy_level": "sensitive", "tool_preferences": ["ollama"],
            "requires": {"os": "linux"}, "start": false, "start_at": "2030-01-01T00:00:00Z", "metadata": {"b": [1, 2]},
            "subtasks": [{"name": "a", "description": "A step", "tool": "command", "input": {"argv": ["true"]},
                "complexity": 2, "priority": 5, "timeout_seconds": 10, "max_attempts": 2, "requires": {"gpu": "no"}},
                {"name": "b", "depends_on": ["a"]}]});
        let running = json!([{"subtask_id": self.subtask, "lease": self.lease}]);
        match path.trim_start_matches("/api/v1") {
            "/tasks" => new_task,
            "/tasks/batch" => json!({"tasks": [new_task.clone(), new_task]}),
            "/tasks/cancel" | "/tasks/retry" => json!({"task_ids": [self.task, "x"]}),
            "/tasks/{task_id}/cancel" => json!({"reason": "enough"}),
            "/workers/register" => json!({"machine_id": "m", "machine_name": "n", "system_info": {"os": "linux"},
                "tools": ["command"], "labels": {"a": "b"}, "slots": 2, "reserved": true, "local_tools": ["x"],
                "running": running}),
            "/workers/{worker_id}/heartbeat" => {
                json!({"status": "busy", "resources": {"cpu_percent": 1.5, "memory_percent": 2,
                "disk_percent": 3, "gpu_percent": 4}, "current_task": "one", "running": running})
            }
            "/workers/{worker_id}/poll" => json!({"slots": 1, "wait_seconds": 0}),
            "/subtasks/{subtask_id}/result" => json!({"status": "failed", "result": {"a": 1}, "execution_time": 1.5,
                "error": "no", "exit_code": 1, "simulated": false, "lease": self.lease}),
            "/subtasks/{subtask_id}/log" => json!({"level": "info", "message": "a line", "metadata": {"a": 1},
                "lease": self.lease, "worker_id": self.worker}),
            "/subtasks/{subtask_id}/progress" => json!({"progress": 50, "message": "half", "lease": self.lease}),
            "/workers/{worker_id}/tasks/{subtask_id}/result" => {
                json!({"success": true, "output": {"a": 1}, "error": null, "metadata": {"b": 2}})
            }
            "/subtasks/{subtask_id}/logs" => json!({"log_line": "a line", "log_level": "INFO", "metadata": {"a": 1}}),
            _ => json!({}),
        }
    }

    fn id(&self, parameter: &str) -> &str {
        match parameter {
            "task_id" => &self.task,
            "subtask_id" => &self.subtask,
            "worker_id" => &self.worker,
            _ => "x",
        }
    }
}

/// A call of the document: its method, its path with parameters in it, and the operation.
type Call = (Method, String, Value);

fn calls(document: &Value) -> Vec<Call> {
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // WebSockets have their own test, and nobody is to be made to wait.
            if !path.ends_with("/ws") && !path.contains("/ws/") {
                calls.push((method, path.clone(), operation.clone()));
            }
        }
    }
    calls
}

/// A path with its parameters filled in, and a query, now and then spoiled.
fn target(call: &Call, known: &Known, mutator: &mut Mutator) -> String {
    let (_, path, operation) = call;
    let mut target = path.clone();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        if parameter["in"] == "path" {
            let word = mutator.word(known.id(name));
            target = target.replace(&format!("{{{name}}}"), &word);
        } else if parameter["in"] == "query" && name != "wait_seconds" && mutator.one_in(3) {
            query.push(format!("{name}={}", mutator.word("1")));
        }
    }
    if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_brings_an_answer_that_the_document_does_not_promise() {
    let rig = Rig::start().await;
    let (known, _line) = Known::new(&rig).await;
    let document = rig.get("/openapi.json").await.json();
    let calls = calls(&document);
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    let mut unpromised: BTreeMap<String, String> = BTreeMap::new();
    for seed in seeds() {
        let mut mutator = Mutator::new(seed);
        let call = mutator.pick(&calls).clone();
        let (method, path, operation) = &call;
        let url = rig.url(&target(&call, &known, &mut mutator));
        let mut request = rig.http.request(method.clone(), &url);
        let mut body = Vec::new();
        if method == Method::POST {
            body = mutator.spoiled(&known.body(path));
            let kind = if mutator.one_in(20) { "text/plain" } else { "application/json" };
            request = request.header("content-type", kind).body(body.clone());
            if mutator.one_in(6) {
                request = request.header("idempotency-key", format!("key-{}", mutator.below(5)));
            }
        }
        let answer = rig.send(request).await;
        let status = answer.status.as_u16();
        let told = || {
            let sent = String::from_utf8_lossy(&body[..body.len().min(600)]).into_owned();
            let got = String::from_utf8_lossy(&answer.bytes[..answer.bytes.len().min(600)]).into_owned();
            format!("seed {seed}: {method} {url} {sent}\n{status} {got}")
        };
        assert!(status < 500, "{}", told());
        // A path that was spoiled may be another's, or nobody's.
        let promised = !operation["responses"][status.to_string()].is_null() || matches!(status, 404 | 405 | 414);
        if !promised {
            unpromised.entry(format!("{method} {path} {status}")).or_insert_with(told);
        }
        if status >= 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", told());
            let problem = answer.json();
            assert_eq!(problem["status"], status, "{}", told());
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{}", told());
            if status == 422 {
                assert!(problem["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{}", told());
            }
        }
        *seen.entry(status).or_default() += 1;
    }
    println!("{} calls, answered {seen:?}", seeds().count());
    assert!(seen.contains_key(&200) && seen.contains_key(&422) && seen.contains_key(&404), "{seen:?}");
    assert!(unpromised.is_empty(), "answers that the document does not promise: {unpromised:#?}");
    rig.get("/api/v1/health").await.is(http::StatusCode::OK);
    // What was there before is there still.
    let total = rig.get("/api/v1/tasks?limit=1").await.json()["total"].as_u64().unwrap();
    assert!(total >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_breaks_a_line() {
    let rig = Rig::start().await;
    let (known, line) = Known::new(&rig).await;
    drop(line);
    let running = json!([{"subtask_id": known.subtask, "lease": known.lease}]);
    let with = |kind: &str, path: &str| {
        let mut data = known.body(path);
        data["subtask_id"] = json!(known.subtask);
        json!({"type": kind, "data": data})
    };
    let lines: Vec<(String, Vec<Value>, Value)> = vec![
        (
            format!("/api/v1/workers/{}/ws", known.worker),
            vec![
                json!({"type": "resume", "running": running}),
                json!({"type": "ack", "subtask_id": known.subtask, "lease": known.lease}),
                json!({"type": "status", "data": known.body("/workers/{worker_id}/heartbeat")}),
                with("log", "/subtasks/{subtask_id}/log"),
                with("progress", "/subtasks/{subtask_id}/progress"),
                with("result", "/subtasks/{subtask_id}/result"),
                json!({"type": "task_rejected", "subtask_id": known.subtask, "reason": "no", "worker_id": known.worker}),
                json!({"type": "pong", "worker_id": known.worker}),
            ],
            json!({"type": "ping"}),
        ),
        (
            format!("/api/v1/ws/tasks/{}/logs", known.task),
            vec![
                json!({"action": "subscribe", "task_id": known.task, "from_seq": 0}),
                json!({"action": "replay", "task_id": known.task, "from_seq": 1, "limit": 10}),
                json!({"action": "unsubscribe", "task_id": known.task}),
            ],
            json!({"action": "ping"}),
        ),
        (
            "/api/v1/ws".to_owned(),
            vec![
                json!({"action": "subscribe", "type": "task", "task_id": known.task, "from_seq": 1}),
                json!({"action": "subscribe", "type": "tasks"}),
                json!({"action": "subscribe", "type": "worker", "worker_id": known.worker}),
                json!({"action": "unsubscribe", "type": "workers"}),
            ],
            json!({"action": "ping"}),
        ),
    ];
    for (path, frames, ping) in lines {
        let mut socket = rig.socket(&path).await;
        for seed in seeds() {
            let mut mutator = Mutator::new(seed);
            let good = mutator.pick(&frames).clone();
            let bytes = mutator.spoiled(&good);
            match String::from_utf8(bytes) {
                Ok(text) => socket.send_text(&text).await,
                // A text frame must be UTF-8; tungstenite would not send it.
                Err(error) => socket.send_text(&String::from_utf8_lossy(error.as_bytes())).await,
            }
            // Answered or not, the line goes on; asked now and then, since an answer may be long.
            if seed % 16 == 0 {
                socket.send(ping.clone()).await;
                loop {
                    match socket.next_or_close().await {
                        Ok(frame) if frame["type"] == "pong" => break,
                        Ok(_) => {}
                        Err(code) => panic!("{path} was closed with {code:?} at seed {seed} or up to 16 before"),
                    }
                }
            }
        }
    }
    rig.get("/api/v1/health").await.is(http::StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_break_a_connection_but_their_own() {
    let rig = Rig::start().await;
    let address = rig.handle.url().trim_start_matches("http://").to_owned();
    let good = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
         Connection: close\r\n\r\n{{}}"
    );
    let mut answered = 0_u64;
    for seed in seeds() {
        let mut mutator = Mutator::new(seed);
        let mut bytes = good.clone().into_bytes();
        mutator.spoil_bytes(&mut bytes);
        let mut stream = soon("a connection", tokio::net::TcpStream::connect(&address)).await.unwrap();
        // It may close before it has read everything.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = soon("the end of a connection", stream.read_to_end(&mut answer)).await;
        if !answer.is_empty() {
            assert!(answer.starts_with(b"HTTP/1."), "seed {seed}: {}", String::from_utf8_lossy(&answer));
            let text = String::from_utf8_lossy(&answer);
            let status: u16 = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
            assert!((200..500).contains(&status) || status == 501 || status == 505, "seed {seed}: {text}");
            answered += 1;
        }
    }
    println!("{} heads, {answered} answered", seeds().count());
    assert!(answered > 0);
    rig.get("/api/v1/health").await.is(http::StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cursor_brings_anything_but_a_page_or_a_refusal() {
    let rig = Rig::start().await;
    for _ in 0..3 {
        rig.task(json!([step("One", &[]), step("Two", &["One"]), step("Three", &["Two"])])).await;
    }
    for name in ["a", "b", "c"] {
        rig.worker(name, 1).await;
    }
    let task = rig.get("/api/v1/tasks?limit=1").await.json()["tasks"][0]["task_id"].as_str().unwrap().to_owned();
    let lists = [
        ("/api/v1/tasks".to_owned(), "tasks"),
        ("/api/v1/workers".to_owned(), "workers"),
        (format!("/api/v1/tasks/{task}/subtasks"), "subtasks"),
    ];
    let mut cursors = Vec::new();
    for (list, _) in &lists {
        cursors.push(rig.get(&format!("{list}?limit=1")).await.text("next_cursor"));
    }
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    for seed in seeds() {
        let mut mutator = Mutator::new(seed);
        let (list, items) = mutator.pick(&lists).clone();
        // Now and then another list's, whole.
        let mut bytes = mutator.pick(&cursors).clone().into_bytes();
        if !mutator.one_in(4) {
            mutator.spoil_bytes(&mut bytes);
        }
        let cursor: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
        let answer = rig.get(&format!("{list}?limit=1&cursor={cursor}")).await;
        match answer.status.as_u16() {
            200 => assert!(answer.json()[items].as_array().unwrap().len() <= 1, "seed {seed}: {answer:?}"),
            422 => assert_eq!(answer.fields(), ["cursor"], "seed {seed}: {answer:?}"),
            _ => panic!("seed {seed}: {answer:?}"),
        }
        *seen.entry(answer.status.as_u16()).or_default() += 1;
    }
    println!("{} cursors, answered {seen:?}", seeds().count());
    assert!(seen.contains_key(&200) && seen.contains_key(&422), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spoiled_token_lets_anyone_in() {
    let rig = Rig::beyond_loopback(regatta_server::Options::default()).await;
    let mut good = Vec::new();
    for role in [TokenRole::User, TokenRole::Worker, TokenRole::Viewer] {
        let (row, secret) = mint(role, "a test's", Timestamp(1)).unwrap();
        rig.engine.store().add_token(row).await.unwrap();
        good.push(secret.expose().to_owned());
    }
    let mut address = rig.handle.addresses()[0];
    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    for seed in seeds() {
        let mut mutator = Mutator::new(seed);
        let secret = mutator.pick(&good).clone();
        let mut bytes = format!("Bearer {secret}").into_bytes();
        mutator.spoil_bytes(&mut bytes);
        // What ends a header, or begins another, is another test's.
        bytes.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        // The scheme's letters and white space around the header do not make it another token.
        let shown = String::from_utf8_lossy(&bytes).trim().to_owned();
        let (scheme, rest) = shown.split_once(' ').unwrap_or((&shown, ""));
        if scheme.eq_ignore_ascii_case("bearer") && good.iter().any(|good| good == rest.trim()) {
            continue;
        }
        let mut stream = soon("a connection", tokio::net::TcpStream::connect(address)).await.unwrap();
        let head = "GET /api/v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: ";
        let request = [head.as_bytes(), &bytes, b"\r\n\r\n"].concat();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("an answer", stream.read_to_end(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer);
        let status: u16 = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        assert!(matches!(status, 400 | 401 | 429), "seed {seed}: {shown:?}: {text}");
        assert!(!text.contains(&secret[4..]), "seed {seed}: {text}");
        *seen.entry(status).or_default() += 1;
    }
    println!("{} tokens, answered {seen:?}", seeds().count());
    assert!(seen.contains_key(&401) && seen.contains_key(&429), "{seen:?}");
}
