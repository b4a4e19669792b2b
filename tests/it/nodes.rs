//! Several servers on one PostgreSQL, as real processes: one system, whichever of them is asked, and whichever of them dies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use regatta_client::{Client, Options, RetryPolicy};
use regatta_services::{Database, Postgres, Redis, Stop, database};
use rustix::process::Signal;
use serde_json::json;

use crate::http::call;
use crate::rig::{Home, Platform, Process, lines, until};

/// A server on this database.
fn node(url: &str) -> Platform {
    Platform::start(Home::new(), &["serve", "--listen", "localhost:0", "--database", url])
}

fn nodes<const N: usize>(database: &Database) -> [Platform; N] {
    std::array::from_fn(|_| node(database.url()))
}

/// Waits until a node knows of the worker with this name.
fn sees(node: &Platform, worker: &str) {
    until("the worker", || {
        let list = node.run(&["workers", "list", "--json"]);
        (list.code == Some(0) && list.stdout.contains(worker)).then_some(())
    });
}

#[test]
fn two_nodes_are_one_system() {
    let Some(database) = database("nodes::two_nodes_are_one_system") else { return };
    let [first, second] = nodes(&database);
    let _worker = first.worker("at the first");
    sees(&second, "at the first");
    // Watched over a WebSocket of the node at which the worker is not.
    let watched = second.run(&["task", "submit", "--watch", "--", "sh", "-c", "echo said; echo '{\"n\":7}'"]).ok();
    assert!(watched.stdout.contains("said") && watched.stdout.contains("\"n\": 7"), "{watched:?}");
    // Long enough for news of it to be too long for a notification.
    let long = format!("seq 1 2000; echo '{{\"text\":\"{}\"}}'", "x".repeat(9_000));
    let watched = second.run(&["task", "submit", "--watch", "--", "sh", "-c", &long]).ok();
    assert!(watched.stdout.contains("2000"), "{watched:?}");
    // What runs at one node is stopped by a word at the other.
    let id = second.submit_shell("sleep 600");
    until("it runs", || (first.task(&id)["subtasks"][0]["status"] == "in_progress").then_some(()));
    second.run(&["task", "cancel", &id]).ok();
    until("its process is stopped", || {
        let worker = first.run(&["workers", "list", "--json"]).ok().json();
        (worker[0]["busy_slots"] == 0 || worker["workers"][0]["busy_slots"] == 0).then_some(())
    });
}

#[test]
fn a_node_that_is_killed_takes_nothing_with_it() {
    let Some(database) = database("nodes::a_node_that_is_killed") else { return };
    let [mut first, second] = nodes(&database);
    let _worker = second.worker("at the second");
    sees(&second, "at the second");
    let ids: Vec<String> = (0..8).map(|n| first.submit_shell(&format!("sleep 0.2; echo '{{\"n\":{n}}}'"))).collect();
    first.process.kill();
    for (n, id) in ids.iter().enumerate() {
        let task = second.ended(id);
        assert_eq!(task["status"], "completed", "{task}");
        assert_eq!(task["subtasks"][0]["attempt"], 1, "{n}: done once: {task}");
    }
}

/// A worker that knows all these servers.
fn worker_of(home: &Home, nodes: &[&Platform], name: &str) -> Process {
    let servers: Vec<&str> = nodes.iter().map(|node| node.url.as_str()).collect();
    let servers = servers.join(",");
    let arguments = ["worker", "--server", &servers, "--name", name, "--tools", "command", "--slots", "4"];
    Process::start(home.regatta(arguments), home.path(&format!("{name}.log")))
}

#[test]
fn a_worker_whose_node_is_killed_goes_on_at_another() {
    let Some(database) = database("nodes::a_worker_whose_node_is_killed") else { return };
    let [mut first, second] = nodes(&database);
    let home = Home::new();
    let _worker = worker_of(&home, &[&first, &second], "knows both");
    sees(&second, "knows both");
    let marks = home.path("marks");
    let line = format!("echo x >> {}; sleep 3; echo '{{\"n\":1}}'", marks.display());
    let id = second.submit_shell(&line);
    until("it runs", || (lines(&marks) == 1).then_some(()));
    first.process.kill();
    let task = second.ended(&id);
    assert_eq!((&task["status"], &task["subtasks"][0]["attempt"]), (&"completed".into(), &1.into()), "{task}");
    // And it takes new work there.
    let next = second.submit_shell(&line);
    assert_eq!(second.ended(&next)["status"], "completed");
    assert_eq!(lines(&marks), 2, "each ran once");
}

