//! Closed and open model, ramps, stops, thresholds.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use regatta_load::engine::arrivals::Profile;
use regatta_load::engine::client::Client;
use regatta_load::engine::user::{Step, User, UserClass};
use regatta_load::engine::{Event, Observer};
use regatta_load::scenario::compile::Choices;
use regatta_load::scenario::plan::{Behaviour, Class, Limits};
use regatta_load::scenario::wait::Wait;
use regatta_load::threshold::Threshold;
use regatta_load::{Engine, Options, Plan, Totals};

use crate::server::{After, Counter, Nobody, plan, run, start, users};

const ONE: &str = r#"
[[users]]
name = "Reader"
wait = { constant = "10ms" }
[[users.tasks]]
get = "/x"
"#;

fn ok() -> Router {
    Router::new().route("/x", get(|| async { "ok" }))
}

#[test]
fn users_come_by_weight_and_all_of_them() {
    struct Spawned(Option<Vec<(String, u64)>>, u64);
    impl Observer for Spawned {
        fn event(&mut self, event: &Event, _: &Totals) {
            if let Event::Spawned(classes) = event {
                self.0 = Some(classes.clone());
            }
        }
        fn second(&mut self, totals: &Totals) {
            self.1 = self.1.max(totals.user_count());
        }
    }
    let text = format!(
        "{ONE}\n[[users]]\nname = \"Rare\"\nweight = 0.5\nwait = {{ constant = \"10ms\" }}\n[[users.tasks]]\nget = \"/x\"\n"
    );
    let plan = plan(&text, start(ok()), Choices::default()).unwrap();
    let mut seen = Spawned(None, 0);
    let mut options = users(9, 2_500);
    options.spawn_rate = 20.0;
    let ran = Engine::new(plan, options).unwrap().run(&mut seen).unwrap();
    assert_eq!(seen.0.unwrap(), [("Reader".to_owned(), 6), ("Rare".to_owned(), 3)]);
    assert_eq!(seen.1, 9);
    assert_eq!(ran.totals.user_count(), 0, "everybody is gone at the end");
    assert!(!ran.interrupted);
}

#[test]
fn users_can_be_added_and_taken_away() {
    struct Steering(regatta_load::engine::Handle, Vec<u64>);
    impl Observer for Steering {
        fn event(&mut self, event: &Event, _: &Totals) {
            if let Event::Spawned(classes) = event {
                self.1.push(classes.iter().map(|(_, count)| count).sum());
                match self.1.len() {
                    1 => self.0.add_users(10),
                    2 => self.0.add_users(-11),
                    _ => self.0.stop(),
                }
            }
        }
    }
    let mut options = users(2, 0);
    options.run_time = None;
    let engine = Engine::new(plan(ONE, start(ok()), Choices::default()).unwrap(), options).unwrap();
    let mut steering = Steering(engine.handle(), Vec::new());
    let ran = engine.run(&mut steering).unwrap();
    assert_eq!(steering.1, [2, 12, 1]);
    assert!(ran.interrupted);
}

#[test]
fn a_stalled_server_is_seen_from_the_intended_start() {
    // One answer of all takes a second; meanwhile the only user cannot ask, but others would have.
    let counter = Counter::default();
    let host = start(Router::new().route(
        "/x",
        get(move || async move {
            if counter.add() == 50 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }),
    ));
    let options = Options {
        users: 1,
        threads: 1,
        run_time: Some(Duration::from_millis(3_500)),
        arrivals: Some(Profile::constant(100.0).unwrap()),
        ..Options::default()
    };
    let ran = run(ONE, host, options);
    let all = &ran.totals.all;
    // Service time: one slow answer. Response time: about a hundred, from one second down to nothing.
    let slow = |times: &regatta_stats::Distribution| times.count() - times.count_up_to(250_000);
    assert!(slow(all.service()) < 20, "{}", slow(all.service()));
    assert!(slow(&all.response) > slow(all.service()) + 40, "{} {}", slow(&all.response), slow(all.service()));
    assert!(all.response.max() >= 1_000_000);
}

