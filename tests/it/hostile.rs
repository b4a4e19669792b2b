//! A worker that means harm: it speaks for others, floods, sends what is too large, and takes work that it cannot do.
//! It is refused, that is counted, and the fleet goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::http::{Answer, ask};
use crate::overload::status_kib;
use crate::rig::{Home, Platform, Process, until};
use crate::tokens::{EVERYWHERE, first_token};

/// The limit of a frame.
const FRAME_BYTES: usize = 10 * 1024 * 1024;
/// Frames of a flood.
const FLOOD: usize = 5_000;
/// So long is waited for anything; only a hang takes so long.
const HANG: Duration = Duration::from_secs(180);

type Line = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Who calls.
struct Caller<'a> {
    address: &'a str,
    token: &'a str,
}

impl Caller<'_> {
    fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str())];
        ask(self.address, method, &format!("/api/v1{path}"), &headers, body).unwrap()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, &Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// A figure of `/metrics`, summed over the labels that contain a text.
    fn counted(&self, name: &str, label: &str) -> f64 {
        let bearer = format!("Bearer {}", self.token);
        let metrics = ask(self.address, "GET", "/metrics", &[("Authorization", &bearer)], &Value::Null).unwrap();
        let lines = metrics.body.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// A line, or the status of what came instead.
    async fn line(&self, worker: &str) -> Result<Line, u16> {
        let url = format!("ws://{}/api/v1/workers/{worker}/ws?token={}", self.address, self.token);
        match tokio::time::timeout(HANG, tokio_tungstenite::connect_async(url)).await.unwrap() {
            Ok((line, _)) => Ok(line),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn say(line: &mut Line, frame: impl Into<String>) {
    tokio::time::timeout(HANG, line.send(Message::text(frame.into()))).await.unwrap().unwrap();
}

/// The next frame, or the code of the close.
async fn hear(line: &mut Line) -> Result<Value, Option<u16>> {
    loop {
        match tokio::time::timeout(HANG, line.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(None),
        }
    }
}

/// What is at stake: a subtask that an honest worker runs.
struct Stake {
    task: String,
    subtask: String,
    holder: String,
    machine: String,
}

/// Claims of other identities and results for others' subtasks, call by call.
fn claims_over_http(hostile: &Caller, stake: &Stake) {
    let Stake { task, subtask, holder, machine } = stake;
    let lease = "00000001deadbeef";
    let result = json!({"status": "completed", "result": {"by": "hostile"}});
    let mut leased = result.clone();
    leased["lease"] = json!(lease);
    let me = json!({"machine_id": machine, "machine_name": "n", "system_info": {}, "tools": ["command"],
        "running": [{"subtask_id": subtask, "lease": lease}]});
    let beat = json!({"status": "offline", "resources": {}, "running": []});
    let nothing = json!({});
    let calls: &[(&str, String, &Value, u16)] = &[
        ("POST", "/workers/register".into(), &me, 403),
        ("POST", format!("/workers/{holder}/heartbeat"), &beat, 403),
        ("POST", format!("/workers/{holder}/unregister"), &nothing, 403),
        ("POST", format!("/workers/{holder}/poll"), &json!({"slots": 1}), 403),
        ("GET", format!("/workers/{holder}/tasks"), &Value::Null, 403),
        ("POST", format!("/workers/{holder}/tasks/{subtask}/result"), &json!({"success": true, "output": {}}), 403),
        ("POST", format!("/workers/{holder}/drain"), &nothing, 403),
        ("DELETE", format!("/workers/{holder}"), &Value::Null, 403),
        ("POST", format!("/subtasks/{subtask}/result"), &result, 409),
        ("POST", format!("/subtasks/{subtask}/result"), &leased, 409),
        ("POST", format!("/subtasks/{subtask}/progress"), &json!({"progress": 99, "lease": lease}), 409),
        (
            "POST",
            format!("/subtasks/{subtask}/log"),
            &json!({"level": "info", "message": "m", "worker_id": holder}),
            403,
        ),
        ("POST", format!("/subtasks/{subtask}/logs"), &json!({"log_line": "m", "log_level": "info"}), 403),
        ("GET", "/tasks".into(), &Value::Null, 403),
        ("POST", "/tasks".into(), &json!({"description": "something of my own"}), 403),
        ("POST", format!("/tasks/{task}/cancel"), &nothing, 403),
    ];
    for (method, path, body, status) in calls {
        let answer = hostile.call(method, path, body);
        let kind = if *status == 403 { "forbidden" } else { "conflict" };
        assert_eq!(answer.status, *status, "{method} {path} {answer:?}");
        answer.is_problem(*status, kind);
    }
}

/// The same over its own line, then frames that are too large; counts the answers by type.
async fn claims_over_its_line(hostile: &Caller<'_>, own: &str, stake: &Stake) {
    let Stake { subtask, holder, .. } = stake;
    assert_eq!(hostile.line(holder).await.err(), Some(403));
    let mut line = hostile.line(own).await.unwrap();
    assert_eq!(hear(&mut line).await.unwrap()["type"], "connected");
    let stolen = json!({"subtask_id": subtask, "lease": "00000001deadbeef"});
    let with = |kind: &str, more: Value| {
        let mut data = stolen.clone();
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"type": kind, "data": data}).to_string()
    };
    let frames = [
        (with("result", json!({"status": "completed", "result": {"by": "hostile"}})), "result_ack"),
        (with("progress", json!({"progress": 99})), "error"),
        (with("log", json!({"level": "info", "message": "m", "worker_id": holder})), "error"),
        (json!({"type": "resume", "running": [stolen]}).to_string(), "resumed"),
        ("{\"type\": \"launch\"}".to_owned(), "error"),
        ("[".repeat(100_000), "error"),
        // As large as a frame may be, and nonsense.
        (format!("\"{}\"", "x".repeat(FRAME_BYTES - 2)), "error"),
    ];
    for (frame, expected) in frames {
        let shown = frame[..frame.len().min(100)].to_owned();
        say(&mut line, frame).await;
        let answer = hear(&mut line).await.unwrap();
        assert_eq!(answer["type"], expected, "{shown}: {answer}");
        match expected {
            "result_ack" => assert_eq!(answer["accepted"], false, "{answer}"),
            "resumed" => assert_eq!((&answer["kept"], &answer["dropped"]), (&json!([]), &json!([stolen])), "{answer}"),
            _ => {}
        }
    }
    for size in [FRAME_BYTES + 1, FRAME_BYTES + (8 << 20)] {
        let mut line = hostile.line(own).await.unwrap();
        assert_eq!(hear(&mut line).await.unwrap()["type"], "connected");
        // It may be closed before all of it was sent.
        let _ = tokio::time::timeout(HANG, line.send(Message::text("x".repeat(size)))).await.unwrap();
        let code = loop {
            match hear(&mut line).await {
                Ok(frame) => assert_eq!(frame["type"], "error"),
                Err(code) => break code,
            }
        };
        assert!(matches!(code, Some(1009) | None), "{size}: {code:?}");
    }
}

/// Offers a tool that it does not have and gives all work back, while it floods; the answers by type.
async fn flood(hostile: &Caller<'_>, own: &str, stake: &Stake, over: &AtomicBool) -> BTreeMap<String, u64> {
    let (mut out, mut incoming) = hostile.line(own).await.unwrap().split();
    let mut heard: BTreeMap<String, u64> = BTreeMap::new();
    let line = json!({"type": "log", "data": {"subtask_id": stake.subtask, "level": "info", "message": "x".repeat(2_000),
        "lease": "00000001deadbeef"}});
    let mut sent = 0;
    let reject = |frame: &Value| {
        let id = &frame["data"]["subtask_id"];
        json!({"type": "task_rejected", "subtask_id": id, "lease": frame["data"]["lease"], "reason": "no such tool here"})
    };
    while !over.load(Ordering::Relaxed) || heard.get("error").is_none_or(|&errors| errors < FLOOD as u64) {
        let next = if sent < FLOOD {
            tokio::select! {
                frame = incoming.next() => frame,
                sending = out.send(Message::text(line.to_string())) => {
                    sending.unwrap();
                    sent += 1;
                    continue;
                }
            }
        } else {
            match tokio::time::timeout(Duration::from_millis(100), incoming.next()).await {
                Ok(frame) => frame,
                Err(_) => continue,
            }
        };
        let Message::Text(text) = next.unwrap().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        *heard.entry(frame["type"].as_str().unwrap().to_owned()).or_default() += 1;
        if frame["type"] == "task_assignment" {
            out.send(Message::text(reject(&frame).to_string())).await.unwrap();
        }
    }
    heard
}

/// A line that asks and asks and never reads an answer.
async fn deaf(hostile: &Caller<'_>, own: &str, over: &AtomicBool) {
    let mut line = hostile.line(own).await.unwrap();
    while !over.load(Ordering::Relaxed) {
        let frame = json!({"type": "launch", "data": "x".repeat(1_000)}).to_string();
        // Held up by the server, which reads no more than it can answer.
        match tokio::time::timeout(Duration::from_millis(200), line.feed(Message::text(frame))).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return,
        }
    }
}

