//! `regatta backup` and `regatta restore`, as an operator runs them.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::json;

use crate::rig::{Home, Platform, lines, until};

/// A checksum of each table's rows, but for the note of when it was restored.
fn tables(database: &Path) -> BTreeMap<String, (usize, u64)> {
    let conn = Connection::open(database).unwrap();
    let mut names =
        conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let table = |name: String| {
        let mut statement = conn.prepare(&format!("SELECT * FROM {name} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let (mut count, mut sum) = (0, 0);
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<Value> = (0..columns).map(|column| row.get(column).unwrap()).collect();
            if values[0] == Value::Text("restored_at".to_owned()) {
                continue;
            }
            count += 1;
            sum = checksum(&format!("{sum} {values:?}"));
        }
        (name, (count, sum))
    };
    names.into_iter().map(table).collect()
}

/// FNV-1a, 64 bits.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn a_backup_of_a_busy_server_has_all_that_was_acknowledged_before() {
    let platform = Platform::serve();
    let _workers = [platform.worker("w1"), platform.worker("w2")];
    let marks = platform.home.path("marks");
    let shell = |number: usize| format!("sleep 0.1; echo {number} >> {}; echo '{{\"n\": {number}}}'", marks.display());
    let mut ids: Vec<String> = (0..8).map(|number| platform.submit_shell(&shell(number))).collect();
    until("some work to be done", || (lines(&marks) >= 2).then_some(()));
    let file = platform.home.path("backup.db");
    let file = file.to_str().unwrap();
    let told = platform.run(&["backup", "--output", file, "--json"]).ok().json();
    assert!(told["rows"]["tasks"].as_u64().unwrap() >= 8, "{told:#}");
    assert_eq!(told["rows"]["tasks"], told["rows"]["subtasks"]);
    let refused = platform.run(&["backup", "--output", file]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    let database = platform.home.path("data/regatta.db");
    let url = format!("sqlite:{}", database.display());
    let refused = platform.run(&["restore", file, "--force", "--database", &url]);
    assert!(refused.code == Some(1) && refused.stderr.contains("in use by process"), "{refused:?}");

    // The server goes on meanwhile and after it.
    ids.push(platform.submit_shell(&shell(8)));
    for id in &ids {
        assert_eq!(platform.ended(id)["status"], "completed");
    }
    let elsewhere = Home::new();
    let said = elsewhere.run(["restore", file]).ok().stdout;
    assert!(said.contains("is restored") && !said.contains("kept as"), "{said}");
    let copy = Platform::start(elsewhere, &["serve", "--listen", "localhost:0"]);
    for id in &ids[..8] {
        assert_eq!(copy.task(id)["description"], platform.task(id)["description"]);
    }
    assert_eq!(copy.run(&["task", "get", &ids[8]]).code, Some(1), "it came after the backup");
    // What completed before keeps its result; nothing of it is given out again.
    let done = |id: &&String| copy.task(id)["status"] == "completed";
    let completed: Vec<&String> = ids[..8].iter().filter(done).collect();
    assert!(!completed.is_empty());
    for id in completed {
        assert_eq!(copy.step(id, "sh")["output"], platform.step(id, "sh")["output"]);
    }
}

#[test]
fn a_restored_database_is_the_one_that_was_backed_up() {
    let platform = Platform::serve();
    let worker = platform.worker("w1");
    let ids: Vec<String> =
        (0..6).map(|number| platform.submit_shell(&format!("echo line {number}; exit {}", number % 2))).collect();
    let retried = platform.submit(&["--", "false"]);
    for id in ids.iter().chain([&retried]) {
        platform.ended(id);
    }
    drop(worker);
    let (status, home) = platform.stop();
    assert_eq!(status.code(), Some(0));
    let data = home.path("data");
    for left in ["regatta.db-wal", "regatta.db-shm"] {
        assert!(!data.join(left).exists(), "{left} stays after a clean stop");
    }
    let before = tables(&data.join("regatta.db"));
    let file = home.path("backup.db");
    let file = file.to_str().unwrap();
    home.run(["backup", "-o", file]).ok();

    let elsewhere = Home::new();
    let told = elsewhere.run(["restore", file, "--json"]).ok().json();
    assert_eq!(told["replaced"], json!(null));
    assert_eq!(tables(&elsewhere.path("data/regatta.db")), before);
    assert!(before["tasks"].0 == 7 && before["logs"].0 >= 6 && before["attempts"].0 >= 3, "{before:?}");

    // Over one that is there: only when asked, and the old one stays.
    let platform = Platform::start(elsewhere, &["serve", "--listen", "localhost:0"]);
    let later = platform.submit(&["--", "true"]);
    let (_, elsewhere) = platform.stop();
    let refused = elsewhere.run(["restore", file]);
    assert!(refused.code == Some(1) && refused.stderr.contains("--force"), "{refused:?}");
    let told = elsewhere.run(["restore", file, "--force", "--json"]).ok().json();
    let old = told["replaced"].as_str().unwrap();
    assert_eq!(tables(Path::new(old))["tasks"].0, 8);
    let platform = Platform::start(elsewhere, &["serve", "--listen", "localhost:0"]);
    assert_eq!(platform.run(&["task", "get", &later]).code, Some(1));
    let list = platform.run(&["task", "list", "--json"]).ok().json();
    assert_eq!(list["tasks"].as_array().unwrap().len(), 7);
}

#[test]
fn a_full_disk_leaves_no_half_backup() {
    let platform = Platform::serve();
    platform.submit_shell("true");
    let (_, home) = platform.stop();
    // No file may grow beyond a few blocks, and the write that would fails instead of ending the process.
    let file = home.path("backup.db");
    let mut command = home.regatta([""; 0]);
    let binary = command.get_program().to_owned();
    command = {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 80; exec \"$0\" backup --output \"$1\""]).arg(binary).arg(&file);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell
    };
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written"), "{said}");
    assert!(!file.exists() && !home.path("backup.db.part").exists());
    home.run([std::ffi::OsStr::new("backup"), "--output".as_ref(), file.as_os_str()]).ok();
}

