//! Scenario files: what they can say, and how mistakes in them are told.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::scenario::file::schema;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::server::{plan, run, start, users};

fn nowhere() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

#[test]
fn a_sequence_with_everything() {
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (posts, gets) = (Arc::clone(&seen), Arc::clone(&seen));
    let routes = Router::new()
        .route(
            "/items",
            post(move |headers: HeaderMap, Json(body): Json<Value>| async move {
                posts.lock().push(json!({ "body": body, "token": headers["x-token"].to_str().unwrap() }));
                (StatusCode::CREATED, [("location", "/items/7")], Json(json!({ "item": { "id": "a \"7\"" }, "n": 5 })))
            }),
        )
        .route(
            "/items/{id}",
            get(move |Path(id): Path<String>| async move {
                gets.lock().push(json!(id));
                Json(json!({ "state": "ready" }))
            }),
        );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("people.csv"), "name,age\nAnn,31\n").unwrap();
    let text = r#"
headers = { X-Token = "file" }
[[data]]
name = "people"
file = "people.csv"

[[users]]
name = "Buyer"
wait = { pacing = "200ms" }
vars = { mine = "u{{user}}" }
headers = { x-token = "class {{mine}}" }

[[users.tasks]]
name = "buy"
steps = [
    { post = "/items", json = { who = "{{people.name}}", age = "{{people.age | json}}", list = [1, "{{run}}"] }, expect = 201, extract = { id = "$.item.id", n = "$.n", where = "header:Location" } },
    { post = "/items", json = { again = "{{id}}", n = "{{n | json}}", quoted = "{{n}}" } },
    { get = "{{where}}", name = "/items/{id}", expect = { status = [200, 202], contains = "ready", json = { "$.state" = "ready" } } },
    { wait = { constant = "1ms" } },
    { repeat = 2, steps = [{ get = "/items/{{n}}", name = "/items/{id}" }] },
]
"#;
    let source = Source { name: "s.toml".to_owned(), text: text.to_owned(), folder: dir.path().to_owned() };
    let host = start(routes);
    let choices = Choices { host: Some(format!("http://{host}")), run: "r9".into(), ..Choices::default() };
    let plan = regatta_load::scenario::load(&source, &choices).unwrap();
    let ran = regatta_load::Engine::new(plan, users(1, 100)).unwrap().run(&mut crate::server::Nobody).unwrap();
    assert!(ran.totals.errors.is_empty() && ran.totals.exceptions.is_empty(), "{:?}", ran.totals);
    let seen = seen.lock();
    assert_eq!(seen[0], json!({ "body": { "who": "Ann", "age": 31, "list": [1, "r9"] }, "token": "class u1" }));
    assert_eq!(seen[1]["body"], json!({ "again": "a \"7\"", "n": 5, "quoted": "5" }));
    assert_eq!(seen[2..5], [json!("7"), json!("5"), json!("5")]);
    let names: Vec<_> = ran.totals.sorted().iter().map(|entry| (entry.id.method, entry.id.name.to_string())).collect();
    assert_eq!(names, [("POST", "/items".to_owned()), ("GET", "/items/{id}".to_owned())]);
}

#[test]
fn what_is_not_as_expected_is_a_failure_with_a_reason() {
    let host = start(Router::new().route("/x", get(|| async { Json(json!({ "state": "broken" })) })));
    let text = r#"
[[users]]
name = "Reader"
wait = { constant = "20ms" }
[[users.tasks]]
name = "/1"
get = "/x"
expect = 201
[[users.tasks]]
name = "/2"
get = "/x"
expect = { contains = "ready" }
[[users.tasks]]
name = "/3"
get = "/x"
expect = { json = { "$.state" = "ready" } }
[[users.tasks]]
name = "/4"
get = "/x"
extract = { id = "$.id" }
[[users.tasks]]
name = "/5"
get = "/missing"
[[users.tasks]]
name = "/6"
get = "/{{id}}"
"#;
    let ran = run(text, host, users(4, 1_500));
    let errors: Vec<(String, String)> = ran
        .totals
        .errors
        .keys()
        .map(|(id, text)| (ran.totals.entries[*id].id.name.to_string(), text.clone()))
        .collect();
    let expected = [
        ("/1", "200 OK, expected 201"),
        ("/2", "the body does not contain `ready`"),
        ("/3", "$.state is `broken`, expected `ready`"),
        ("/4", "there is no $.id to extract"),
        ("/5", "404 Not Found"),
    ];
    for (name, text) in expected {
        assert!(errors.contains(&(name.to_owned(), text.to_owned())), "{name}: {errors:?}");
    }
    assert_eq!(errors.len(), expected.len());
    let exceptions: Vec<_> = ran.totals.exceptions.keys().collect();
    assert_eq!(exceptions.len(), 1);
    assert!(exceptions[0].0.contains("`id` is not set") && exceptions[0].1.starts_with("Reader"), "{exceptions:?}");
}

