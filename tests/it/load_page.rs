//! The web page of `regatta load`: what scripts written against Locust's web API ask of it, and who may not ask.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http;
use crate::locust::{Asked, ask, free_port, locust};
use crate::rig::{Home, Process, until};

const LOCUSTFILE: &str = "
from locust import HttpUser, constant, task

class Api(HttpUser):
    wait_time = constant(0.05)

    @task
    def hello(self):
        self.client.get('/hello')
        self.client.get('/missing')
";

const SCENARIO: &str = r#"
[[users]]
name = "Api"
wait = { constant = "50ms" }
[[users.tasks]]
steps = [{ get = "/hello" }, { get = "/missing" }]
"#;

/// A load generator with its web API.
struct Page {
    process: Process,
    web: u16,
}

impl Page {
    fn ours(home: &Home, host: &str, more: &[&str]) -> Self {
        Self::ours_with(home, host, more, &[])
    }

    fn ours_with(home: &Home, host: &str, more: &[&str], env: &[(&str, &str)]) -> Self {
        let scenario = home.path("scenario.toml");
        std::fs::write(&scenario, SCENARIO).unwrap();
        let mut command = home.regatta(["load", "--web-port", "0", "-H", host, "-f", scenario.to_str().unwrap()]);
        command.args(more).envs(env.iter().copied());
        let mut process = Process::start(command, home.path("ours.log"));
        let web = until("the page", || {
            if let Some(status) = process.ended() {
                panic!("it ended with {status}: {}", process.output());
            }
            let said = process.output();
            let (_, rest) = said.split_once("web page at http://localhost:")?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        Self { process, web }
    }

    fn locusts(home: &Home, locust: &Path, host: &str) -> Self {
        std::fs::write(home.path("locustfile.py"), LOCUSTFILE).unwrap();
        let web = free_port();
        let mut command = home.program(locust.to_str().unwrap());
        command.arg("-f").arg(home.path("locustfile.py")).args(["--web-host", "127.0.0.1", "-H", host]);
        command.args(["--web-port", &web.to_string()]);
        let process = Process::start(command, home.path("locust.log"));
        until("Locust", || std::net::TcpStream::connect(("127.0.0.1", web)).is_ok().then_some(()));
        Self { process, web }
    }

    fn json(&self, method: &str, path: &str, form: &str) -> Value {
        serde_json::from_str(&ask(self.web, method, path, form)).unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{what}: {}", self.process.output()), || {
            let stats = self.json("GET", "/stats/requests", "");
            holds(&stats).then_some(stats)
        })
    }
}

/// What a script sees of a run that it starts, changes, reads, resets and stops.
struct Seen {
    swarm: Value,
    stats: Value,
    csv: Vec<String>,
    exceptions: Value,
    stop: Value,
}

fn script(page: &Page) -> Seen {
    assert_eq!(page.json("GET", "/stats/requests", "")["state"], "ready");
    let swarm = page.json("POST", "/swarm", "user_count=3&spawn_rate=30");
    let stats = page.until("users and failures", |stats| {
        let rows = stats["stats"].as_array().unwrap();
        stats["state"] == "running" && stats["user_count"] == 3 && rows.len() == 3 && !stats["errors"][0].is_null()
    });
    // Once more while it runs: another number of users.
    page.json("POST", "/swarm", "user_count=5&spawn_rate=30");
    page.until("more users", |stats| stats["user_count"] == 5);
    let csv = ["/stats/requests/csv", "/stats/failures/csv", "/exceptions/csv"]
        .map(|path| ask(page.web, "GET", path, "").lines().next().unwrap_or_default().to_owned())
        .to_vec();
    let exceptions = page.json("GET", "/exceptions", "");
    assert_eq!(ask(page.web, "POST", "/stats/reset", "").trim().trim_matches('"'), "ok");
    assert!(ask(page.web, "GET", "/stats/report", "").contains("/hello"));
    assert!(ask(page.web, "GET", "/tasks", "").contains("Api"));
    let stop = page.json("POST", "/stop", "");
    page.until("its end", |stats| stats["state"] == "stopped");
    Seen { swarm, stats, csv, exceptions, stop }
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect()
}

#[test]
fn a_script_for_locusts_web_api_works_here_too() {
    let Some(locust) = locust() else { return };
    let (server, _asked) = Asked::serve();
    let host = format!("http://{server}");
    let home = Home::new();
    let theirs = script(&Page::locusts(&home, &locust, &host));
    let ours = script(&Page::ours(&home, &host, &[]));
    let has_all = |ours: &Value, theirs: &Value, what: &str| {
        let missing: Vec<String> = keys(theirs).difference(&keys(ours)).cloned().collect();
        assert!(missing.is_empty(), "{what}: {missing:?} are in {theirs} and not in {ours}");
    };
    has_all(&ours.stats, &theirs.stats, "the statistics");
    for row in [0, 2] {
        has_all(&ours.stats["stats"][row], &theirs.stats["stats"][row], "a row");
        assert_eq!(ours.stats["stats"][row]["name"], theirs.stats["stats"][row]["name"]);
    }
    has_all(&ours.stats["errors"][0], &theirs.stats["errors"][0], "an error");
    has_all(&ours.swarm, &theirs.swarm, "the answer to a start");
    has_all(&ours.stop, &theirs.stop, "the answer to a stop");
    has_all(&ours.exceptions, &theirs.exceptions, "the exceptions");
    assert_eq!((&ours.swarm["success"], &ours.swarm["message"]), (&theirs.swarm["success"], &theirs.swarm["message"]));
    assert_eq!(ours.csv, theirs.csv);
}