/// Submits through a client that knows all servers until it is over; every call must come through.
fn submits(servers: String, over: &AtomicBool) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let retry = RetryPolicy::within(Duration::from_secs(120));
        let client = Client::new(Options { server: servers, retry, ..Options::default() }).unwrap();
        let mut ids = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let step = json!({"name": "a", "tool": "command", "input": {"argv": ["sh", "-c", "sleep 0.2"]}});
            let task = json!({"description": "While servers restart", "task_type": "custom", "subtasks": [step]});
            let made = client.submit(&serde_json::from_value(task).unwrap()).await;
            ids.push(made.expect("no call fails").task_id.to_string());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ids
    })
}

#[test]
fn a_rolling_restart_fails_no_call_and_repeats_no_work() {
    let Some(database) = database("nodes::a_rolling_restart") else { return };
    let mut nodes: Vec<Option<Platform>> = nodes::<3>(&database).into_iter().map(Some).collect();
    let urls: Vec<String> = nodes.iter().flatten().map(|node| node.url.clone()).collect();
    let home = Home::new();
    let workers = ["w0", "w1"].map(|name| worker_of(&home, &nodes.iter().flatten().collect::<Vec<_>>(), name));
    sees(nodes[0].as_ref().unwrap(), "w1");
    let over = AtomicBool::new(false);
    let ids: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|number| {
                let mut servers = urls.clone();
                servers.rotate_left(number);
                let over = &over;
                scope.spawn(move || submits(servers.join(","), over))
            })
            .collect();
        for node in &mut nodes {
            let stopping = node.take().unwrap();
            let address = stopping.address();
            let (status, home) = stopping.stop();
            assert!(status.success(), "{status}");
            let arguments = ["serve", "--listen", &address, "--database", database.url()];
            *node = Some(Platform::start(home, &arguments));
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    for id in &ids {
        let task = nodes[2].as_ref().unwrap().ended(id);
        assert_eq!((&task["status"], &task["subtasks"][0]["attempt"]), (&"completed".into(), &1.into()), "{task}");
    }
    drop(workers);
}

#[test]
fn a_database_that_restarts_is_found_again_by_its_nodes() {
    let Some(mut server) = Postgres::start_with("nodes::a_database_that_restarts", &["fsync=on"], &[]) else { return };
    let nodes = [node(&server.url()), node(&server.url())];
    let _worker = nodes[0].worker("the worker");
    sees(&nodes[1], "the worker");
    let before = nodes[1].submit_shell("sleep 1; echo '{\"n\":1}'");
    for how in [Stop::Fast, Stop::Immediate] {
        server.stop(how);
        let down = nodes[0].run(&["status"]);
        assert_ne!(down.code, Some(0), "{down:?}");
        server.resume();
        until("both nodes to answer", || nodes.iter().all(|node| node.run(&["status"]).code == Some(0)).then_some(()));
    }
    assert_eq!(nodes[0].ended(&before)["status"], "completed");
    let after = until("a task to be taken", || {
        let made = nodes[1].run(&["task", "submit", "--json", "--", "true"]);
        (made.code == Some(0)).then(|| made.json()["task_id"].as_str().unwrap().to_owned())
    });
    assert_eq!(nodes[0].ended(&after)["status"], "completed");
}

#[test]
fn a_node_that_is_stopped_past_its_leases_does_nothing_twice() {
    let Some(database) = database("nodes::a_node_that_is_stopped") else { return };
    let stopped = Platform::start(
        Home::new(),
        &["serve", "--listen", "localhost:0", "--database", database.url(), "--lease-seconds", "4"],
    );
    let other = Platform::start(
        Home::new(),
        &["serve", "--listen", "localhost:0", "--database", database.url(), "--lease-seconds", "4"],
    );
    let _worker = other.worker("at the other");
    sees(&other, "at the other");
    let ids: Vec<String> = (0..4).map(|_| stopped.submit_shell("sleep 1; echo '{\"n\":1}'")).collect();
    stopped.process.signal(Signal::STOP);
    for id in &ids {
        let task = other.ended(id);
        assert_eq!((&task["status"], &task["subtasks"][0]["attempt"]), (&"completed".into(), &1.into()), "{task}");
    }
    std::thread::sleep(Duration::from_secs(6));
    stopped.process.signal(Signal::CONT);
    // What it knew is old; what it does is right.
    let id = until("the node that was stopped to work again", || {
        let made = stopped.run(&["task", "submit", "--json", "--", "true"]);
        (made.code == Some(0)).then(|| made.json()["task_id"].as_str().unwrap().to_owned())
    });
    assert_eq!(stopped.ended(&id)["status"], "completed");
    for id in &ids {
        assert_eq!(stopped.task(id)["subtasks"][0]["attempt"], 1);
    }
}

