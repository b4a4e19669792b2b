//! The server's OpenAPI document against the server, by Schemathesis (<https://schemathesis.io>): calls that fit it and
//! calls that do not, one by one and in sequences.
//!
//! No answer is a 5xx, every status, content type and body is one that the document promises, what fits is taken, and what
//! does not is refused. `REGATTA_SCHEMATHESIS_EXAMPLES` says how many calls of each operation are made up at random
//! (default 10, beside some 1,500 that are worked out), `REGATTA_SCHEMATHESIS_SEED` which.

use std::process::Command;

use serde_json::json;

use crate::http::{ask, call};
use crate::python::Environment;
use crate::rig::Platform;

/// What is looked at in an answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,positive_data_acceptance,missing_required_header,\
    use_after_free,ensure_resource_availability";

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[test]
fn every_answer_is_one_that_the_document_promises() {
    let Some(environment) = Environment::or_skip("schemathesis", include_str!("python/schemathesis.txt")) else {
        return;
    };
    let platform = Platform::serve();
    let address = platform.address();
    // Things that are there to be asked for. The task waits, so that it can be changed in every way.
    let worker = json!({"machine_id": "m", "machine_name": "m", "system_info": {}, "tools": ["command"]});
    let (_, registered) = call(&address, "POST", "/workers/register", None, &worker).unwrap();
    let task = json!({"description": "Something to be asked for", "task_type": "documentation"});
    let (_, made) = call(&address, "POST", "/tasks", None, &task).unwrap();
    let task_id = made["task_id"].as_str().unwrap();
    let (_, task) = call(&address, "GET", &format!("/tasks/{task_id}"), None, &json!(null)).unwrap();

    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python");
    let mut command = Command::new(environment.program("st"));
    command
        .args(["run", &format!("{}/openapi.json", platform.url)])
        .args(["--checks", CHECKS, "--phases", "coverage,fuzzing,stateful", "--continue-on-failure"])
        .args(["--max-examples", &variable("REGATTA_SCHEMATHESIS_EXAMPLES", "10")])
        .args(["--seed", &variable("REGATTA_SCHEMATHESIS_SEED", "1")])
        // U+0000 in texts is refused, which a schema cannot say; the server's own fuzz tries it.
        .args(["--generation-allow-x00", "false", "--generation-database", "none", "--request-timeout", "60"])
        // Sockets have tests of their own; here they would all be 426.
        .args(["--exclude-path-regex", "/ws", "--no-color", "--warnings", "off"])
        .env("PYTHONPATH", here)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("REGATTA_TASK_ID", task_id)
        .env("REGATTA_SUBTASK_ID", task["subtasks"][0]["subtask_id"].as_str().unwrap())
        .env("REGATTA_WORKER_ID", registered["worker_id"].as_str().unwrap())
        // Without a home of its own it would look for settings of this machine.
        .current_dir(platform.home.path(""));
    // Where a proxy leads out, it does not lead to this server.
    for name in ["NO_PROXY", "no_proxy"] {
        command.env(name, "localhost,127.0.0.1,::1");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "Schemathesis found something, see above: {}", output.status);
    let made = said.lines().find(|line| line.contains(" generated")).unwrap_or_default();
    let count: u64 = made.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default();
    assert!(count > 500, "it made only a few calls: {made:?}");
    let log = platform.process.output();
    assert!(!log.contains("panicked") && !log.contains(" ERROR "), "the server complained:\n{log}");
    let health = ask(&address, "GET", "/api/v1/health", &[], &json!(null)).unwrap();
    assert_eq!(health.status, 200, "{health:?}");
}