#[test]
fn it_waits_for_a_start_and_ends_with_what_was_measured() {
    let (server, _asked) = Asked::serve();
    let home = Home::new();
    let mut page = Page::ours(&home, &format!("http://{server}"), &[]);
    assert_eq!(page.json("GET", "/api/load/now", "")["state"], "ready");
    page.json("POST", "/swarm", "user_count=2&spawn_rate=20&run_time=1");
    page.until("its end", |stats| stats["state"] == "stopped");
    let requests = page.json("GET", "/stats/requests", "")["stats"][2]["num_requests"].as_u64().unwrap();
    let csv = ask(page.web, "GET", "/stats/requests/csv", "");
    assert!(csv.lines().last().unwrap().starts_with(&format!(",Aggregated,{requests},")), "{requests}: {csv}");
    // And another one.
    page.json("POST", "/swarm", "user_count=1&run_time=1");
    page.until("the next one", |stats| stats["state"] != "stopped");
    page.until("its end", |stats| stats["state"] == "stopped");
    page.process.signal(Signal::INT);
    assert_eq!(page.process.wait().code(), Some(1), "requests failed: {}", page.process.output());
    assert!(page.process.output().contains("Aggregated"));
}

#[test]
fn a_run_that_begins_by_itself_ends_by_itself_when_that_is_asked_for() {
    let (server, _asked) = Asked::serve();
    let home = Home::new();
    let more = ["--autostart", "--autoquit", "0", "-t", "1s", "--exit-code-on-error", "0"];
    let mut page = Page::ours(&home, &format!("http://{server}"), &more);
    assert_eq!(page.process.wait().code(), Some(0), "{}", page.process.output());
    assert!(page.process.output().contains("Aggregated"));
}

#[test]
fn what_is_forgotten_after_a_run_is_what_was_measured_and_not_what_must_hold() {
    let (server, _asked) = Asked::serve();
    let home = Home::new();
    let page = Page::ours(&home, &format!("http://{server}"), &["--threshold", "http_req_failed: rate<0.9"]);
    let now = || page.json("GET", "/api/load/now", "");
    page.json("POST", "/swarm", "user_count=2&spawn_rate=20");
    until("requests", || (now()["total"]["requests"].as_u64()? > 0).then_some(()));
    page.json("POST", "/api/load/stop", "");
    page.until("its end", |stats| stats["state"] == "stopped");
    let said: Vec<String> = serde_json::from_value(page.json("GET", "/logs", "")["master"].clone()).unwrap();
    assert!(said.iter().any(|line| line == "The run ends: stopped from the page"), "{said:?}");
    page.json("POST", "/api/load/reset", "");
    let reset = now();
    assert_eq!((&reset["total"]["requests"], &reset["thresholds"][0]["limit"]), (&json!(0), &json!(0.9)), "{reset}");
}

#[test]
fn another_sites_page_may_not_ask() {
    let home = Home::new();
    let page = Page::ours(&home, "http://127.0.0.1:9", &[]);
    let address = format!("127.0.0.1:{}", page.web);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        http::ask(&address, method, path, headers, &Value::Null).unwrap()
    };
    for headers in [
        &[("Origin", "http://evil.example")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
    ] {
        for (method, path) in
            [("POST", "/swarm"), ("GET", "/stop"), ("POST", "/api/load/start"), ("GET", "/stats/requests")]
        {
            assert_eq!(ask(method, path, headers).status, 403, "{method} {path} {headers:?}");
        }
    }
    let shown = ask("GET", "/", &[]);
    assert!(shown.status == 200 && shown.head.contains("default-src 'none'"), "{shown:?}");
    // What cannot begin says why, and the page goes on.
    let refused = ask("POST", "/api/load/start", &[("Origin", &format!("http://{address}"))]);
    assert!(refused.status == 422 && refused.body.contains("no server answers"), "{refused:?}");
    assert_eq!(page.json("GET", "/api/load/now", "")["state"], "stopped");
}