/// The way of the README: a server with SQLite stops, what it has moves, servers on PostgreSQL go on; and back.
#[test]
fn from_one_machine_to_many_and_back() {
    let Some(database) = database("nodes::from_one_machine_to_many") else { return };
    let lease = ["--lease-seconds", "4"];
    let one = Platform::start(Home::new(), &[&["serve", "--listen", "localhost:0"][..], &lease].concat());
    let mut worker = one.worker("moves along");
    let done = one.submit_shell("echo before; echo '{\"n\":1}'");
    one.ended(&done);
    let waits = one.submit(&["--requires", "rack=none", "--", "true"]);
    let runs = one.submit_shell("sleep 4; echo '{\"n\":2}'");
    until("it runs", || (one.task(&runs)["subtasks"][0]["status"] == "in_progress").then_some(()));
    let before = one.task(&done);
    worker.kill();
    let (status, home) = one.stop();
    assert!(status.success());
    let file = home.path("moving.db").display().to_string();
    let exported = home.run(["export", "--output", &file]).ok();
    assert!(exported.stdout.contains("3 tasks") && exported.stdout.contains("regatta import"), "{exported:?}");
    let imported = home.run(["import", &file, "--database", database.url()]).ok();
    assert!(imported.stdout.contains("tasks 3") && imported.stdout.contains("because they ran: 1"), "{imported:?}");
    assert!(!imported.stdout.contains(database.url()), "no password: {imported:?}");

    let arguments = ["serve", "--listen", "localhost:0", "--database", database.url()];
    let many: [Platform; 2] = std::array::from_fn(|_| Platform::start(Home::new(), &[&arguments[..], &lease].concat()));
    assert_eq!(many[1].task(&done), before, "what was done is as it was");
    let servers = format!("{},{}", many[0].url, many[1].url);
    let moved = ["worker", "--server", &servers, "--name", "moves along", "--tools", "command", "--slots", "2"];
    let _worker = Process::start(home.regatta(moved), home.path("moved.log"));
    let task = many[0].ended(&runs);
    assert_eq!((&task["status"], &task["subtasks"][0]["attempt"]), (&"completed".into(), &2.into()), "{task}");
    assert_eq!(many[0].run(&["workers", "list", "--json"]).ok().json()["workers"].as_array().unwrap().len(), 1);
    let [first, second] = many;
    first.stop();
    second.stop();

    let back = Home::new();
    let file = back.path("back.db").display().to_string();
    back.run(["export", "--database", database.url(), "--output", &file]).ok();
    back.run(["restore", &file]).ok();
    let one = Platform::start(back, &["serve", "--listen", "localhost:0"]);
    assert_eq!(one.task(&done), before);
    assert_eq!(one.task(&waits)["status"], "in_progress");
    assert_eq!(one.task(&runs), task);
}

