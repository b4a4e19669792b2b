//! What scripts read: JSON that parses, plain text without escape codes, completions.

use crate::rig::{Home, Platform, until};

#[test]
fn every_json_parses_and_pipes_get_no_colours() {
    let platform = Platform::up(&["--workers", "1"]);
    let id = platform.submit(&["--", "sh", "-c", "echo hello; echo '{\"answer\": 42}'"]);
    assert_eq!(platform.ended(&id)["status"], "completed");
    let commands: &[&[&str]] = &[
        &["status"],
        &["task", "list"],
        &["task", "list", "--status", "completed", "--type", "custom", "--search", "hello", "--limit", "3"],
        &["task", "get", &id],
        &["task", "get", "latest", "--step", "sh"],
        &["workers", "list"],
        &["workers", "list", "--tool", "command", "--status", "online"],
        &["workers", "get", "worker-1"],
        &["workers", "drain", "worker-1"],
        &["workers", "drain", "worker-1", "--undo"],
        &["migrate", "--check"],
    ];
    for command in commands {
        let ran = platform.run(&[command, &["--json"][..]].concat()).ok();
        assert!(ran.json().is_object(), "{ran:?}");
        let ran = platform.run(command).ok();
        assert!(!ran.stdout.is_empty() && !ran.stdout.contains('\u{1b}'), "{ran:?}");
    }
    let text = platform.run(&["task", "get", &id]).ok().stdout;
    assert!(text.contains("\"answer\": 42") && text.contains(&id), "{text}");
    let colored = platform.run(&["--color", "always", "task", "list"]).ok().stdout;
    assert!(colored.contains("\u{1b}["), "{colored}");
    let plain = platform.command(&["task", "list"]).env("NO_COLOR", "1").output().unwrap();
    assert!(!String::from_utf8_lossy(&plain.stdout).contains('\u{1b}'));
    // Quiet: the id alone.
    let quiet = platform.run(&["-q", "task", "submit", "--", "true"]).ok().stdout;
    assert_eq!(platform.ended(quiet.trim())["status"], "completed");
}

#[test]
fn status_says_what_waits_and_why() {
    let platform = Platform::up(&["--workers", "1"]);
    let id = platform.submit(&["--tool", "gemini_cli", "Ask Gemini what it thinks"]);
    let status = until("the reason", || {
        let status = platform.run(&["status"]).ok().stdout;
        status.contains("no online worker offers gemini_cli").then_some(status)
    });
    assert!(status.contains("worker-1") && status.contains(&id), "{status}");
    let task = platform.run(&["task", "get", &id]).ok().stdout;
    assert!(task.contains("waiting: no online worker offers gemini_cli"), "{task}");
    let json = platform.run(&["status", "--json"]).ok().json();
    assert_eq!(json["stats"]["waiting"][0]["subtasks"], 1, "{json:#}");
}

#[test]
fn one_key_makes_one_task() {
    let platform = Platform::serve();
    let submit = ["task", "submit", "--json", "--idempotency-key", "k1", "--no-start"];
    let first = platform.run(&[&submit[..], &["Do this only once"]].concat()).ok().json();
    let second = platform.run(&[&submit[..], &["Do this only once"]].concat()).ok().json();
    assert_eq!(first["task_id"], second["task_id"]);
    let other = platform.run(&[&submit[..], &["Do something else"]].concat());
    assert_eq!(other.code, Some(1), "{other:?}");
    assert_eq!(platform.run(&["task", "list", "--json"]).ok().json()["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn completions_know_the_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(["completions", shell]).ok().stdout;
        for word in ["submit", "drain", "idempotency-key"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn migrate_makes_and_checks_a_database() {
    let home = Home::new();
    let check = home.run(["migrate", "--check", "--json"]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.json()["pending"].as_u64().unwrap() > 0);
    assert!(!home.path("data").exists(), "looking makes nothing");
    home.run(["migrate"]).ok();
    assert_eq!(home.run(["migrate", "--check", "--json"]).ok().json()["pending"], 0);
}