#[test]
fn a_hostile_worker_is_refused_and_counted_and_the_fleet_goes_on() {
    let platform = Platform::start(Home::new(), &["serve", "--listen", EVERYWHERE]);
    let (address, pid) = (platform.address(), platform.process.pid());
    let token = first_token(&platform.process.output());
    let user = Caller { address: &address, token: &token };
    let make = |name: &str| {
        let made = platform.run(&["token", "create", "--role", "worker", "--name", name, "--json"]).ok().json();
        made["token"].as_str().unwrap().to_owned()
    };
    let (honest_token, hostile_token) = (make("honest"), make("hostile"));
    let mut command = platform.command(&["worker", "--name", "honest", "--tools", "command", "--slots", "2"]);
    command.env("REGATTA_TOKEN", &honest_token);
    let mut honest = Process::start(command, platform.home.path("honest.log"));

    let submit = |line: &str| {
        let steps = json!([{"name": "a", "tool": "command", "input": {"argv": ["sh", "-c", line]}}]);
        let body = json!({"description": "Something to be done", "task_type": "custom", "subtasks": steps});
        let made = user.call("POST", "/tasks", &body);
        assert_eq!(made.status, 201, "{made:?}");
        serde_json::from_str::<Value>(&made.body).unwrap()["task_id"].as_str().unwrap().to_owned()
    };
    let go = platform.home.path("go");
    let task = submit(&format!("until [ -e {} ]; do sleep 0.05; done; echo '{{\"by\": \"honest\"}}'", go.display()));
    let stake = until("the honest worker to run it", || {
        let step = user.get(&format!("/tasks/{task}"))["subtasks"][0].clone();
        let holder = step["assigned_worker"].as_str()?.to_owned();
        let machine = user.get(&format!("/workers/{holder}"))["machine_id"].as_str().unwrap().to_owned();
        Some(Stake { task: task.clone(), subtask: step["subtask_id"].as_str().unwrap().to_owned(), holder, machine })
    });

    let hostile = Caller { address: &address, token: &hostile_token };
    let register = |machine: &str, tool: &str| {
        let body = json!({"machine_id": machine, "machine_name": machine, "system_info": {}, "tools": [tool],
            "slots": 100});
        let registered = hostile.call("POST", "/workers/register", &body);
        assert_eq!(registered.status, 200, "{registered:?}");
        serde_json::from_str::<Value>(&registered.body).unwrap()["worker_id"].as_str().unwrap().to_owned()
    };
    claims_over_http(&hostile, &stake);
    let own = register("hostile-1", "command");
    let deaf_one = register("hostile-2", "nothing");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(claims_over_its_line(&hostile, &own, &stake));

    let over = AtomicBool::new(false);
    let heard = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| runtime().block_on(flood(&hostile, &own, &stake, &over)));
        scope.spawn(|| runtime().block_on(deaf(&hostile, &deaf_one, &over)));
        // The fleet goes on meanwhile.
        let tasks: Vec<String> = (0..6).map(|number| submit(&format!("echo '{{\"number\": {number}}}'"))).collect();
        for (number, task) in tasks.iter().enumerate() {
            let done = until("a task to end", || {
                let found = user.get(&format!("/tasks/{task}"));
                (found["status"] != "in_progress").then_some(found)
            });
            assert_eq!(done["status"], "completed", "{done:#}");
            let step = user.get(&format!("/subtasks/{}", done["subtasks"][0]["subtask_id"].as_str().unwrap()));
            assert_eq!(step["output"]["number"], number, "{step:#}");
        }
        over.store(true, Ordering::Relaxed);
        flooding.join().unwrap()
    });
    println!("the flood was answered {heard:?}");
    assert_eq!(heard["error"], FLOOD as u64, "each line about another's subtask is refused: {heard:?}");

    std::fs::write(&go, "").unwrap();
    let done = until("what was at stake to end", || {
        let found = user.get(&format!("/tasks/{task}"));
        (found["status"] != "in_progress").then_some(found)
    });
    let step = user.get(&format!("/subtasks/{}", stake.subtask));
    assert_eq!((&done["status"], &step["output"]["by"]), (&json!("completed"), &json!("honest")), "{step:#}");
    assert_eq!(step["attempts"].as_array().unwrap().len(), 1, "its holder noticed nothing: {step:#}");
    let logs = user.get(&format!("/tasks/{task}/logs?limit=1000"));
    let foreign = logs["logs"].as_array().unwrap().iter().filter(|line| line["message"] != "").count();
    assert!(foreign < 100, "no line of the flood was kept: {foreign}");

    // Counted, by what was refused.
    assert!(user.counted("regatta_auth_refused_total", "not_own") >= 6.0);
    assert!(user.counted("regatta_auth_refused_total", "role") >= 4.0);
    assert!(user.counted("regatta_line_frames_refused_total", "forbidden") >= FLOOD as f64 / 2.0);
    assert!(user.counted("regatta_line_frames_refused_total", "too-large") >= 1.0);
    assert!(user.counted("regatta_line_frames_refused_total", "conflict") >= 1.0);
    assert!(honest.ended().is_none(), "{}", honest.output());
    let most = status_kib(pid, "VmHWM");
    println!("at most {most} KiB");
    assert!(most < 400 * 1024, "{most} KiB");
    assert!(!platform.process.output().contains("panicked"), "{}", platform.process.output());
}
