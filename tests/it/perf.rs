//! `regatta perf` as people and CI run it: the real binary, which starts its own platform or checks one that is there.
//!
//! No duration is asserted: where a check shall pass its limits are hours, where it shall fail they are nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regatta_services::{Proxy, Way, database, redis};
use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Home, Platform, Process, Ran, until};
use crate::terminal::Terminal;

/// All limits at this many milliseconds: hours for what shall pass, next to nothing for what shall not.
fn limits(home: &Home, ms: f64) -> String {
    let defaults = home.run(["perf", "thresholds"]).ok().stdout;
    let lines = defaults.lines().map(|line| match line.split_once("_ms = ") {
        Some((key, _)) if !line.starts_with('#') => format!("{key}_ms = {ms}\n"),
        _ => format!("{line}\n"),
    });
    let file = home.path(&format!("limits-{ms}.toml"));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    file.to_str().unwrap().to_owned()
}

const HOURS: f64 = 36_000_000.0;
const NOTHING: f64 = 0.000_001;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The names of the checks of a report with this verdict.
fn verdicts(report: &Value, verdict: &str) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["verdict"] == verdict).map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// The checks of the list.
fn listed(home: &Home) -> Vec<String> {
    let list = home.run(["perf", "--list"]).ok().stdout;
    list.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// Every check, on a platform of its own that is gone afterwards, with every report.
#[test]
fn every_check_on_a_platform_of_its_own() {
    let home = Home::new();
    let report = |suffix: &str| home.path(&format!("reports/perf.{suffix}")).to_str().unwrap().to_owned();
    let loose = limits(&home, HOURS);
    let mut arguments = vec!["perf".to_owned(), "--thresholds".into(), loose, "-s".into(), "--durations=3".into()];
    for suffix in ["txt", "html", "json", "junit.xml", "md"] {
        arguments.extend(["--report".to_owned(), report(suffix)]);
    }
    let temp = home.path("tmp");
    std::fs::create_dir(&temp).unwrap();
    let mut command = home.regatta(&arguments);
    command.env("TMPDIR", &temp);
    let ran = Ran::from(command.output().unwrap()).ok();
    let (written, names) = (json(Path::new(&report("json"))), listed(&home));
    assert_eq!(verdicts(&written, "passed"), names, "{written:#}");
    assert_eq!(names.len(), 37);
    // Every check measured something, or counted something; and says so in its histogram.
    for check in written["checks"].as_array().unwrap() {
        let (calls, facts) = (check["calls"].as_u64().unwrap(), check["facts"].as_array().unwrap());
        assert!(calls > 0 || !facts.is_empty(), "{check:#}");
        assert!(facts.iter().all(|fact| fact["found"].as_u64() >= fact["wanted"].as_u64()), "{check:#}");
        let counted: u64 = check["histogram"].as_array().unwrap().iter().map(|entry| entry[1].as_u64().unwrap()).sum();
        assert_eq!(counted, calls - check["failed"].as_u64().unwrap(), "{check:#}");
    }
    let check = |name: &str| written["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    let parallel = &check("tasks::execution::parallel")["facts"][0];
    assert_eq!((&parallel["found"], &parallel["wanted"]), (&20.into(), &20.into()));
    assert_eq!(check("workers::presence::online")["facts"][0]["found"], 10);
    assert_eq!(check("websocket::connections::concurrent")["facts"][0]["found"], 50);
    assert_eq!(check("api::worker::registration")["calls"], 10);
    assert_eq!(check("workers::heartbeat::sustained")["calls"], 50);
    assert_eq!(check("websocket::delivery::fan_out")["calls"], 500);
    for part in ["=== Worker Registration Performance (10 runs) ===", "Std Dev: ", "(max of 10)", "slowest checks:"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("37 passed in "), "{}", ran.stdout);
    // In a pipe nothing is drawn, and nothing is coloured.
    assert!(!ran.stdout.contains('\u{1b}') && ran.stderr.is_empty(), "{}", ran.stderr);
    let read = |suffix| std::fs::read_to_string(report(suffix)).unwrap();
    assert!(read("txt").contains("=== WebSocket Fan-Out Performance (500 calls) ==="), "{}", read("txt"));
    assert!(read("md").contains("| ✅ | `tasks::submission::concurrent` | 20 |"), "{}", read("md"));
    assert!(read("junit.xml").contains("tests=\"37\" failures=\"0\" errors=\"0\""), "{}", read("junit.xml"));
    assert!(read("html").contains("<h2>Scorecard</h2>") && read("html").len() < 500_000);
    assert!(written["environment"]["regatta"].is_string() && written["environment"]["cores"].is_u64());
    // Nothing is left: neither its folder nor a process.
    let left: Vec<_> = std::fs::read_dir(&temp).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The same checks on PostgreSQL and Redis: calls at one server, workers at the other. What the run made is gone afterwards.
#[test]
fn every_check_on_many_servers() {
    let test = "perf::every_check_on_many_servers";
    let (Some(database), Some(redis)) = (database(test), redis(test)) else { return };
    let home = Home::new();
    let (loose, report) = (limits(&home, HOURS), home.path("perf.json"));
    let shared = ["perf", "--database", database.url(), "--redis", &redis.url, "--thresholds", &loose];
    let ran = home.run([&shared[..], &["--report", report.to_str().unwrap()]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let written = json(&report);
    assert_eq!(verdicts(&written, "passed"), listed(&home), "{written:#}");
    assert_eq!(
        (&written["health"]["database"], &written["health"]["redis"]),
        (&"connected".into(), &"connected".into())
    );

    let platform = Platform::start(Home::new(), &["serve", "--listen", "localhost:0", "--database", database.url()]);
    assert_eq!(platform.run(&["task", "list", "--json"]).ok().json()["tasks"].as_array().unwrap().len(), 0);
    platform.submit(&["Wait for an agent that nobody has started", "--prefer", "gemini_cli", "--type", "bug_fix"]);
    let refused = home.run(shared);
    assert!(refused.code == Some(2) && refused.stderr.contains("not empty"), "{refused:?}");
}

/// Beside an agent that leaves a trace of whatever it runs, a worker that runs programs, and a task that waits for a tool nobody
/// has: nothing of theirs is touched, and nothing of the run is left.
#[test]
fn nobody_elses_work_is_touched() {
    let platform = Platform::serve();
    let trace = platform.home.path("trace");
    let config = platform.home.path("agent.toml");
    let text =
        format!("[worker.tools.claude_code]\nargv = [\"touch\", {:?}]\nstdin = \"\"\n[worker.tools.command]\n", trace);
    std::fs::write(&config, text).unwrap();
    let agent = ["worker", "--config", config.to_str().unwrap(), "--name", "bystander", "--slots", "50"];
    let _agent = Process::start(platform.command(&agent), platform.home.path("agent.log"));
    let foreign =
        platform.submit(&["Wait for an agent that nobody has started", "--prefer", "gemini_cli", "--type", "bug_fix"]);
    let count = |arguments: &[&str], rows: &str| platform.run(arguments).ok().json()[rows].as_array().unwrap().len();
    let inventory = || (count(&["workers", "list", "--json"], "workers"), count(&["task", "list", "--json"], "tasks"));
    // It is an agent, so it does run the foreign task: that is what leaves the trace, once.
    until("the agent to run what is meant for it", || (platform.task(&foreign)["status"] == "completed").then_some(()));
    std::fs::remove_file(&trace).unwrap();
    let queued =
        platform.submit(&["Wait for a label that nobody carries", "--requires", "rack=none", "--type", "bug_fix"]);
    let before = platform.task(&queued);
    assert_eq!(inventory(), (1, 2));

    let loose = limits(&platform.home, HOURS);
    let ran = platform.run(&["perf", "--target", &platform.url, "--thresholds", &loose]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(inventory(), (1, 2), "{}", ran.stdout);
    assert!(!trace.exists(), "an agent of others ran something of the run");
    let after = platform.task(&queued);
    assert_eq!((&after["status"], &after["updated_at"]), (&before["status"], &before["updated_at"]));
}

/// A limit that is not kept: exit code, by how much, where the time went, the slowest calls with the server's log lines, the folder.
#[test]
fn a_check_that_fails_says_why() {
    let home = Home::new();
    let strict = limits(&home, NOTHING);
    let (report, junit, summary) = (home.path("perf.json"), home.path("perf.junit.xml"), home.path("summary.md"));
    let mut command = home.regatta([
        "perf",
        "api::task::submission",
        "api::health",
        "--thresholds",
        &strict,
        "-x",
        "--report",
        report.to_str().unwrap(),
        "--report",
        junit.to_str().unwrap(),
    ]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary).env("TMPDIR", home.path(""));
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let written = json(&report);
    // -x: the first ends the run.
    assert_eq!(verdicts(&written, "failed"), ["api::health::response"]);
    assert_eq!(written["checks"].as_array().unwrap().len(), 1);
    let check = &written["checks"][0];
    assert!(check["misses"][0]["text"].as_str().unwrap().contains("over its limit of 0.000001 ms"), "{check:#}");
    let slow = &check["slowest"][0];
    let id = slow["request_id"].as_str().unwrap();
    let log = slow["log"].as_array().unwrap();
    assert!(!log.is_empty() && log.iter().all(|line| line.as_str().unwrap().contains(id)), "{slow:#}");
    assert!(!slow["time_went"].as_array().unwrap().is_empty(), "{slow:#}");
    for part in ["the time of the slow calls went to: ", id, "logs and data of the platform: "] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("::error title=regatta perf%3A api%3A%3Ahealth%3A%3Aresponse::max "), "{}", ran.stdout);
    assert!(std::fs::read_to_string(&summary).unwrap().contains("❌ Not every requirement is kept"));
    assert!(std::fs::read_to_string(&junit).unwrap().contains("<failure message=\"max "));
    let folder = PathBuf::from(written["folder"].as_str().unwrap());
    assert!(folder.join("server.log").exists() && folder.join("regatta.db").exists());
}

/// On a terminal the check that runs is shown, and taken back when it has ended.
#[test]
fn progress_is_shown_on_a_terminal() {
    let home = Home::new();
    let loose = limits(&home, HOURS);
    let command = home.regatta(["perf", "api::health", "presence", "--thresholds", &loose]);
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.until_it_shows("[3/3] workers::presence::online ...");
    assert!(terminal.wait().success());
    let lines = terminal.lines();
    assert!(lines.iter().any(|line| line.contains("3 passed in ")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(" ...")), "{lines:?}");
}

/// What takes too long is an error, and has not failed.
#[test]
fn a_check_that_takes_too_long_is_an_error() {
    let home = Home::new();
    let report = home.path("perf.json");
    let ran = home.run(["perf", "pagination", "--timeout", "0.000001", "--report", report.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let written = json(&report);
    assert_eq!(verdicts(&written, "error"), ["tasks::listing::pagination"]);
    assert!(ran.stdout.contains("(--timeout)") && ran.stdout.contains("1 errors"), "{}", ran.stdout);
    std::fs::remove_dir_all(written["folder"].as_str().unwrap()).unwrap();
}

/// In each place 300 ms are lost, and it is that place which is named first.
#[test]
fn lost_time_is_found_where_it_was_lost() {
    let home = Home::new();
    let limit = home.path("limit.toml");
    let checks = ["api::task::submission", "api::task::query", "api::task::progress", "api::health::response"];
    let text: String = checks.iter().map(|name| format!("[\"{name}\"]\nmax_ms = 250\np95_ms = 250\n")).collect();
    std::fs::write(&limit, text).unwrap();
    let first = |report: &Path| {
        let written = json(report);
        assert!(written["checks"][0]["misses"].as_array().is_some_and(|misses| !misses.is_empty()), "{written:#}");
        written["checks"][0]["time_went"][0][0].as_str().unwrap().to_owned()
    };
    for (stage, check, place) in [
        ("queue", "api::task::submission", "queue"),
        ("db", "api::task::submission", "database"),
        ("commit", "api::task::submission", "commit"),
        ("pool", "api::task::query", "pool"),
        ("cache", "api::task::progress", "cache"),
        ("ser", "api::task::query", "serialisation"),
        ("generator", "api::health::response", "generator"),
    ] {
        let report = home.path(&format!("{stage}.json"));
        let arguments = ["perf", check, "--thresholds", limit.to_str().unwrap(), "--report", report.to_str().unwrap()];
        let mut command = home.regatta(arguments);
        command.env("REGATTA_TEST_DELAY", format!("{stage}=300")).env("TMPDIR", home.path(""));
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, Some(if place == "generator" { 4 } else { 1 }), "{stage}: {ran:?}");
        assert_eq!(first(&report), place, "{stage}: {}", ran.stdout);
    }
    // The network, by a proxy that keeps every answer for so long.
    let platform = Platform::serve();
    let proxy = Proxy::to(platform.address().rsplit_once(':').unwrap().1.parse().unwrap());
    proxy.delay(Way::ToClient, Duration::from_millis(300));
    let report = home.path("network.json");
    let arguments = [
        "perf",
        "api::health::response",
        "--target",
        &format!("http://127.0.0.1:{}", proxy.port()),
        "--thresholds",
        limit.to_str().unwrap(),
        "--report",
        report.to_str().unwrap(),
    ];
    let ran = home.run(arguments);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(first(&report), "network", "{}", ran.stdout);
}

/// Ctrl-C: the reports are written all the same, and of what was made nothing is left.
#[test]
fn an_interrupted_run_cleans_up_and_reports() {
    let platform = Platform::serve();
    let report = platform.home.path("perf.json");
    // So often that it does not end by itself.
    let arguments = [
        "perf",
        "tasks::submission",
        "--repeat",
        "10000",
        "--target",
        &platform.url,
        "--report",
        report.to_str().unwrap(),
    ];
    let mut run = Process::start(platform.command(&arguments), platform.home.path("perf.log"));
    let tasks = || platform.run(&["task", "list", "--json"]).ok().json()["tasks"].as_array().unwrap().len();
    until("the run to submit tasks", || (tasks() > 0).then_some(()));
    run.signal(Signal::INT);
    let status = run.wait();
    assert_eq!(status.code(), Some(130), "{}", run.output());
    assert_eq!(json(&report)["interrupted"], true);
    assert_eq!(tasks(), 0, "{}", run.output());
}

/// Checks of one's own beside the others; and those that submit tasks ask first where agents of others are.
#[test]
fn checks_of_ones_own() {
    let home = Home::new();
    let (file, report) = (home.path("my.toml"), home.path("perf.json"));
    std::fs::write(
        &file,
        "[[checks]]\nname = \"mine::reads\"\nusers = 3\nruns = 4\nmax_ms = 36000000\n\
         steps = [{ get = \"/api/v1/health\" }, { get = \"/api/v1/tasks?limit=1\", name = \"/tasks\" }]\n\
         [[checks]]\nname = \"mine::missing\"\nruns = 2\nget = \"/api/v1/nowhere\"\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let ran = home.run(["perf", "mine", "--checks", path, "--report", report.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let written = json(&report);
    assert_eq!(verdicts(&written, "passed"), ["mine::reads"]);
    assert_eq!(written["checks"][0]["calls"], 24, "{written:#}");
    assert_eq!(verdicts(&written, "failed"), ["mine::missing"]);
    assert!(ran.stdout.contains("/api/v1/nowhere"), "{}", ran.stdout);
    std::fs::remove_dir_all(written["folder"].as_str().unwrap()).unwrap();

    let platform = Platform::serve();
    let _worker = platform.worker("somebody");
    until("the worker", || {
        (platform.run(&["workers", "list", "--json"]).ok().json()["workers"].as_array().unwrap().len() == 1)
            .then_some(())
    });
    let submits = "[[checks]]\nname = \"mine::submits\"\nruns = 1\npost = \"/api/v1/tasks\"\n\
                   json = { description = \"Something for real agents\", requires = { rack = \"none\" } }\nexpect = 201\n";
    std::fs::write(&file, submits).unwrap();
    let arguments = ["perf", "mine", "--checks", path, "--target", &platform.url];
    let refused = platform.run(&arguments);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("somebody") && refused.stderr.contains("--run-real-agents"), "{}", refused.stderr);
    platform.run(&[&arguments[..], &["--run-real-agents"]].concat()).ok();
}

/// Above twenty, workers are connections of a few processes; tasks run at the same moment on them just so.
#[test]
fn a_larger_fleet_is_connections_of_a_few_processes() {
    let home = Home::new();
    let (report, loose) = (home.path("perf.json"), limits(&home, HOURS));
    let arguments = ["perf", "parallel", "presence", "--scale", "3", "--thresholds", &loose];
    home.run([&arguments[..], &["--report", report.to_str().unwrap()]].concat()).ok();
    let written = json(&report);
    let facts: Vec<(&str, &Value)> = written["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (check["name"].as_str().unwrap(), &check["facts"][0]["found"]))
        .collect();
    assert_eq!(facts, [("workers::presence::online", &30.into()), ("tasks::execution::parallel", &60.into())]);
}

/// A server that asks for tokens: the run shows the one that every command shows, its workers too, and nobody sees it.
#[test]
fn a_deployment_with_tokens() {
    let platform = Platform::start(Home::new(), &["serve", "--listen", "0.0.0.0:0"]);
    let report = platform.home.path("perf.json");
    let loose = limits(&platform.home, HOURS);
    let arguments = ["perf", "api", "parallel", "websocket", "--target", &platform.url, "--thresholds", &loose];
    let refused = platform.run(&arguments);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("REGATTA_TOKEN"), "{}", refused.stderr);
    let token = platform.run(&["token", "create", "--role", "user"]).ok().stdout.trim().to_owned();
    let mut command = platform.command(&[&arguments[..], &["--report", report.to_str().unwrap()]].concat());
    let ran = Ran::from(command.env("REGATTA_TOKEN", &token).output().unwrap()).ok();
    assert!(!ran.stdout.contains(&token) && !std::fs::read_to_string(&report).unwrap().contains(&token));
    let mut command = platform.command(&["task", "list", "--json"]);
    let left = Ran::from(command.env("REGATTA_TOKEN", &token).output().unwrap()).ok().json();
    assert_eq!(left["tasks"].as_array().unwrap().len(), 0, "{left:#}");
}

/// What cannot be used, and who cannot be reached.
#[test]
fn usage_and_exit_codes() {
    let home = Home::new();
    let file = |name: &str, text: &str| {
        let path = home.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let misspelt = file("misspelt.toml", "[\"api::task::progres\"]\np95_ms = 1\n");
    let unknown = file("unknown.toml", "[\"api::task::progress\"]\np95 = 1\n");
    for (arguments, code, says) in [
        (vec!["perf", "nonsense"], 2, "no check is called"),
        (vec!["perf", "--thresholds", &misspelt], 2, "there is no check"),
        (vec!["perf", "--thresholds", &unknown], 2, "line 2"),
        (vec!["perf", "--thresholds", "/nowhere.toml"], 2, "/nowhere.toml"),
        (vec!["perf", "--report", "perf.pdf"], 2, ".junit.xml"),
        (vec!["perf", "--scale", "0"], 2, "0.05 to 1000"),
        (vec!["perf", "--target", "http://localhost:1"], 3, "no server answers"),
        (vec!["perf", "--target", "localhost"], 2, "http://localhost:8000"),
        (vec!["perf", "explain", "nonsense"], 2, "known are"),
    ] {
        let ran = home.run(&arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
    assert!(home.run(["perf", "explain", "P95"]).ok().stdout.contains("95 %"));
    assert!(home.run(["perf", "explain", "std", "dev"]).ok().stdout.contains("standard deviation"));
    let list = home.run(["perf", "run", "--list", "api::worker"]).ok().stdout;
    assert_eq!(list.lines().count(), 6, "{list}");
    assert!(list.contains("max 5000 ms, p95 4000 ms"), "{list}");
}

/// Every command of docs/performance.md, as it stands there, on a platform that runs: only the address is another, and load tests
/// end after three seconds. A limit may be missed on a machine that is busy with tests; everything else must work.
#[test]
fn the_documented_commands_work() {
    let platform = Platform::up(&[]);
    let folder = platform.home.path("project");
    std::fs::create_dir(&folder).unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(project.join("examples"), folder.join("examples")).unwrap();
    let page = std::fs::read_to_string(project.join("docs/performance.md")).unwrap();
    let mut within = false;
    let mut commands = Vec::new();
    for line in page.lines().map(str::trim) {
        match line.strip_prefix("```") {
            Some(kind) => within = kind == "console",
            None if within => commands.push(line.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {line}"))),
            None => {}
        }
    }
    assert!(commands.len() >= 20, "{commands:?}");
    let programs = Path::new(env!("CARGO_BIN_EXE_regatta")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    for command in commands {
        let mut line = command.replace("http://localhost:8000", &platform.url);
        if line.starts_with("regatta load") {
            line.push_str(" --run-time 3s");
            line = line.replace("--run-time=60s ", "").replace("--run-time=120s ", "");
            if !line.contains("--only-summary") {
                // It would wait for somebody to come to its page.
                line.push_str(" --autostart --autoquit 0 --web-port 0");
            }
        }
        let mut shell = platform.home.program("sh");
        shell.args(["-c", &line]).env("PATH", &path).env("REGATTA_SERVER", &platform.url).current_dir(&folder);
        shell.env("TMPDIR", platform.home.path(""));
        let ran = Ran::from(shell.output().unwrap());
        let only_slow = line.starts_with("regatta perf")
            && matches!(ran.code, Some(1 | 4))
            && ran.stdout.contains("over its limit")
            && !ran.stdout.contains(" errors in ");
        assert!(ran.code == Some(0) || only_slow, "{command}: {ran:?}");
    }
    let report = std::fs::read_to_string(folder.join("performance_report.txt")).unwrap();
    assert!(report.contains("=== Task Submission Performance (10 runs) ==="), "{report}");
}

/// The page has the seed's headings, in its order.
#[test]
fn the_document_has_all_its_chapters() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md")).unwrap();
    let mut rest = page.as_str();
    for heading in [
        "# Performance Testing Suite",
        "## Performance Requirements (NFR)",
        "## Test Structure",
        "### 1. API Performance Tests",
        "### 2. Concurrent Workers Tests",
        "### 3. Concurrent Tasks Tests",
        "### 4. Load Testing",
        "## Running Performance Tests",
        "### Prerequisites",
        "### Running the Checks",
        "### Running Load Tests",
        "## Performance Fixtures",
        "### Timing Fixtures",
        "### Concurrency Fixtures",
        "### Data Factory Fixtures",
        "### Performance Thresholds",
        "## Understanding Test Results",
        "## Performance Analysis",
        "### Expected Performance",
        "### Performance Bottlenecks",
        "## Performance Optimization",
        "### Database Optimizations",
        "### API Optimizations",
        "## Troubleshooting",
        "### Tests Running Slowly",
        "### Tests Failing",
        "## Continuous Performance Testing",
        "### CI/CD Integration",
        "### Performance Monitoring",
        "## References",
    ] {
        let at = rest.find(heading).unwrap_or_else(|| panic!("{heading} is missing or in another place"));
        rest = &rest[at + heading.len()..];
    }
}