#[test]
fn the_open_model_begins_what_is_due_however_long_it_takes() {
    let counter = Counter::default();
    let seen = counter.clone();
    let host = start(Router::new().route(
        "/x",
        get(move || async move {
            seen.add();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }),
    ));
    let options = Options {
        users: 500,
        threads: 2,
        stop_timeout: Duration::from_secs(60),
        arrivals: Some(Profile::stages(0.0, vec![(Duration::from_secs(2), 100.0)]).unwrap()),
        ..Options::default()
    };
    let ran = run(ONE, host, options);
    // 100 tasks are due on the way from 0 to 100 a second in 2 seconds; the last may be due when it ends.
    assert!((95..=100).contains(&counter.get()), "{}", counter.get());
    assert_eq!(ran.totals.dropped, 0);
    // With one user at a time it would have taken 30 seconds.
    assert!(ran.totals.user_series.points().iter().any(|level| level.users > 5), "{:?}", ran.totals.user_series);
}

#[test]
fn stopping_lets_tasks_end_within_the_stop_timeout() {
    let counter = Counter::default();
    let (seen, done) = (counter.clone(), Counter::default());
    let ended = done.clone();
    let host = start(Router::new().route(
        "/x",
        get(move || async move {
            seen.add();
            tokio::time::sleep(Duration::from_millis(700)).await;
            ended.add();
        }),
    ));
    let mut options = users(3, 300);
    options.stop_timeout = Duration::from_secs(60);
    let ran = run(ONE, host, options);
    assert_eq!((ran.totals.all.requests, counter.get(), done.get()), (3, 3, 3));
    // Without it what is under way is not waited for, and not counted.
    let ran = run(ONE, host, users(3, 300));
    assert_eq!(ran.totals.all.requests, 0);
}

#[test]
fn users_clean_up_when_they_are_stopped() {
    let counter = Counter::default();
    let seen = counter.clone();
    let host = start(ok().route("/bye", axum::routing::delete(move || async move { seen.add().to_string() })));
    let text = r#"
[[users]]
name = "Tidy"
wait = { constant = "1h" }
on_stop = [{ delete = "/bye", record = false }]
[[users.tasks]]
get = "/x"
"#;
    let ran = run(text, host, users(5, 500));
    assert_eq!((counter.get(), ran.totals.all.requests), (5, 5));
}

#[test]
fn a_threshold_with_abort_ends_the_run() {
    let mut options = users(2, 0);
    options.run_time = Some(Duration::from_secs(600));
    options.thresholds = vec![
        Threshold::parse("http_reqs{name:/x}: count<5 abort").unwrap(),
        Threshold::parse("http_req_failed: rate<0.5").unwrap(),
        Threshold::parse("http_req_duration{name:/typo}: p(95)<1e9").unwrap(),
    ];
    let ran = run(ONE, start(ok()), options);
    assert!(ran.aborted && !ran.interrupted);
    let holds: Vec<bool> = ran.verdicts.iter().map(|verdict| verdict.holds).collect();
    assert_eq!(holds, [false, true, false], "{:?}", ran.verdicts);
}

#[test]
fn the_warm_up_does_not_count() {
    let counter = Counter::default();
    let seen = counter.clone();
    let host = start(Router::new().route("/x", get(move || async move { seen.add().to_string() })));
    let mut options = users(2, 3_500);
    options.warm_up = Duration::from_secs(2);
    options.stop_timeout = Duration::from_secs(60);
    let ran = run(ONE, host, options);
    assert!(ran.totals.all.requests > 0 && ran.totals.all.requests < counter.get());
    assert!(ran.totals.seconds() < 3.0, "{}", ran.totals.seconds());
}

#[test]
fn reports_are_whole_when_it_is_interrupted() {
    let engine = Engine::new(
        plan(ONE, start(ok()), Choices::default()).unwrap(),
        Options { run_time: Some(Duration::from_secs(3600)), ..users(2, 0) },
    )
    .unwrap();
    let mut after = After(1, engine.handle());
    let ran = engine.run(&mut after).unwrap();
    assert!(ran.interrupted && ran.totals.all.requests > 0);
    let mut csv = Vec::new();
    regatta_load::report::csv::stats(&mut csv, &ran.totals).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let row = csv.lines().find(|line| line.starts_with("GET,/x,")).unwrap();
    assert!(row.starts_with(&format!("GET,/x,{},0,", ran.totals.all.requests)), "{csv}");
}

