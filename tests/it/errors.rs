//! Every way to fail has its exit code and a sentence that says what to do, never a dump.

use crate::rig::{Home, Platform, Ran};

/// `error: what happened`, mostly with a hint, and nothing a program would say to itself.
#[track_caller]
fn says(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert!(ran.stderr.contains("error:"), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} in {ran:?}");
    }
    for dump in ["panicked", "backtrace", "Error {", "Os {", "Some(", "Err("] {
        assert!(!ran.stderr.contains(dump), "{ran:?}");
    }
}

#[test]
fn without_a_server() {
    let home = Home::new();
    let config = home.path("bad.toml");
    std::fs::write(&config, "server = \"localhost:1\"\n[up]\nworker = 3\n").unwrap();
    let config = config.to_str().unwrap();
    let plan = home.path("plan.toml");
    std::fs::write(&plan, "description = \"Do something useful\"\n[[subtasks]]\nnam = \"a\"\n").unwrap();
    let plan = plan.to_str().unwrap();
    let step = "description = \"Do something useful\"\n[[subtasks]]\nname = \"a\"\ntool = \"command\"\n";
    let [no_list, template] =
        [("no-list.toml", "\"ls\""), ("template.toml", "[\"echo\", \"{{ x\"]")].map(|(name, argv)| {
            std::fs::write(home.path(name), format!("{step}input = {{ argv = {argv} }}\n")).unwrap();
            home.path(name).to_str().unwrap().to_owned()
        });
    let (no_list, template) = (no_list.as_str(), template.as_str());
    let no_database = format!("sqlite:{plan}");
    let id = "0193e3c8-7c00-7000-8000-000000000001";
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["nonsense"], 2, &["nonsense"]),
        (&["task", "submit"], 2, &["DESCRIPTION"]),
        (&["task", "list", "--status", "sleeping"], 2, &["sleeping", "in_progress"]),
        (&["worker"], 2, &["hint:", "--server"]),
        (&["worker", "--server", "http://localhost:1"], 2, &["hint:", "--tools"]),
        (&["worker", "--server", "localhost:1", "--tools", "no-such-tool"], 2, &["no-such-tool"]),
        (&["status", "--server", "localhost:1"], 3, &["localhost:1", "hint:", "regatta up"]),
        (&["task", "get", id, "--server", "localhost:1"], 3, &["hint:"]),
        (&["task", "submit", "Do something useful", "--server", "localhost:1"], 3, &["hint:"]),
        (&["status", "--server", "wss://localhost:1"], 2, &["speaks wss", "hint:"]),
        (&["status", "--server", "localhost:1", "--config", config], 2, &["line 3", "`worker`"]),
        (&["status", "--config", "/no/such/file.toml"], 2, &["/no/such/file.toml", "hint:"]),
        (&["task", "submit", "--plan", plan, "--server", "localhost:1"], 2, &["plan.toml:3", "nam"]),
        (
            &["task", "submit", "--plan", no_list, "--server", "localhost:1"],
            2,
            &["no-list.toml:5:18", "argv", "a list"],
        ),
        (&["task", "submit", "--plan", template, "--server", "localhost:1"], 2, &["template.toml:5:27", "argv[1]"]),
        (&["task", "submit", "--tool", "command", "--input", "{}", "Do something useful"], 2, &["names no program"]),
        (&["task", "get", "01"], 2, &["at least four"]),
        (
            &["serve", "--listen", "localhost:0", "--database", "postgres://me:secret@localhost:1/x"],
            1,
            &["postgres://me@localhost:1/x", "cannot be reached", "hint:"],
        ),
        (&["serve", "--listen", "no-such-host.invalid:0"], 2, &["no address to listen on", "hint:"]),
        (&["serve", "--listen", "nowhere"], 2, &["nowhere"]),
        (&["serve", "--listen", "localhost:0", "--database", "sqlite:/proc/nothing/regatta.db"], 1, &["/proc/nothing"]),
        (&["up", "--data-dir", "/proc/nothing"], 1, &["/proc/nothing"]),
        (&["migrate", "--database", &no_database], 1, &["plan.toml", "not a Regatta database"]),
    ];
    for (arguments, code, words) in cases {
        says(&home.run(*arguments), *code, words);
    }
    for arguments in [&["--help"][..], &["--version"], &["task", "submit", "--help"], &["completions", "fish"]] {
        let ran = home.run(arguments).ok();
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
    }
}

