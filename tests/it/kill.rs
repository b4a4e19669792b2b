//! `kill -9`, and nothing is lost.

use serde_json::Value;

use crate::rig::{Platform, is_alive, lines, until};

#[test]
fn a_server_that_is_killed_under_work_loses_nothing() {
    let mut platform = Platform::serve();
    let _workers = [platform.worker("w1"), platform.worker("w2")];
    let marks = platform.home.path("marks");
    let ids: Vec<String> = (0..12)
        .map(|number| {
            platform
                .submit_shell(&format!("sleep 0.3; echo {number} >> {}; echo '{{\"n\": {number}}}'", marks.display()))
        })
        .collect();
    until("some work to be done", || (lines(&marks) >= 3).then_some(()));

    for _ in 0..2 {
        platform.process.kill();
        let address = platform.url.strip_prefix("http://").unwrap().to_owned();
        let Platform { home, .. } = platform;
        platform = Platform::start(home, &["serve", "--listen", &address]);
        // Acknowledged tasks are all there.
        let list = platform.run(&["task", "list", "--json"]).ok().json();
        assert_eq!(list["tasks"].as_array().unwrap().len(), ids.len());
    }
    for (number, id) in ids.iter().enumerate() {
        let task = platform.ended(id);
        assert_eq!(task["status"], "completed", "{task:#}");
        assert_eq!(platform.step(id, "sh")["output"]["n"], number);
    }
}

#[test]
fn a_worker_that_is_killed_and_comes_back_runs_its_subtask_again() {
    let platform = Platform::serve();
    let mut worker = platform.worker("w1");
    let marks = platform.home.path("marks");
    let line = format!(
        "echo $$ >> {0}; if [ $(wc -l < {0}) -ge 2 ]; then echo '{{\"run\": 2}}'; else trap '' TERM; sleep 600; fi",
        marks.display()
    );
    let id = platform.submit_shell(&line);
    until("the first run", || (lines(&marks) == 1).then_some(()));
    let first: u32 = std::fs::read_to_string(&marks).unwrap().trim().parse().unwrap();

    worker.kill();
    // The same name and data folder: the same worker, and what it had goes back at once.
    let _worker = platform.worker("w1");
    let task = platform.ended(&id);
    assert_eq!(task["status"], "completed", "{task:#}");
    let step = platform.step(&id, "sh");
    assert_eq!(step["output"]["run"], 2);
    let outcomes: Vec<&Value> =
        step["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["lost", "completed"]);
    let workers = platform.run(&["workers", "list", "--json"]).ok().json();
    assert_eq!(workers["workers"].as_array().unwrap().len(), 1, "{workers:#}");
    // What the killed worker left running is ended, though it ignores SIGTERM.
    until("the first run to be ended", || (!is_alive(first)).then_some(()));
}

#[test]
fn the_workers_of_up_are_started_again_and_go_when_it_is_killed() {
    let mut platform = Platform::up(&["--workers", "1"]);
    let first = platform.workers()[0];
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    // Its successor does the work.
    let id = platform.submit_shell("true");
    assert_eq!(platform.ended(&id)["status"], "completed");
    let said = platform.process.output();
    assert!(said.contains("worker-1 ended") && said.contains("it starts again"), "{said}");
    let again = said.lines().find_map(|line| line.strip_prefix("worker-1 runs again, process "));
    let second: u32 = again.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!(second != first && is_alive(second), "{said}");

    let pids = platform.home.path("pids");
    platform.submit_shell(&format!("echo $PPID $$ > {}; sleep 600", pids.display()));
    // The supervisor of the worker, and the tool.
    let processes: Vec<u32> = until("the tool", || {
        let text = std::fs::read_to_string(&pids).ok()?;
        text.ends_with('\n').then(|| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
    });
    assert!(processes.iter().all(|pid| is_alive(*pid)));
    platform.process.kill();
    until("everything to be gone", || (!processes.iter().any(|pid| is_alive(*pid))).then_some(()));

    // The next one waits for its own workers, though the rows of the killed ones still say that they are online.
    let Platform { home, .. } = platform;
    std::fs::remove_file(home.path("platform.log")).unwrap();
    let platform = Platform::start(home, &["up", "--port", "0", "--workers", "3", "--demo"]);
    assert_eq!(platform.workers().len(), 4);
    let said = until("the welcome", || {
        let said = platform.process.output();
        said.contains("Ctrl-C").then_some(said)
    });
    for line in
        ["worker-1, process", "worker-3, process", "demo-agents (simulated), process", "one task that was not done"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
}