#[test]
fn a_user_that_panics_is_told_and_the_others_go_on() {
    #[derive(Debug)]
    struct Class0;
    struct Mortal(u64);
    impl UserClass for Class0 {
        fn user(&self, number: u64) -> Box<dyn User> {
            Box::new(Mortal(number))
        }
    }
    impl User for Mortal {
        fn task<'a>(&'a mut self, client: &'a mut Client) -> Step<'a> {
            Box::pin(async move {
                assert!(self.0 != 2, "user 2 always dies");
                let _ = client.get("/x").await;
            })
        }
    }
    let ran = Engine::new(in_rust(start(ok()), Arc::new(Class0)), users(3, 1_500)).unwrap().run(&mut Nobody).unwrap();
    assert!(ran.totals.all.requests > 2);
    let exceptions: Vec<_> = ran.totals.exceptions.into_iter().collect();
    assert_eq!(exceptions, [(("a user has panicked, and is gone".to_owned(), "Rust".to_owned()), 1)]);
    assert!(ran.totals.user_series.points().iter().any(|level| level.users == 2), "{:?}", ran.totals.user_series);
}

/// A plan of one class in Rust.
fn in_rust(host: std::net::SocketAddr, class: Arc<dyn UserClass>) -> Plan {
    Plan {
        host: format!("http://{host}").parse().unwrap(),
        classes: vec![Class {
            name: "Rust".to_owned(),
            weight: 1.0,
            wait: Wait::Pacing(regatta_load::scenario::duration::Span(Duration::from_millis(20))),
            behaviour: Behaviour::Rust(class),
        }],
        names: Vec::new(),
        data: Vec::new(),
        thresholds: Vec::new(),
        limits: Limits::default(),
    }
}

#[test]
fn users_in_rust() {
    #[derive(Debug)]
    struct Class0;
    struct One(u64);
    impl UserClass for Class0 {
        fn user(&self, number: u64) -> Box<dyn User> {
            Box::new(One(number))
        }
    }
    impl User for One {
        fn task<'a>(&'a mut self, client: &'a mut Client) -> Step<'a> {
            Box::pin(async move {
                assert_eq!(client.number(), self.0);
                assert_eq!(client.get("/x").await.map(|answer| answer.body), Ok(b"ok".to_vec()));
                assert!(client.get("/missing").await.is_err());
            })
        }
    }
    let plan = in_rust(start(ok()), Arc::new(Class0));
    let ran = Engine::new(plan, users(3, 600)).unwrap().run(&mut Nobody).unwrap();
    let rows: Vec<(&str, u64)> = ran.totals.sorted().iter().map(|entry| (&*entry.id.name, entry.failures)).collect();
    assert_eq!(rows[1], ("/x", 0));
    assert!(rows[0].0 == "/missing" && rows[0].1 > 0, "{rows:?}");
}

/// Stopped in the moment in which its users come, before they did anything: they clean up, and the run ends.
#[test]
fn users_that_are_stopped_before_their_first_step_clean_up() {
    let text = "[[users]]\nname = \"Maker\"\non_stop = [{ delete = \"/x\", when = \"made\" }]\n\
                [[users.tasks]]\nget = \"/x\"\nextract = { made = \"$.id\" }\n";
    let plan = plan(text, start(ok()), Choices::default()).unwrap();
    let mut options = users(50, 60_000);
    options.spawn_rate = 1e6;
    let engine = Engine::new(plan, options).unwrap();
    engine.handle().stop();
    let ran = engine.run(&mut Nobody).unwrap();
    assert!(ran.interrupted);
    assert_eq!(ran.totals.user_count(), 0);
    // On a busy machine one may have asked before it heard of the stop; that has no id in it, and is all that may fail.
    assert_eq!(ran.totals.all.failures, ran.totals.all.requests, "no cleaning up failed");
}

/// Who runs a plan may say how many tasks each user does.
#[test]
fn users_leave_after_their_tasks() {
    struct StopAfter(u64, regatta_load::engine::Handle);
    impl Observer for StopAfter {
        fn second(&mut self, totals: &Totals) {
            if totals.iterations >= self.0 {
                self.1.stop();
            }
        }
    }
    let mut plan = plan(ONE, start(ok()), Choices::default()).unwrap();
    plan.limits.iterations = Some(3);
    let mut options = users(4, 60_000);
    options.spawn_rate = 1e6;
    let engine = Engine::new(plan, options).unwrap();
    let mut observer = StopAfter(12, engine.handle());
    let ran = engine.run(&mut observer).unwrap();
    assert_eq!((ran.totals.iterations, ran.totals.all.requests), (12, 12));
}
