//! Who may call what, on a server that asks for tokens: every route and every frame, asked with every role.

use http::{Method, StatusCode};
use regatta_engine::tokens::mint;
use regatta_model::Timestamp;
use regatta_model::token::TokenRow;
use regatta_model::words::TokenRole;
use regatta_server::Options;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, Socket, soon, step};

/// A server with a token for each role: two workers' tokens, each with a worker of its own.
struct Farm {
    rig: Rig,
    user: Token,
    viewer: Token,
    /// Whose worker has a subtask leased.
    worker: Token,
    other: Token,
    revoked: Token,
    worker_id: String,
    other_id: String,
}

struct Token {
    row: TokenRow,
    secret: String,
}

async fn token(rig: &Rig, role: TokenRole) -> Token {
    let (row, secret) = mint(role, "a test's", Timestamp(1)).unwrap();
    rig.engine.store().add_token(row.clone()).await.unwrap();
    Token { row, secret: secret.expose().to_owned() }
}

impl Farm {
    async fn start() -> Self {
        let rig = Rig::beyond_loopback(Options::default()).await;
        let user = token(&rig, TokenRole::User).await;
        let viewer = token(&rig, TokenRole::Viewer).await;
        let worker = token(&rig, TokenRole::Worker).await;
        let other = token(&rig, TokenRole::Worker).await;
        let revoked = token(&rig, TokenRole::User).await;
        rig.engine.store().revoke_token(revoked.row.id, Timestamp(2)).await.unwrap();
        let mut farm =
            Self { rig, user, viewer, worker, other, revoked, worker_id: String::new(), other_id: String::new() };
        farm.worker_id = farm.register(&farm.worker, "m-1").await.text("worker_id");
        farm.other_id = farm.register(&farm.other, "m-2").await.text("worker_id");
        farm
    }

    async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = self.rig.http.request(Method::from_bytes(method.as_bytes()).unwrap(), self.rig.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.rig.send(request).await
    }

    async fn register(&self, token: &Token, machine: &str) -> Answer {
        let body = json!({"machine_id": machine, "machine_name": machine, "system_info": {}, "tools": ["command"]});
        self.call("POST", "/api/v1/workers/register", Some(&token.secret), Some(body)).await
    }

    /// A worker's line, opened with a token.
    async fn line(&self, token: &Token, worker: &str) -> Result<Socket, StatusCode> {
        self.socket(&format!("/api/v1/workers/{worker}/ws"), Some(&token.secret)).await
    }

    async fn socket(&self, path: &str, token: Option<&str>) -> Result<Socket, StatusCode> {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&'static str, &str)> =
            bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        self.rig.try_socket(path, &headers).await.map_err(|(status, _)| status)
    }

    /// A task whose first subtask the first worker runs over its line.
    async fn running(&self, line: &mut Socket) -> Value {
        let body = json!({"description": "Count the words of a folder", "task_type": "custom",
            "subtasks": [step("a", &[]), step("b", &["a"])]});
        self.call("POST", "/api/v1/tasks", Some(&self.user.secret), Some(body)).await.is(StatusCode::CREATED);
        line.assignment().await
    }
}

/// What a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Public,
    Read,
    Change,
    /// Registers, or speaks of a subtask: what is said is judged by the body.
    Worker,
    OwnWorker,
}