#[test]
fn where_others_reach_it_whoever_has_the_token_may_ask_and_nobody_else() {
    let home = Home::new();
    let page = Page::ours(&home, "http://127.0.0.1:9", &["--web-host", "0.0.0.0"]);
    let address = format!("127.0.0.1:{}", page.web);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        http::ask(&address, method, path, headers, body).unwrap()
    };
    let routes = [
        ("GET", "/api/load/now"),
        ("GET", "/api/load/options"),
        ("POST", "/api/load/start"),
        ("POST", "/swarm"),
        ("GET", "/stop"),
        ("GET", "/stats/requests"),
        ("GET", "/stats/requests/csv"),
        ("GET", "/stats/report"),
        ("GET", "/logs"),
        ("GET", "/nothing"),
    ];
    let token = until("the token", || {
        let said = page.process.output();
        let at = said.find("rgl_")?;
        said.get(at..at + 68).map(str::to_owned)
    });
    let (bearer, wrong) = (format!("Bearer {token}"), format!("Bearer rgl_{}", "0".repeat(64)));
    for (method, path) in routes {
        let refused = ask(method, path, &[], &Value::Null);
        assert!(refused.status == 401 && refused.head.contains("www-authenticate: bearer"), "{path}: {refused:?}");
        // The token counts in its header alone.
        assert_eq!(ask(method, &format!("{path}?token={token}"), &[], &Value::Null).status, 401, "{path}");
    }
    assert_eq!(ask("GET", "/", &[], &Value::Null).status, 200);
    assert_eq!(ask("GET", "/assets/nothing.js", &[], &Value::Null).status, 404);
    assert_eq!(ask("GET", "/stats/requests", &[("Authorization", &bearer)], &Value::Null).status, 200);
    // The token does not make another site's page one that may ask.
    let foreign = [("Authorization", bearer.as_str()), ("Origin", "http://evil.example")];
    assert_eq!(ask("GET", "/stats/requests", &foreign, &Value::Null).status, 403);

    let signed_in = ask("POST", "/api/load/sign-in", &[], &json!({ "token": token }));
    assert_eq!(signed_in.status, 200);
    let (_, rest) = signed_in.head.split_once("set-cookie: ").unwrap();
    let (cookie, attributes) = rest.lines().next().unwrap().split_once(';').unwrap();
    assert!(!cookie.contains(&token) && !signed_in.body.contains(&token), "{signed_in:?}");
    assert_eq!(attributes, " path=/; httponly; samesite=strict");
    let options = ask("GET", "/api/load/options", &[("Cookie", cookie)], &Value::Null);
    assert!(options.status == 200 && options.body.contains("\"login\":true"), "{options:?}");
    assert_eq!(ask("GET", "/stats/requests/csv", &[("Cookie", cookie)], &Value::Null).status, 200);
    assert_eq!(ask("GET", "/api/load/now", &[("Cookie", &format!("{cookie}0"))], &Value::Null).status, 401);

    // Who guesses waits, even with the right one; who has signed in goes on.
    let mut tries = 0;
    let slowed = loop {
        let answer = ask("POST", "/api/load/sign-in", &[], &json!({ "token": "a guess" }));
        tries += 1;
        if answer.status != 401 || tries > 100 {
            break answer;
        }
        assert_eq!(ask("GET", "/stop", &[("Authorization", &wrong)], &Value::Null).status, 401);
    };
    assert!(slowed.status == 429 && slowed.head.contains("retry-after: "), "{slowed:?}");
    assert_eq!(ask("POST", "/api/load/sign-in", &[], &json!({ "token": token })).status, 429);
    assert_eq!(ask("GET", "/api/load/now", &[("Cookie", cookie)], &Value::Null).status, 200);
    let out = ask("POST", "/api/load/sign-out", &[("Cookie", cookie)], &Value::Null);
    assert!(out.status == 200 && out.head.contains("max-age=0"), "{out:?}");
    assert_eq!(ask("GET", "/api/load/now", &[("Cookie", cookie)], &Value::Null).status, 401);
    // Shown once, and no line of the log has it.
    assert_eq!(page.process.output().matches(&token).count(), 1);
}

#[test]
fn the_token_is_what_its_owner_chose_and_no_word_that_is_guessed() {
    let home = Home::new();
    let host = "http://127.0.0.1:9";
    let chosen = "correct-horse-battery";
    let now = |page: &Page, token: &str| {
        let headers = [("Authorization", format!("Bearer {token}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        http::ask(&format!("127.0.0.1:{}", page.web), "GET", "/api/load/now", &headers, &Value::Null).unwrap().status
    };
    let page = Page::ours_with(&home, host, &["--web-login"], &[("REGATTA_LOAD_TOKEN", chosen)]);
    assert_eq!((now(&page, chosen), now(&page, "another-one-of-many")), (200, 401));
    assert!(!page.process.output().contains(chosen) && !page.process.output().contains("rgl_"));
    let home = Home::new();
    std::fs::write(home.path("token"), format!("{chosen}-too\n")).unwrap();
    let file = home.path("token");
    let page = Page::ours(&home, host, &["--web-login", "--web-token-file", file.to_str().unwrap()]);
    assert_eq!((now(&page, &format!("{chosen}-too")), now(&page, chosen)), (200, 401));
    std::fs::write(&file, "short\n").unwrap();
    for flags in [&["--web-login", "--web-token-file", file.to_str().unwrap()][..], &["--web-host", "0.0.0.0"]] {
        let mut command = home.regatta(["load", "--web-port", "0", "-f", home.path("scenario.toml").to_str().unwrap()]);
        let ran = command.args(flags).env("REGATTA_LOAD_TOKEN", "guess").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(2) && said.contains("12 or more"), "{said}");
    }
}
