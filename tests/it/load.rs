//! `regatta load` as people and scripts run it: the real binary against the real platform, and against nobody.

use std::path::Path;

use rustix::process::Signal;

use crate::rig::{Home, Platform, Process, Ran, until};

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
        (vec!["-t", "3s"], vec!["Aggregated"]),
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

#[test]
fn what_cannot_be_run_is_told() {
    let home = Home::new();
    let nobody = home.run(["load", "-H", "http://127.0.0.1:9", "-t", "1s"]);
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

#[test]
fn looking_does_nothing() {
    let home = Home::new();
    let list = home.run(["load", "--list"]).ok();
    assert_eq!(list.stdout, "Available Users:\n    WorkerUser\n    TaskUser\n    MixedUser\n");
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
    assert_eq!(seen, 3);
}