/// Written down a second time, apart from the server's own table.
fn class(method: &str, path: &str) -> Option<Class> {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    Some(match (method, path) {
        ("GET", "/health" | "/health/live" | "/health/ready") => Class::Public,
        ("GET", "/" | "/tasks/new" | "/workers/new" | "/assets/nothing.js") => Class::Public,
        ("POST", "/workers/register") => Class::Worker,
        ("POST", "/subtasks/{subtask_id}/result" | "/subtasks/{subtask_id}/progress") => Class::Worker,
        ("POST", "/subtasks/{subtask_id}/log" | "/subtasks/{subtask_id}/logs") => Class::Worker,
        ("POST", "/workers/{worker_id}/heartbeat" | "/workers/{worker_id}/unregister") => Class::OwnWorker,
        ("POST", "/workers/{worker_id}/poll" | "/workers/{worker_id}/tasks/{subtask_id}/result") => Class::OwnWorker,
        ("GET", "/workers/{worker_id}/tasks" | "/workers/{worker_id}/ws") => Class::OwnWorker,
        ("GET", "/health/detailed" | "/metrics" | "/openapi.json" | "/stats") => Class::Read,
        ("GET", "/docs" | "/docs/" | "/docs/index.html" | "/problems/forbidden") => Class::Read,
        ("GET", "/workers" | "/workers/{worker_id}" | "/tasks" | "/tasks/{task_id}") => Class::Read,
        ("GET", "/tasks/{task_id}/progress" | "/tasks/{task_id}/subtasks") => Class::Read,
        ("GET", "/tasks/{task_id}/ready-subtasks" | "/tasks/{task_id}/logs" | "/tasks/{task_id}/events") => Class::Read,
        ("GET", "/subtasks/{subtask_id}" | "/ws" | "/ws/tasks/{task_id}/logs") => Class::Read,
        ("POST", "/workers/{worker_id}/drain" | "/workers/{worker_id}/undrain") => Class::Change,
        ("DELETE", "/workers/{worker_id}" | "/tasks/{task_id}") => Class::Change,
        ("POST", "/tasks" | "/tasks/batch" | "/tasks/cancel" | "/tasks/retry") => Class::Change,
        ("POST", "/tasks/{task_id}/decompose" | "/tasks/{task_id}/allocate") => Class::Change,
        ("POST", "/tasks/{task_id}/cancel" | "/tasks/{task_id}/retry") => Class::Change,
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_asks_every_role() {
    let farm = Farm::start().await;
    let mut line = farm.line(&farm.worker, &farm.worker_id).await.unwrap();
    let assignment = farm.running(&mut line).await;
    let document = farm.call("GET", "/openapi.json", Some(&farm.viewer.secret), None).await.json();
    let mut routes: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        routes.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let console = ["/", "/tasks/new", "/workers/new", "/assets/nothing.js"];
    for path in
        ["/openapi.json", "/docs", "/docs/", "/docs/index.html", "/problems/forbidden"].into_iter().chain(console)
    {
        routes.push(("GET".to_owned(), path.to_owned()));
    }
    assert!(routes.len() > 40, "{}", routes.len());
    let wrong = format!("rgu_{}", "0".repeat(64));
    let mut faults = Vec::new();
    for (method, route) in &routes {
        let Some(class) = class(method, route) else { panic!("{method} {route} is not in this test's table") };
        let path = route
            .replace("{worker_id}", &farm.worker_id)
            .replace("{task_id}", assignment["task_id"].as_str().unwrap())
            .replace("{subtask_id}", assignment["subtask_id"].as_str().unwrap());
        let open = class == Class::Public;
        let works = matches!(class, Class::Worker | Class::OwnWorker);
        // In an order in which a call that is let in takes nothing away from the later ones.
        let callers = [
            ("nobody", None, open, 401),
            ("a wrong token", Some(&wrong), open, 401),
            ("a revoked token", Some(&farm.revoked.secret), open, 401),
            ("a viewer", Some(&farm.viewer.secret), open || class == Class::Read, 403),
            ("another worker", Some(&farm.other.secret), open || class == Class::Worker, 403),
            ("the worker", Some(&farm.worker.secret), open || works, 403),
            ("a user", Some(&farm.user.secret), true, 403),
        ];
        for (who, token, allowed, refusal) in callers {
            // An empty object fits no call that changes something, so none of them goes through.
            let body = (method == "POST").then(|| json!({}));
            let answer = farm.call(method, &path, token.map(String::as_str), body).await;
            let let_in = !matches!(answer.status.as_u16(), 401 | 403 | 429);
            // Wrong tokens are slowed after a while, which is no way in either.
            let slowed = answer.status.as_u16() == 429 && refusal == 401 && token.is_some();
            if let_in != allowed || !let_in && answer.status.as_u16() != refusal && !slowed {
                faults.push(format!("{method} {route} as {who}: {}", answer.status));
            }
            if answer.status == StatusCode::UNAUTHORIZED && answer.header("www-authenticate").is_none() {
                faults.push(format!("{method} {route} as {who}: no WWW-Authenticate"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // What has no route tells nothing to who shows no token.
    farm.call("GET", "/api/v1/nothing", None, None).await.is(StatusCode::UNAUTHORIZED);
    farm.call("GET", "/api/v1/nothing", Some(&farm.viewer.secret), None).await.is(StatusCode::NOT_FOUND);
    farm.call("PUT", "/api/v1/tasks", None, None).await.is(StatusCode::UNAUTHORIZED);
    farm.call("PUT", "/api/v1/tasks", Some(&farm.user.secret), None).await.is(StatusCode::METHOD_NOT_ALLOWED);
}

/// The words that tell the frames of a schema apart.
fn words(document: &Value, schema: &str, field: &str) -> Vec<String> {
    let variants = document["components"]["schemas"][schema]["oneOf"].as_array().unwrap();
    let found: Vec<String> = variants
        .iter()
        .map(|variant| {
            let parts = variant.get("allOf").and_then(Value::as_array).map_or(std::slice::from_ref(variant), |all| all);
            let word = parts.iter().find_map(|part| part["properties"][field]["enum"][0].as_str());
            word.unwrap_or_else(|| panic!("{variant} has no {field}")).to_owned()
        })
        .collect();
    assert!(found.len() > 2, "{found:?}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_of_a_line_speaks_only_of_what_its_worker_holds() {
    let farm = Farm::start().await;
    let mut line = farm.line(&farm.worker, &farm.worker_id).await.unwrap();
    let held = farm.running(&mut line).await;
    for (who, token) in [("a viewer", &farm.viewer), ("another worker", &farm.other)] {
        assert_eq!(farm.line(token, &farm.worker_id).await.err(), Some(StatusCode::FORBIDDEN), "{who}");
    }
    let path = format!("/api/v1/workers/{}/ws", farm.worker_id);
    for wrong in [None, Some("rgw_0"), Some(farm.revoked.secret.as_str())] {
        assert_eq!(farm.socket(&path, wrong).await.err(), Some(StatusCode::UNAUTHORIZED));
    }

    // The other worker, over its own line, with a lease that it has seen somewhere.
    let mut thief = farm.line(&farm.other, &farm.other_id).await.unwrap();
    assert_eq!(thief.next().await["type"], "connected");
    let document = farm.call("GET", "/openapi.json", Some(&farm.viewer.secret), None).await.json();
    let stolen = json!({"subtask_id": held["subtask_id"], "lease": held["lease"]});
    let with = |extra: Value| {
        let mut data = stolen.clone();
        data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        data
    };
    for word in words(&document, "WorkerFrame", "type") {
        let (frame, expected) = match word.as_str() {
            "resume" => (json!({"type": word, "running": [stolen]}), Some("resumed")),
            "ack" => (with(json!({"type": word})), None),
            "status" => (json!({"type": word, "data": {"status": "busy", "running": [stolen]}}), None),
            "log" => (json!({"type": word, "data": with(json!({"level": "info", "message": "m"}))}), Some("error")),
            "progress" => (json!({"type": word, "data": with(json!({"progress": 50}))}), Some("error")),
            "result" => {
                (json!({"type": word, "data": with(json!({"status": "completed", "result": {}}))}), Some("result_ack"))
            }
            "task_rejected" => (with(json!({"type": word, "reason": "mine"})), None),
            "ping" => (json!({"type": word}), Some("pong")),
            "pong" => (json!({"type": word}), None),
            other => panic!("the frame {other} is not in this test's table"),
        };
        thief.send(frame).await;
        match expected {
            Some(kind) => {
                let answer = thief.next().await;
                assert_eq!(answer["type"], kind, "{word}: {answer}");
                match kind {
                    "result_ack" => assert_eq!(answer["accepted"], false, "{answer}"),
                    "resumed" => assert_eq!(answer["kept"], json!([]), "{answer}"),
                    _ => {}
                }
            }
            None => {
                thief.send(json!({"type": "ping"})).await;
                assert_eq!(thief.next_of("pong").await["type"], "pong", "{word}");
            }
        }
    }
    // The holder noticed nothing of it.
    let done = line.complete(&held, json!({"n": 1})).await;
    assert_eq!(done["accepted"], true, "{done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_action_of_a_watcher_is_for_who_may_read() {
    let farm = Farm::start().await;
    let mut line = farm.line(&farm.worker, &farm.worker_id).await.unwrap();
    let held = farm.running(&mut line).await;
    let task = held["task_id"].as_str().unwrap();
    let document = farm.call("GET", "/openapi.json", Some(&farm.viewer.secret), None).await.json();
    let logs = format!("/api/v1/ws/tasks/{task}/logs");
    for path in [logs.as_str(), "/api/v1/ws"] {
        assert_eq!(farm.socket(path, None).await.err(), Some(StatusCode::UNAUTHORIZED), "{path}");
        for token in [&farm.worker, &farm.other] {
            let refused = farm.socket(path, Some(&token.secret)).await.err();
            assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{path}");
        }
    }
    for token in [&farm.viewer, &farm.user] {
        // As a browser does, which cannot give headers to a WebSocket.
        let mut socket = farm.socket(&format!("{logs}?from_seq=0&token={}", token.secret), None).await.unwrap();
        for word in words(&document, "LogsAction", "action") {
            socket.send(json!({"action": word, "task_id": task, "from_seq": 0})).await;
            let expected = match word.as_str() {
                "subscribe" => "subscribed",
                "unsubscribe" => "unsubscribed",
                "replay" => "history_start",
                "ping" => "pong",
                other => panic!("the action {other} is not in this test's table"),
            };
            socket.next_of(expected).await;
        }
        // Or so, which keeps it out of URLs; the answer names the subprotocol, without which a browser closes.
        let offer = format!("regatta, regatta.token.{}", token.secret);
        let mut socket =
            farm.rig.try_socket("/api/v1/ws", &[("sec-websocket-protocol", &offer)]).await.expect("a socket");
        for word in words(&document, "WatchAction", "action") {
            socket.send(json!({"action": word, "type": "tasks"})).await;
            let expected = match word.as_str() {
                "subscribe" => "subscribed",
                "unsubscribe" => "unsubscribed",
                "ping" => "pong",
                other => panic!("the action {other} is not in this test's table"),
            };
            socket.next_of(expected).await;
        }
    }
    // In the address of anything else a token would end up in logs and histories.
    let path = format!("/api/v1/tasks?token={}", farm.user.secret);
    farm.call("GET", &path, None, None).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workers_token_reports_only_on_what_its_own_worker_holds() {
    let farm = Farm::start().await;
    let mut line = farm.line(&farm.worker, &farm.worker_id).await.unwrap();
    let held = farm.running(&mut line).await;
    let id = held["subtask_id"].as_str().unwrap();
    let calls = [
        ("log", json!({"level": "info", "message": "m", "lease": held["lease"]}), 403, 201),
        ("logs", json!({"log_line": "m", "log_level": "info"}), 403, 201),
        ("progress", json!({"progress": 50, "lease": held["lease"]}), 409, 200),
        ("result", json!({"status": "completed", "result": {"by": "the holder"}, "lease": held["lease"]}), 409, 200),
    ];
    for (call, body, theirs, own) in calls {
        let path = format!("/api/v1/subtasks/{id}/{call}");
        let refused = farm.call("POST", &path, Some(&farm.other.secret), Some(body.clone())).await;
        assert_eq!(refused.status.as_u16(), theirs, "{call} {refused:?}");
        let taken = farm.call("POST", &path, Some(&farm.worker.secret), Some(body)).await;
        assert_eq!(taken.status.as_u16(), own, "{call} {taken:?}");
    }
    // A name that is not its own is not written under a line.
    let line = json!({"level": "info", "message": "whose?", "worker_id": farm.other_id});
    let path = format!("/api/v1/subtasks/{id}/log");
    farm.call("POST", &path, Some(&farm.worker.secret), Some(line)).await.is(StatusCode::CREATED);
    let task = held["task_id"].as_str().unwrap();
    let logs = farm.call("GET", &format!("/api/v1/tasks/{task}/logs"), Some(&farm.viewer.secret), None).await.json();
    let last = logs["logs"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["message"], &last["worker_id"]), (&json!("whose?"), &json!(farm.worker_id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lost_its_lease_may_still_write_lines_which_are_late() {
    let farm = Farm::start().await;
    let mut line = farm.line(&farm.worker, &farm.worker_id).await.unwrap();
    let held = farm.running(&mut line).await;
    let mut other = farm.line(&farm.other, &farm.other_id).await.unwrap();
    line.send(json!({"type": "task_rejected", "subtask_id": held["subtask_id"], "lease": held["lease"],
        "reason": "not now"}))
        .await;
    let again = other.assignment().await;
    assert_eq!(again["subtask_id"], held["subtask_id"]);
    let path = format!("/api/v1/subtasks/{}/log", held["subtask_id"].as_str().unwrap());
    let late = json!({"level": "info", "message": "late", "lease": held["lease"]});
    let taken = farm.call("POST", &path, Some(&farm.worker.secret), Some(late)).await;
    assert!(taken.is(StatusCode::CREATED).text("message").contains("over"), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_ends_what_was_opened_with_it_and_its_worker_may_come_back_with_another() {
    let farm = Farm::start().await;
    let mut line = farm.line(&farm.worker, &farm.worker_id).await.unwrap();
    let mut watcher = farm.socket("/api/v1/ws", Some(&farm.viewer.secret)).await.unwrap();
    // Another worker's token does not take a worker over while the first one counts; a user's does.
    let refused = farm.register(&farm.other, "m-1").await;
    assert!(refused.is(StatusCode::FORBIDDEN).contains("registered with another token"), "{refused:?}");

    // As another process would do it.
    for token in [&farm.worker, &farm.viewer] {
        assert!(farm.rig.engine.store().revoke_token(token.row.id, Timestamp(3)).await.unwrap());
    }
    assert_eq!(line.closed().await, Some(1008));
    assert_eq!(watcher.closed().await, Some(1008));
    farm.register(&farm.worker, "m-1").await.is(StatusCode::UNAUTHORIZED);
    farm.call("GET", "/api/v1/tasks", Some(&farm.viewer.secret), None).await.is(StatusCode::UNAUTHORIZED);

    let back = farm.register(&farm.other, "m-1").await;
    assert_eq!(back.is(StatusCode::OK).text("worker_id"), farm.worker_id);
    assert!(farm.line(&farm.other, &farm.worker_id).await.is_ok());
    farm.register(&farm.user, "m-1").await.is(StatusCode::OK);
    farm.register(&farm.other, "m-1").await.is(StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_slowed_and_good_ones_pass() {
    let farm = Farm::start().await;
    let wrong = format!("rgu_{}", "f".repeat(64));
    let slowed = soon("slowing down", async {
        loop {
            let answer = farm.call("GET", "/api/v1/tasks", Some(&wrong), None).await;
            assert!(!answer.contains(&wrong), "{answer:?}");
            if answer.status != StatusCode::UNAUTHORIZED {
                return answer;
            }
        }
    })
    .await;
    slowed.is(StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = slowed.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    farm.call("GET", "/api/v1/tasks", Some(&farm.viewer.secret), None).await.is(StatusCode::OK);
    farm.call("GET", "/api/v1/health", Some(&wrong), None).await.is(StatusCode::OK);
    // There is no other door to try at: not with another wrong one, nor as browsers show it to a WebSocket.
    let other = format!("rgw_{}", "e".repeat(64));
    farm.call("POST", "/api/v1/workers/register", Some(&other), None).await.is(StatusCode::TOO_MANY_REQUESTS);
    for path in [format!("/api/v1/ws?token={other}"), format!("/api/v1/workers/{}/ws?token={wrong}", farm.worker_id)] {
        assert_eq!(farm.socket(&path, None).await.err(), Some(StatusCode::TOO_MANY_REQUESTS), "{path}");
    }
    assert!(farm.socket("/api/v1/ws", Some(&farm.viewer.secret)).await.is_ok());
    let metrics = farm.call("GET", "/metrics", Some(&farm.viewer.secret), None).await;
    assert!(metrics.contains("regatta_auth_refused_total{reason=\"unknown\"}"), "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_carries_the_token_that_made_it_and_keys_are_each_callers_own() {
    let farm = Farm::start().await;
    let second = token(&farm.rig, TokenRole::User).await;
    let mut made = Vec::new();
    for token in [&farm.user, &second] {
        let request = farm
            .rig
            .http
            .post(farm.rig.url("/api/v1/tasks"))
            .bearer_auth(&token.secret)
            .header("Idempotency-Key", "one key")
            .json(&json!({"description": "Count the words of a folder", "task_type": "documentation"}));
        made.push(farm.rig.send(request).await.is(StatusCode::CREATED).text("task_id"));
    }
    assert_ne!(made[0], made[1]);
    for (task, token) in made.iter().zip([&farm.user, &second]) {
        let found = farm.call("GET", &format!("/api/v1/tasks/{task}"), Some(&farm.viewer.secret), None).await;
        assert_eq!(found.text("user_id"), token.row.id.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_everyone_may_do_everything_but_pages_of_other_places() {
    let rig = Rig::beyond_loopback(Options { insecure_no_auth: true, ..Options::default() }).await;
    let worker = rig.worker("m", 1).await;
    rig.get(&format!("/api/v1/workers/{worker}")).await.is(StatusCode::OK);
    let heartbeat = rig
        .http
        .post(rig.url(&format!("/api/v1/workers/{worker}/unregister")))
        .header("Origin", "http://elsewhere.example");
    rig.send(heartbeat).await.is(StatusCode::FORBIDDEN);
}