/// The word of `/health` for Redis.
fn redis_of(node: &Platform) -> String {
    let answer = call(&node.address(), "GET", "/health", None, &serde_json::Value::Null);
    answer.map(|(_, health)| health["redis"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[test]
fn news_by_redis_and_without_it_when_it_is_gone() {
    let test = "nodes::news_by_redis";
    let (Some(database), Some(mut redis)) = (database(test), Redis::start(test)) else { return };
    let url = redis.url();
    let arguments = ["serve", "--listen", "localhost:0", "--database", database.url(), "--redis", &url];
    let nodes = [Platform::start(Home::new(), &arguments), Platform::start(Home::new(), &arguments)];
    let _worker = nodes[0].worker("the worker");
    sees(&nodes[1], "the worker");
    let watched = nodes[1].run(&["task", "submit", "--watch", "--", "sh", "-c", "echo said"]).ok();
    assert!(watched.stdout.contains("said"), "{watched:?}");
    until("both to say so", || nodes.iter().all(|node| redis_of(node) == "connected").then_some(()));
    redis.stop();
    until("both to notice", || nodes.iter().all(|node| redis_of(node) == "disconnected").then_some(()));
    // It goes on, only later: the worker's node finds the task by itself.
    let id = nodes[1].submit_shell("echo later");
    assert_eq!(nodes[1].ended(&id)["status"], "completed");
    redis.resume();
    until("both to be back", || nodes.iter().all(|node| redis_of(node) == "connected").then_some(()));
    let watched = nodes[1].run(&["task", "submit", "--watch", "--", "sh", "-c", "echo again"]).ok();
    assert!(watched.stdout.contains("again"), "{watched:?}");
}

#[test]
fn a_server_that_ends_in_order_is_gone_from_redis_at_once() {
    let test = "nodes::a_server_that_ends_in_order";
    let (Some(database), Some(redis)) = (database(test), Redis::start(test)) else { return };
    let url = redis.url();
    let arguments = ["serve", "--listen", "localhost:0", "--database", database.url(), "--redis", &url];
    let [one, two] = [Platform::start(Home::new(), &arguments), Platform::start(Home::new(), &arguments)];
    until("both to be listed", || (redis.ask("DBSIZE") == ":2").then_some(()));
    assert!(one.stop().0.success());
    assert_eq!(redis.ask("DBSIZE"), ":1");
    // Where there is none it ends all the same.
    redis.freeze();
    assert!(two.stop().0.success());
    redis.thaw();
}

#[test]
fn a_redis_is_for_many_servers() {
    let home = Home::new();
    let ran = home.run(["serve", "--listen", "localhost:0", "--redis", "redis://localhost"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("has only one"), "{ran:?}");
    let ran = home.run(["serve", "--database", "postgres://localhost:1/none", "--redis", "http://:hidden@h"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("no Redis") && !ran.stderr.contains("hidden"), "{ran:?}");
}

#[test]
fn postgres_and_redis_over_tls() {
    let test = "nodes::postgres_and_redis_over_tls";
    let home = Home::new();
    let ([root, key], [other, _]) = (home.certificate("root"), home.certificate("other"));
    let (certificate, key) = (std::fs::read(&root).unwrap(), std::fs::read(key).unwrap());
    let files = [("server.crt", &certificate[..]), ("server.key", &key[..])];
    let settings = ["ssl=on", "ssl_cert_file={folder}/server.crt", "ssl_key_file={folder}/server.key"];
    let Some(postgres) = Postgres::start_with(test, &settings, &files) else { return };
    let arguments = ["--tls-port", "{port}", "--port", "0", "--tls-auth-clients", "no"];
    let keys = ["--tls-cert-file", "{folder}/server.crt", "--tls-key-file", "{folder}/server.key"];
    let Some(redis) = Redis::start_with(test, &[&arguments[..], &keys].concat(), &files) else { return };

    let url = |host: &str, mode: &str, root: &std::path::Path| {
        let url = postgres.url().replace("127.0.0.1", host);
        format!("{url}?sslmode={mode}&sslrootcert={}", root.display())
    };
    let migrate = |url: &str| home.run(["migrate", "--database", url]);
    migrate(&url("localhost", "verify-full", &root)).ok();
    migrate(&url("127.0.0.1", "verify-ca", &root)).ok();
    migrate(&url("127.0.0.1", "require", &root)).ok();
    migrate(&postgres.url()).ok();
    for (host, mode, root) in
        [("127.0.0.1", "verify-full", &root), ("localhost", "verify-full", &other), ("localhost", "verify-ca", &other)]
    {
        let refused = migrate(&url(host, mode, root));
        assert!(refused.code == Some(1) && refused.stderr.contains("certificate"), "{host} {mode}: {refused:?}");
    }

    let database = url("localhost", "verify-full", &root);
    let redis = redis.url().replace("redis://", "rediss://").replace("127.0.0.1", "localhost");
    let serve = |trusts: bool| {
        let home = Home::new();
        let mut command =
            home.regatta(["serve", "--listen", "localhost:0", "--database", &database, "--redis", &redis]);
        if trusts {
            command.env("SSL_CERT_FILE", &root);
        }
        Platform::of(command, home)
    };
    let node = serve(true);
    until("Redis over TLS", || (redis_of(&node) == "connected").then_some(()));
    let _worker = node.worker("the worker");
    let watched = node.run(&["task", "submit", "--watch", "--", "echo", "over TLS"]).ok();
    assert!(watched.stdout.contains("over TLS"), "{watched:?}");
    // Who does not know the authority does not talk to it, and goes on without.
    let careful = serve(false);
    until("it to say so", || (redis_of(&careful) == "disconnected").then_some(()));
    let watched = careful.run(&["task", "submit", "--watch", "--", "echo", "without it"]).ok();
    assert!(watched.stdout.contains("without it"), "{watched:?}");
}