#[test]
fn what_the_server_refuses() {
    let platform = Platform::serve();
    let id = "0193e3c8-7c00-7000-8000-000000000001";
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["task", "submit", "short"], 1, &["description", "10"]),
        (&["task", "get", id], 1, &[id]),
        (&["task", "watch", id], 1, &[id]),
        (&["task", "logs", id], 1, &[id]),
        (&["task", "cancel", id], 1, &[id]),
        (&["task", "retry", id], 1, &[id]),
        (&["task", "get", "latest"], 1, &["no task"]),
        (&["task", "get", "not an id"], 2, &["hint:"]),
        (&["task", "get", "0193e3c8"], 1, &["hint:"]),
        (&["workers", "get", "nobody"], 1, &["nobody", "hint:"]),
        (&["workers", "remove", id], 1, &[id]),
    ];
    for (arguments, code, words) in cases {
        says(&platform.run(arguments), *code, words);
    }
    // What it refuses in a plan is told at its place in the file, and is a plan that cannot be used.
    let step = |name: &str, more: &str| format!("[[subtasks]]\nname = \"{name}\"\ntool = \"simulate\"\n{more}\n");
    for (text, place, word) in [
        (
            step("a", "depends_on = [\"b\"]") + &step("b", "depends_on = [\"a\"]"),
            "plan.toml:5:14: depends_on:",
            "cycle",
        ),
        (step("a", "") + &step("b", "depends_on = [\"A\"]"), "plan.toml:9:14: depends_on:", "no step of this plan"),
        (step("a", "") + &step("a", ""), "plan.toml:7:8: name:", "already used"),
        (step("a", "complexity = 9"), "plan.toml:5:14: complexity:", "1 to 5"),
        ("[[subtasks]]\nname = \"a\"\ntool = \"command\"".to_owned(), "plan.toml:2:1: input:", "argv"),
    ] {
        let plan = platform.home.path("plan.toml");
        std::fs::write(&plan, format!("description = \"Do something useful\"\n{text}\n")).unwrap();
        says(&platform.run(&["task", "submit", "--plan", plan.to_str().unwrap()]), 2, &[place, word]);
    }
    // Of several, the others are done.
    let task = platform.submit(&["--no-start", "Wait for someone to start it"]);
    let ran = platform.run(&["task", "cancel", id, &task]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(id) && ran.stdout.contains(&task), "{ran:?}");
    assert_eq!(platform.task(&task)["status"], "cancelled");
    // A retry of what has not ended.
    platform.run(&["task", "retry", &task]).ok();
    says(&platform.run(&["task", "retry", &task]), 1, &[]);
}

#[test]
fn a_port_and_a_data_folder_have_one_server() {
    let platform = Platform::serve();
    let address = platform.url.strip_prefix("http://").unwrap().to_owned();
    let other = platform.home.path("other");
    let other = other.to_str().unwrap();
    for command in ["serve", "up"] {
        let taken = platform.home.run([command, "--listen", &address, "--data-dir", other]);
        says(&taken, 1, &["taken", "hint:", "another p"]);
        assert!(!std::path::Path::new(other).exists(), "who cannot listen makes no database");
        let locked = platform.home.run([command, "--listen", "localhost:0"]);
        says(&locked, 1, &["in use", &platform.process.pid().to_string(), "hint:"]);
    }
    // Who types `up` twice wants to know that it is up.
    let twice = platform.home.run(["up", "--listen", &address]);
    says(&twice, 1, &["answers at http://", "already", "regatta status", "--data-dir"]);
    // The first one did not notice.
    platform.run(&["status"]).ok();
}

#[test]
fn a_worker_is_one_process() {
    let platform = Platform::serve();
    let worker = platform.worker("w1");
    crate::rig::until("the worker", || {
        let workers = platform.run(&["workers", "list", "--json"]).ok().json();
        (workers["workers"][0]["status"] == "online").then_some(())
    });
    let second = platform.run(&["worker", "--name", "w1", "--tools", "command"]);
    says(&second, 1, &["w1", &worker.pid().to_string(), "hint:", "--name"]);
}
