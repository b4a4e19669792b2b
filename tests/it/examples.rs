//! The examples on real input, through `up` and its real worker processes.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::rig::{LOCALE, Platform};

/// Texts with words of many kinds, under names that need care.
fn texts(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = [
        ("book.txt", "It was the best of times,\nit was the worst of times.\n"),
        ("with blank.md", "# A  title\n\n\ttabs\tand   blanks\n"),
        ("sub/it's \"quoted\".txt", "no newline at the end"),
        ("sub/deeper/empty.txt", ""),
        ("sub/deeper/ünïcödé.txt", "größer als — alles\n日本語 は 単語\n"),
        ("sub/-dash.txt", "one\ntwo\nthree\n"),
        ("ignored.rs", "this is not counted at all\n"),
    ];
    let mut texts = Vec::new();
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        if !name.ends_with(".rs") {
            texts.push(file);
        }
    }
    // Names that no result can hold: left out.
    for name in [&b"bad\xff.txt"[..], b"two\nlines.txt"] {
        std::fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), "left out").unwrap();
    }
    // Something long enough that the parts differ.
    let long = folder.join("long.txt");
    std::fs::write(&long, "word ".repeat(20_000)).unwrap();
    texts.push(long);
    texts
}

#[test]
fn the_word_count_is_that_of_wc() {
    let platform = Platform::up(&[]);
    let folder = platform.home.path("texts of mine");
    let files = texts(&folder);
    // In the locale of the workers: what a word is depends on it.
    let wc = Command::new("wc").arg("-w").args(&files).env("LC_ALL", LOCALE).output().unwrap();
    let wc = String::from_utf8(wc.stdout).unwrap();
    let words: u64 = wc.lines().last().unwrap().trim().split(' ').next().unwrap().parse().unwrap();

    let folder = format!("folder={}", folder.display());
    let plan = ["task", "submit", "--plan", "examples/word-count.toml", "--var", &folder];
    let task = platform.run(&[&plan[..], &["--wait", "--json"]].concat()).ok().json();
    assert_eq!(task["status"], "completed");
    let total = platform.step(task["task_id"].as_str().unwrap(), "Total");
    assert_eq!(total["output"]["words"], words, "{total:#}");
    assert_eq!(total["output"]["files"], files.len());
    let split = platform.step(task["task_id"].as_str().unwrap(), "Split");
    assert_eq!(split["output"]["left_out"], 2, "{split:#}");
    assert_eq!(total["context"].as_object().unwrap().len(), 4, "{total:#}");

    // The same, watched: plain lines when piped, each step started and completed, and the result at the end.
    let watched = platform.run(&[&plan[..], &["--watch"]].concat()).ok();
    for step in ["Split", "Count part 1", "Count part 2", "Count part 3", "Count part 4", "Total"] {
        let of_step = |word: &str| watched.stdout.lines().any(|line| line.contains(step) && line.contains(word));
        assert!(of_step("in_progress on worker-") && of_step("completed"), "{step}: {}", watched.stdout);
    }
    assert!(watched.stdout.contains(&format!("\"words\": {words}")), "{}", watched.stdout);
    assert!(!watched.stdout.contains('\u{1b}'), "{}", watched.stdout);
}

#[test]
fn the_checks_write_a_report() {
    let platform = Platform::up(&[]);
    let project = platform.home.path("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("good.sh"), "#!/bin/sh\necho good\n").unwrap();
    std::fs::write(project.join("bad.sh"), "#!/bin/sh\nif then\n").unwrap();
    let project_var = format!("project={}", project.display());
    let task = platform
        .run(&["task", "submit", "--plan", "examples/checks.toml", "--var", &project_var, "--wait", "--json"])
        .ok()
        .json();
    let id = task["task_id"].as_str().unwrap();
    assert_eq!(platform.step(id, "Format")["output"]["status"], "passed");
    assert_eq!(platform.step(id, "Lint")["output"]["status"], "failed");
    assert_eq!(platform.step(id, "Tests")["output"]["status"], "skipped");
    let report = std::fs::read_to_string(project.join("checks-report.md")).unwrap();
    assert!(report.contains("| Lint | failed |") && report.contains("bad.sh"), "{report}");
    let log = platform.run(&["task", "logs", id, "--step", "Lint"]).ok().stdout;
    assert!(log.lines().last().unwrap().contains("FAILED with exit code 1: find"), "{log}");
    assert_eq!(platform.step(id, "Report")["output"]["failed"], serde_json::json!(["Lint"]));
}

#[test]
fn the_demo_runs_a_built_in_plan_and_says_that_it_pretends() {
    let platform = Platform::up(&["--demo", "--workers", "1"]);
    let said = platform.process.output();
    assert!(said.contains("simulated"), "{said}");
    let ran = platform.run(&["task", "submit", "Add a login page to the shop", "--wait"]).ok();
    assert!(ran.stdout.contains("4 of 4 steps completed") && ran.stdout.contains("(simulated)"), "{}", ran.stdout);
    let task = platform.run(&["task", "get", "latest", "--json"]).ok().json();
    let steps = task["subtasks"].as_array().unwrap();
    assert_eq!(steps.len(), 4);
    assert!(steps.iter().all(|step| step["simulated"] == true), "{task:#}");
}
