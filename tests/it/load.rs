//! `regatta load` as people and scripts run it: the real binary against the real platform, and against nobody.

use std::path::Path;

use rustix::process::Signal;

use crate::rig::{Home, Platform, Process, Ran, until};
use crate::terminal::Terminal;

/// Runs `regatta load` against a platform.
fn load(platform: &Platform, arguments: &[&str]) -> Ran {
    let host = format!("--host={}", platform.url);
    platform.run(&[&["load", &host], arguments].concat())
}

/// What there is on a platform: workers and tasks, as the command line lists them.
fn inventory(platform: &Platform) -> (usize, usize) {
    let count = |arguments: &[&str], rows: &str| platform.run(arguments).ok().json()[rows].as_array().unwrap().len();
    (count(&["workers", "list", "--json"], "workers"), count(&["task", "list", "--json"], "tasks"))
}

/// The four commands of Locust's users, with `regatta load` instead of `locust -f locustfile.py`. Beside them a worker
/// that runs programs and a task that waits for a tool nobody has: neither is touched.
#[test]
fn the_built_in_classes_and_nobody_elses_work() {
    let platform = Platform::serve();
    let _worker = platform.worker("bystander");
    let file = platform.home.path("touched");
    let foreign = platform.submit(&["Wait for an agent that nobody has started", "--type", "bug_fix"]);
    until("the worker", || (inventory(&platform) == (1, 1)).then_some(()));
    let before = platform.task(&foreign);

    for (arguments, names) in [
        (
            vec!["--users=10", "--spawn-rate=20", "-t", "3s", "--only-summary", "WorkerUser"],
            vec![
                "POST     /api/v1/workers/register",
                "POST     /api/v1/workers/{id}/heartbeat",
                "POST     /api/v1/workers/{id}/unregister",
            ],
        ),
        (
            vec!["--users=20", "--spawn-rate=40", "-t", "3s", "--only-summary", "TaskUser"],
            vec![
                "POST     /api/v1/tasks ",
                "GET      /api/v1/tasks/{id} ",
                "GET      /api/v1/tasks/{id}/progress",
                "POST     /api/v1/tasks/{id}/decompose",
            ],
        ),
        (
            vec!["--users=30", "--spawn-rate=50", "-t", "3s", "--only-summary", "MixedUser"],
            vec!["GET      /api/v1/workers ", "GET      /api/v1/tasks "],
        ),
        // With the page, which nobody comes to.
        (vec!["-t", "3s", "--autostart", "--autoquit", "0", "--web-port", "0"], vec!["Aggregated"]),
    ] {
        let ran = load(&platform, &arguments).ok();
        for name in names {
            assert!(ran.stderr.contains(name), "{arguments:?}: {name}\n{}", ran.stderr);
        }
        assert!(ran.stderr.contains("Response time percentiles (approximated)"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("Error report") && !ran.stderr.contains("Exceptions"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        // What it made is gone, what was there is as it was.
        assert_eq!(inventory(&platform), (1, 1), "{arguments:?}");
        let after = platform.task(&foreign);
        assert_eq!((&after["status"], &after["updated_at"]), (&before["status"], &before["updated_at"]));
        assert!(!file.exists());
    }
}

/// Where tokens are asked for, the built-in users show the one that every command shows.
#[test]
fn the_built_in_classes_show_the_token() {
    let platform = Platform::start(Home::new(), &["serve", "--listen", "0.0.0.0:0"]);
    let refused = load(&platform, &["-t", "1s", "--headless", "MixedUser"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let token = platform.run(&["token", "create", "--role", "user"]).ok().stdout.trim().to_owned();
    let host = format!("--host={}", platform.url);
    let mut command =
        platform.command(&["load", &host, "-u", "3", "-r", "10", "-t", "2s", "--only-summary", "MixedUser"]);
    let ran = Ran::from(command.env("REGATTA_TOKEN", &token).output().unwrap()).ok();
    assert!(!ran.stderr.contains(&token) && !ran.stderr.contains("401"), "{}", ran.stderr);
}

/// A scenario of few words against the platform's health.
fn scenario(home: &Home, path: &str) -> String {
    let file = home.path("scenario.toml");
    let text = format!(
        "[[users]]\nname = \"Prober\"\nwait = {{ constant = \"20ms\" }}\n[[users.tasks]]\nget = \"{path}\"\nname = \"/probe\"\n"
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn reports_and_exit_codes() {
    let platform = Platform::serve();
    let good = scenario(&platform.home, "/api/v1/health");
    let prefix = platform.home.path("results/run");
    let html = platform.home.path("report-{u}.html");
    let arguments = [
        "-f",
        &good,
        "-u",
        "3",
        "-r",
        "100",
        "-t",
        "2s",
        "--headless",
        "--json",
        "--csv",
        prefix.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
    ];
    let ran = load(&platform, &arguments).ok();
    let entries = ran.json();
    let entry = &entries[0];
    assert_eq!(
        (&entry["name"], &entry["method"], &entry["num_failures"]),
        (&"/probe".into(), &"GET".into(), &0.into())
    );
    let requests = entry["num_requests"].as_u64().unwrap();
    let sum = |key: &str| entry[key].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert!(requests > 0);
    assert_eq!((sum("response_times"), sum("num_reqs_per_sec")), (requests, requests));
    // JSON does not empty the tables.
    assert!(ran.stderr.contains("GET      /probe "), "{}", ran.stderr);
    assert!(ran.stderr.contains("All users spawned: {\"Prober\": 3} (3 total users)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--run-time limit reached, shutting down"), "{}", ran.stderr);

    let read = |what: &str| std::fs::read_to_string(format!("{}_{what}.csv", prefix.display())).unwrap();
    let stats = read("stats");
    assert!(
        stats.starts_with("Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,"),
        "{stats}"
    );
    assert!(
        stats.contains(&format!("GET,/probe,{requests},0,")) && stats.contains(&format!("\n,Aggregated,{requests},0,"))
    );
    let history = read("stats_history");
    assert!(history.starts_with("Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,"), "{history}");
    // The last row holds the whole run.
    let last: Vec<&str> = history.lines().last().unwrap().split(',').collect();
    assert_eq!((last[3], last[17]), ("Aggregated", requests.to_string().as_str()), "{history}");
    assert_eq!(read("failures").trim(), "Method,Name,Error,Occurrences,First Seen,Last Seen");
    assert_eq!(read("exceptions").trim(), "Count,Message,Traceback,Nodes");
    let page = std::fs::read_to_string(platform.home.path("report-3.html")).unwrap();
    assert!(page.contains("/probe") && page.contains("<svg") && page.len() < 500_000, "{}", page.len());
    assert!(!page.contains("<script") && !page.contains("src="));

    // Failures: 1, or what was asked for; with thresholds these alone decide.
    let bad = scenario(&platform.home, "/api/v1/tasks/00000000-0000-7000-8000-000000000000");
    let run = |more: &[&str]| load(&platform, &[&["-f", bad.as_str(), "-t", "1s", "--headless"], more].concat());
    let failed = run(&[]);
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains("Error report") && failed.stderr.contains("GET /probe: 404 Not Found"),
        "{}",
        failed.stderr
    );
    assert_eq!(run(&["--exit-code-on-error", "0"]).code, Some(0));
    assert_eq!(run(&["--exit-code-on-error", "17"]).code, Some(17));
    assert_eq!(run(&["--threshold", "http_req_duration: p(95)<60000"]).code, Some(0));
    assert_eq!(run(&["--max-fail-ratio", "1"]).code, Some(0));
    let missed = run(&["--max-fail-ratio", "0.5"]);
    // 4 when this machine was too busy to say.
    assert!(matches!(missed.code, Some(1 | 4)) && missed.stderr.contains("✗ http_req_failed"), "{missed:?}");
}

#[test]
fn ctrl_c_writes_whole_reports() {
    let platform = Platform::serve();
    let file = scenario(&platform.home, "/api/v1/health");
    let prefix = platform.home.path("cut");
    let stats = platform.home.path("cut_stats.csv");
    for (time, code) in [(Some("1h"), 130), (None, 0)] {
        let mut command = platform.command(&["load", "-H", &platform.url, "-f", &file, "--headless", "-u", "2"]);
        command.arg("--csv").arg(&prefix);
        if let Some(time) = time {
            command.args(["-t", time]);
        }
        let _ = std::fs::remove_file(&stats);
        let mut process = Process::start(command, platform.home.path("cut.log"));
        until("a table", || process.output().contains("/probe").then_some(()));
        process.signal(Signal::INT);
        let status = process.wait();
        assert_eq!(status.code(), Some(code), "{}", process.output());
        let text = std::fs::read_to_string(&stats).unwrap();
        let row = text.lines().find(|line| line.starts_with("GET,/probe,")).unwrap();
        assert!(row.split(',').nth(2).unwrap().parse::<u64>().unwrap() > 0, "{text}");
        std::fs::remove_file(platform.home.path("cut.log")).unwrap();
    }
}

/// A server that takes connections and never answers.
fn silent() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<_>>());
    format!("http://{address}")
}

/// While users come, before anything was answered, while they are waited for, in the open model: the reports are whole.
#[test]
fn ctrl_c_at_any_moment() {
    let platform = Platform::serve();
    let home = &platform.home;
    let nobody_answers = silent();
    let file = scenario(home, "/api/v1/health");
    for (host, arguments, wait_for, signals) in [
        (&platform.url, &["-u", "500", "-r", "1", "-t", "1h"][..], "Ramping to 500 users", 1),
        (&nobody_answers, &["-u", "5", "-r", "100", "-t", "1h"], "All users spawned", 1),
        (&nobody_answers, &["-u", "5", "-r", "100", "-t", "1h", "-s", "1h"], "All users spawned", 2),
        (&nobody_answers, &["-t", "1s", "-s", "1h"], "--run-time limit reached", 1),
        (&platform.url, &["--arrival-rate", "20", "-t", "1h"], "/probe", 1),
    ] {
        let name = |suffix: &str| home.path(&format!("any{suffix}"));
        let mut command = platform.command(&["load", "-H", host, "-f", &file, "--headless"]);
        command.args(arguments).arg("--csv").arg(name("")).arg("--html").arg(name(".html"));
        command.arg("--json-file").arg(name(""));
        let mut process = Process::start(command, name(".log"));
        until(wait_for, || process.output().contains(wait_for).then_some(()));
        for count in 0..signals {
            if count > 0 {
                // The first one is heard: the users may finish what never ends.
                until("the first", || process.output().contains("interrupted, shutting down").then_some(()));
            }
            process.signal(Signal::INT);
        }
        let status = process.wait();
        let interrupted = if wait_for.starts_with("--run-time") { 0 } else { 130 };
        assert_eq!(status.code(), Some(interrupted), "{arguments:?}: {}", process.output());
        let stats = std::fs::read_to_string(name("_stats.csv")).unwrap();
        assert!(stats.lines().last().unwrap().starts_with(",Aggregated,"), "{arguments:?}: {stats}");
        for csv in ["_stats_history.csv", "_failures.csv", "_exceptions.csv"] {
            assert!(std::fs::read_to_string(name(csv)).unwrap().lines().count() > 0, "{arguments:?}: {csv}");
        }
        assert!(std::fs::read_to_string(name(".html")).unwrap().ends_with("</html>\n"), "{arguments:?}");
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(name(".json")).unwrap()).unwrap();
        assert!(json.is_array(), "{json}");
        assert!(process.output().contains("Response time percentiles"), "{arguments:?}: {}", process.output());
        for file in [".log", "_stats.csv", "_stats_history.csv", "_failures.csv", "_exceptions.csv", ".html", ".json"] {
            std::fs::remove_file(name(file)).unwrap();
        }
    }
}

/// Each flag that Locust's users know means what it means there.
#[test]
fn the_flags_of_locusts_users() {
    let platform = Platform::serve();
    let home = &platform.home;
    let file = home.path("tagged.toml");
    let task = |path: &str, tags: &str| format!("[[users.tasks]]\nget = \"{path}\"\ntags = [{tags}]\n");
    let class = |name: &str| format!("[[users]]\nname = \"{name}\"\nwait = {{ constant = \"20ms\" }}\n");
    let text = [
        class("One"),
        task("/api/v1/health", "\"a\""),
        task("/api/v1/stats", "\"b\", \"c\""),
        class("Two"),
        task("/api/v1/workers", "\"c\""),
    ];
    std::fs::write(&file, text.concat()).unwrap();
    let file = file.to_str().unwrap();
    let run = |more: &[&str]| load(&platform, &[&["-f", file, "-u", "4", "-r", "100", "-t", "1"], more].concat()).ok();
    let paths = |ran: &Ran| {
        let rows = ran.json();
        let names = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let (health, stats, workers) = ("/api/v1/health", "/api/v1/stats", "/api/v1/workers");
    assert_eq!(paths(&run(&["--json", "--headless"])), [health, stats, workers]);
    assert_eq!(paths(&run(&["--json", "--tags", "a"])), [health]);
    assert_eq!(paths(&run(&["--json", "--headless", "-T", "a", "b"])), [health, stats]);
    assert_eq!(paths(&run(&["--json", "--exclude-tags", "c"])), [health]);
    assert_eq!(paths(&run(&["--json", "-T", "c", "-E", "b"])), [workers]);
    assert_eq!(paths(&run(&["--json", "Two"])), [workers]);

    let environment = |pairs: &[(&str, &str)]| {
        let mut command = platform.command(&["load"]);
        command.env("LOCUST_HOST", &platform.url).env("LOCUST_LOCUSTFILE", file).env("LOCUST_JSON", "true");
        Ran::from(command.envs(pairs.iter().copied()).output().unwrap()).ok()
    };
    let ran = environment(&[
        ("LOCUST_USERS", "3"),
        ("LOCUST_SPAWN_RATE", "100"),
        ("LOCUST_RUN_TIME", "1s"),
        ("LOCUST_HEADLESS", "1"),
        ("LOCUST_TAGS", "b"),
        ("LOCUST_USER_CLASSES", "One"),
    ]);
    assert_eq!(paths(&ran), [stats]);
    assert!(ran.stderr.contains("All users spawned: {\"One\": 3} (3 total users)"), "{}", ran.stderr);

    let ran = run(&["--autostart", "--autoquit", "0.1", "--web-host", "localhost", "-P", "0"]);
    assert!(ran.stderr.contains("web page at http://localhost:"), "{}", ran.stderr);
    let ran = run(&["--headless", "--reset-stats", "--print-stats"]);
    assert!(ran.stderr.contains("Resetting stats") && ran.stderr.contains("All users spawned"), "{}", ran.stderr);
    let ran = run(&["--headless", "-L", "ERROR", "--only-summary"]);
    assert!(!ran.stderr.contains("/INFO/"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("Aggregated").count(), 2, "each table once: {}", ran.stderr);
    assert!(run(&["--headless", "--processes", "-1"]).stderr.contains("Aggregated"));

    let prefix = home.path("full");
    run(&[
        "--headless",
        "--csv",
        prefix.to_str().unwrap(),
        "--csv-full-history",
        "--json-file",
        prefix.to_str().unwrap(),
    ]);
    let history = std::fs::read_to_string(home.path("full_stats_history.csv")).unwrap();
    for name in [health, stats, workers, "Aggregated"] {
        assert!(history.lines().any(|line| line.split(',').nth(3) == Some(name)), "{name}: {history}");
    }
    let rows: serde_json::Value = serde_json::from_slice(&std::fs::read(home.path("full.json")).unwrap()).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3);
}

/// The keys of the terminal view: w W one and ten more, s S one and ten fewer, q the end.
#[test]
fn keys_steer_a_run() {
    let platform = Platform::serve();
    let file = scenario(&platform.home, "/api/v1/health");
    let command = platform.command(&["load", "-H", &platform.url, "-f", &file, "-r", "1000", "--no-web"]);
    let mut terminal = Terminal::start(command, 120, 30);
    let users = |count: u64| {
        let beginning = format!("{count} users ");
        until(&beginning, || terminal.lines().iter().any(|line| line.starts_with(&beginning)).then_some(()));
    };
    users(1);
    for (key, count) in [("w", 2), ("W", 12), ("s", 11), ("S", 1), ("w", 2)] {
        terminal.press(key);
        users(count);
    }
    terminal.press("q");
    assert_eq!(terminal.wait().code(), Some(0), "{:?}", terminal.lines());
    assert!(terminal.lines().iter().any(|line| line.contains("Response time percentiles")), "{:?}", terminal.lines());
}

/// What happens over WebSockets, when it is asked for: a worker on its line, and a watcher.
#[test]
fn the_built_in_classes_over_websockets() {
    let platform = Platform::serve();
    let arguments = ["-u", "4", "-r", "100", "-t", "4s", "--headless", "--json", "AgentUser", "WatcherUser"];
    let ran = load(&platform, &arguments).ok();
    let rows = ran.json();
    let names: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["method"].as_str().unwrap(), row["name"].as_str().unwrap()))
        .collect();
    for name in [
        "POST /api/v1/tasks",
        "WS /api/v1/workers/{id}/ws",
        "WSR /api/v1/workers/{id}/ws task_assignment",
        "WSR /api/v1/workers/{id}/ws result_ack",
        "WS /api/v1/ws/tasks/{id}/logs",
        "POST /api/v1/subtasks/{id}/log",
        "WSR /api/v1/ws/tasks/{id}/logs log",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert!(!ran.stderr.contains("Error report") && !ran.stderr.contains("Exceptions"), "{}", ran.stderr);
    assert_eq!(inventory(&platform), (0, 0));
}

#[test]
fn what_cannot_be_run_is_told() {
    let home = Home::new();
    let nobody = home.run(["load", "-H", "http://127.0.0.1:9", "-t", "1s", "--headless"]);
    assert_eq!(nobody.code, Some(3));
    assert!(nobody.stderr.contains("no server answers at http://127.0.0.1:9"), "{}", nobody.stderr);
    let python = home.run(["load", "-f", "locustfile.py"]);
    assert_eq!(python.code, Some(2));
    assert!(python.stderr.contains("[[users.tasks]]") && python.stderr.contains("Locust master"), "{}", python.stderr);
    let class = home.run(["load", "WorkUser"]);
    assert_eq!(class.code, Some(2));
    assert!(class.stderr.contains("did you mean `WorkerUser`?"), "{}", class.stderr);
    let typo = home.path("typo.toml");
    std::fs::write(&typo, "[[users]]\nnaem = \"x\"\n").unwrap();
    let typo = home.run(["load", "-f", typo.to_str().unwrap()]);
    assert_eq!(typo.code, Some(2));
    assert!(
        typo.stderr.contains("typo.toml:2:1: there is no key `naem` here; did you mean `name`?"),
        "{}",
        typo.stderr
    );
    for arguments in [&["--stages", "30s"][..], &["--threshold", "p(95)"], &["-t", "1x"], &["--max-fail-ratio", "2"]] {
        assert_eq!(home.run([&["load"], arguments].concat()).code, Some(2), "{arguments:?}");
    }
}

/// Every user holds a connection: too many for what this process may open is told before it begins, with the number.
#[test]
fn too_few_descriptors_are_told_with_the_number() {
    let platform = Platform::serve();
    let limited = |line: &str| {
        let mut command = platform.home.program("sh");
        command.args(["-c", &format!("ulimit -n 300 && {line}"), "sh", env!("CARGO_BIN_EXE_regatta"), &platform.url]);
        Ran::from(command.output().unwrap())
    };
    let ran = limited(r#""$1" load -H "$2" -u 10000 -r 1000 --threads 2 -t 1s --headless MixedUser"#);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("10000 users need 10080 file descriptors, and this process may open 300"), "{ran:?}");
    assert!(ran.stderr.contains("ulimit -n 10080"), "{ran:?}");
    // A user with a WebSocket holds two.
    let ran = limited(r#""$1" load -H "$2" -u 150 -r 1000 --threads 2 -t 1s --headless WatcherUser"#);
    assert!(ran.stderr.contains("150 users need 380 file descriptors"), "{ran:?}");
}

#[test]
fn looking_does_nothing() {
    let home = Home::new();
    let list = home.run(["load", "--list"]).ok();
    assert_eq!(
        list.stdout,
        "Available Users:\n    WorkerUser\n    TaskUser\n    MixedUser\n    AgentUser\n    WatcherUser\n"
    );
    let ratio = home.run(["load", "--show-task-ratio", "MixedUser"]).ok();
    assert!(ratio.stdout.contains("  * 30.0% GET /api/v1/workers\n"), "{}", ratio.stdout);
    let schema = home.run(["load", "--schema"]).ok().json();
    assert_eq!(schema["title"], "Scenario");
    let environment = Ran::from(home.regatta(["load", "--list"]).env("LOCUST_USERS", "many").output().unwrap());
    assert_eq!(environment.code, Some(2), "LOCUST_USERS is read: {environment:?}");
}

/// The examples are sound: each names its tasks.
#[test]
fn the_examples_can_be_read() {
    let home = Home::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|suffix| suffix == "toml") {
            home.run(["load", "--show-task-ratio", "-f", file.to_str().unwrap()]).ok();
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}