#[test]
fn mistakes_are_told_with_line_column_and_a_hint() {
    let users = "[[users]]\nname = \"A\"\n";
    let task = "[[users.tasks]]\nget = \"/\"\n";
    for (text, line, column, part) in [
        ("hots = \"http://a\"\n", 1, 1, "did you mean `host`?"),
        ("[[users]]\nnaem = \"A\"\n", 2, 1, "did you mean `name`?"),
        (&format!("{users}wieght = 2\n{task}"), 3, 1, "did you mean `weight`?"),
        (&format!("{users}wait = {{ constnt = \"1s\" }}\n{task}"), 3, 10, "did you mean `constant`?"),
        (&format!("{users}wait = {{ constant = \"1x\" }}\n{task}"), 3, 21, "1h30m"),
        (&format!("{users}wait = {{ between = [\"3s\", \"1s\"] }}\n{task}"), 3, 8, "longer"),
        (&format!("{users}[[users.tasks]]\ngte = \"/\"\n"), 4, 1, "did you mean `get`?"),
        (&format!("{users}[[users.tasks]]\nget = \"items\"\n"), 4, 7, "must begin with /"),
        (&format!("{users}[[users.tasks]]\nget = \"/{{{{ id\"\n"), 4, 7, "not closed"),
        (&format!("{users}[[users.tasks]]\nget = \"/{{{{id}}}}\"\n"), 4, 7, "nothing sets a variable `id`"),
        (&format!("{users}[[users.tasks]]\nget = \"/\"\npost = \"/\"\n"), 3, 1, "several"),
        (&format!("{users}[[users.tasks]]\nname = \"x\"\n"), 3, 1, "does nothing"),
        (&format!("{users}[[users.tasks]]\njson = 1\n"), 3, 1, "no path"),
        (&format!("{users}[[users.tasks]]\nget = \"/\"\nexpect = 20\n"), 5, 10, "no HTTP status"),
        (&format!("{users}[[users.tasks]]\nget = \"/\"\nextract = {{ id = \"id\" }}\n"), 5, 18, "JSONPath"),
        (
            &format!("{users}[[users.tasks]]\nget = \"/\"\nexpect = {{ stauts = 200 }}\n"),
            5,
            12,
            "did you mean `status`?",
        ),
        (&format!("{users}[[users.tasks]]\nget = \"/\"\nweight = -1\n"), 3, 1, "no weight"),
        (users, 1, 1, "has no tasks"),
        (&format!("thresholds = [\"p(95)<1\"]\n{users}{task}"), 1, 15, "no colon"),
        ("users = 3\n", 1, 9, "invalid type"),
        ("[[users]\n", 1, 9, ""),
    ] {
        let error = plan(text, nowhere(), Choices::default()).unwrap_err();
        let (at_line, at_column, _) = error.place.clone().unwrap_or_else(|| panic!("{text}: {error}"));
        assert_eq!((at_line, at_column), (line, column), "{text}\n{error}");
        assert!(error.to_string().contains(part), "{text}\n{error}");
    }
    let error = plan("", nowhere(), Choices::default()).unwrap_err();
    assert!(error.to_string().contains("no users"), "{error}");
}

#[test]
fn classes_and_tags_choose() {
    let text = r#"
[[users]]
name = "A"
[[users.tasks]]
get = "/1"
tags = ["read"]
[[users.tasks]]
get = "/2"
tags = ["write", "slow"]
[[users]]
name = "B"
[[users.tasks]]
get = "/3"
"#;
    let chosen = |choices: Choices| {
        let plan = plan(text, nowhere(), choices)?;
        Ok::<_, regatta_load::ScenarioError>(regatta_load::report::tables::task_ratio(&plan))
    };
    let list = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = chosen(Choices::default()).unwrap();
    assert!(
        all.contains("* 50.0% GET /1") && all.contains("* 25.0% GET /1") && all.contains("* 50.0% GET /3"),
        "{all}"
    );
    let read = chosen(Choices { tags: list(&["read"]), ..Choices::default() }).unwrap();
    assert!(read.contains("100.0% GET /1") && !read.contains("/2") && !read.contains("B"), "{read}");
    let fast = chosen(Choices { exclude_tags: list(&["slow"]), ..Choices::default() }).unwrap();
    assert!(!fast.contains("/2") && fast.contains("/3"), "{fast}");
    let one = chosen(Choices { classes: list(&["B"]), ..Choices::default() }).unwrap();
    assert!(!one.contains("/1") && one.contains("100.0% GET /3"), "{one}");
    let error = chosen(Choices { classes: list(&["BB"]), ..Choices::default() }).unwrap_err().to_string();
    assert!(error.contains("`BB`") && error.contains("did you mean `B`?"), "{error}");
    let error = chosen(Choices { tags: list(&["none"]), ..Choices::default() }).unwrap_err().to_string();
    assert!(error.contains("no class of users has a task left"), "{error}");
}

/// The schema in docs is the one of these types. `UPDATE=1` writes it anew.
#[test]
fn the_published_schema_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scenario.schema.json");
    let text = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "UPDATE=1 writes it anew");
    assert_eq!(schema()["properties"]["users"]["items"]["$ref"], "#/$defs/Users");
}