#[test]
fn what_runs_during_a_backup_is_neither_lost_nor_run_at_once_by_two_after_a_restore() {
    const SERVE: [&str; 5] = ["serve", "--listen", "localhost:0", "--lease-seconds", "3"];
    let platform = Platform::start(Home::new(), &SERVE);
    let worker = platform.worker("w1");
    let marks = platform.home.path("marks");
    let line = format!(
        "echo run >> {0}; until [ -e {0}.go ]; do sleep 0.05; done; echo '{{\"done\": true}}'",
        marks.display()
    );
    let runs = platform.submit_shell(&line);
    until("it to run", || (lines(&marks) == 1).then_some(()));
    let file = platform.home.path("backup.db");
    platform.run(&["backup", "--output", file.to_str().unwrap()]).ok();
    let (url, home) = (platform.url.clone(), platform.stop().1);
    home.run([std::ffi::OsStr::new("restore"), file.as_os_str(), "--force".as_ref()]).ok();
    // At the same address, where its worker still knocks.
    let address = url.strip_prefix("http://").unwrap();
    let platform = Platform::start(home, &["serve", "--listen", address, "--lease-seconds", "3"]);
    // Queued work waits for what may have been given after the backup.
    let waits = platform.submit_shell("true");
    let said = platform.task(&waits)["subtasks"][0]["waiting_for"].to_string();
    assert!(said.contains("after the backup that was restored") || said == "null", "{said}");
    std::fs::write(format!("{}.go", marks.display()), "").unwrap();
    let task = platform.ended(&runs);
    assert_eq!(task["status"], "completed", "{task:#}");
    assert_eq!(platform.ended(&waits)["status"], "completed");
    let step = platform.step(&runs, "sh");
    // The lease of then holds, or the worker was away for longer and it ran again: never two at once.
    assert_eq!(step["attempts"].as_array().unwrap().len(), lines(&marks), "{step:#}");
    drop(worker);
}

#[test]
fn what_ended_is_kept_unless_retention_is_asked_for() {
    let platform = Platform::serve();
    let worker = platform.worker("w1");
    let ids: Vec<String> = (0..5).map(|_| platform.submit_shell("echo a line")).collect();
    for id in &ids {
        assert_eq!(platform.ended(id)["status"], "completed");
    }
    drop(worker);
    let waits = platform.submit_shell("true");
    let (_, home) = platform.stop();
    let platform =
        Platform::start(home, &["serve", "--listen", "localhost:0", "--retain-tasks", "2", "--retain-days", "1"]);
    let list = until("the oldest to be forgotten", || {
        let list = platform.run(&["task", "list", "--json"]).ok().json();
        (list["tasks"].as_array().unwrap().len() == 3).then_some(list)
    });
    assert_eq!(list["total"], 3, "{list:#}");
    for (place, id) in ids.iter().enumerate() {
        assert_eq!(platform.run(&["task", "get", id]).code, Some(i32::from(place < 3)), "{place}");
    }
    assert_eq!(platform.task(&waits)["status"], "in_progress", "what has not ended is never forgotten");
    let (_, home) = platform.stop();
    let before = tables(&home.path("data/regatta.db"));
    assert_eq!((before["tasks"].0, before["subtasks"].0), (3, 3));
}
