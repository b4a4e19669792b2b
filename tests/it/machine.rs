//! The disk and the machine under a server that runs: full, failing, read-only, gone and damaged disks, a clock that is
//! set by hours, and no memory. A clear message, no panic, nothing acknowledged is lost, and it goes on where it can.
//!
//! Real mounts need the rights to make them; without these their tests are skipped and say so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit};
use serde_json::{Value, json};

use crate::http::{Answer, ask, call};
use crate::python::skipped;
use crate::rig::{Home, Platform, lines, until};

/// A mount that goes with the test.
struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts, or says why not.
    fn new(at: &Path, arguments: &[&str]) -> Result<Self, String> {
        std::fs::create_dir_all(at).unwrap();
        let mount = Self { at: at.to_owned() };
        mount.again(arguments)?;
        Ok(mount)
    }

    /// Mounts once more, or changes what is mounted.
    fn again(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new("mount").args(arguments).arg(&self.at).output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    /// Takes it away from under whoever uses it.
    fn vanish(&self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.vanish();
    }
}

/// A task with some weight.
fn task(number: usize) -> Value {
    json!({"description": format!("Task {number} of those that fill a disk {}", "x".repeat(8_000)), "task_type": "custom",
        "subtasks": [{"name": "a", "tool": "gemini_cli"}]})
}

fn submit(address: &str, number: usize) -> Answer {
    ask(address, "POST", "/api/v1/tasks", &[("Idempotency-Key", &format!("task-{number}"))], &task(number)).unwrap()
}

fn id(answer: &Answer) -> String {
    serde_json::from_str::<Value>(&answer.body).unwrap()["task_id"].as_str().unwrap().to_owned()
}

/// Submits until it is refused; what was acknowledged, and the refusal.
fn until_refused(address: &str, acknowledged: &mut BTreeSet<String>) -> Answer {
    for number in acknowledged.len().. {
        let answer = submit(address, number);
        if answer.status != 201 {
            return answer;
        }
        acknowledged.insert(id(&answer));
        assert!(number < 20_000, "the disk takes everything");
    }
    unreachable!()
}

/// Until a task is taken again.
fn until_taken(address: &str, acknowledged: &mut BTreeSet<String>) {
    let number = acknowledged.len();
    let answer = until("a task to be taken", || Some(submit(address, number)).filter(|answer| answer.status == 201));
    acknowledged.insert(id(&answer));
}

/// All that was acknowledged is there, and nothing else.
fn all_there(address: &str, acknowledged: &BTreeSet<String>) {
    let mut found = BTreeSet::new();
    let mut path = "/tasks?limit=100".to_owned();
    loop {
        let (status, page) = call(address, "GET", &path, None, &Value::Null).unwrap();
        assert_eq!(status, 200, "{page}");
        found.extend(page["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/tasks?limit=100&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(&found, acknowledged);
}

/// It said what is the matter, and did not panic.
#[track_caller]
fn said(platform: &Platform, words: &str) {
    let log = platform.process.output();
    assert!(log.contains(words), "{words:?} in {log}");
    assert!(!log.contains("panicked"), "{log}");
}

const SERVE: [&str; 3] = ["serve", "--listen", "localhost:0"];

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let home = Home::new();
    let mount = match Mount::new(&home.path("data"), &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]) {
        Ok(mount) => mount,
        Err(why) => return skipped("machine::a_full_disk", &why),
    };
    let platform = Platform::start(home, &SERVE);
    let address = platform.address();
    let mut acknowledged = BTreeSet::new();
    let refused = until_refused(&address, &mut acknowledged);
    refused.is_problem(503, "unavailable");
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    said(&platform, "make room on its disk");
    // It is still read.
    all_there(&address, &acknowledged);
    let refused = platform.run(&["task", "submit", "Something for a full disk"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("full"), "{refused:?}");

    mount.again(&["-o", "remount,size=64m"]).unwrap();
    until_taken(&address, &mut acknowledged);
    all_there(&address, &acknowledged);
    // What is there is there after a crash too.
    let Platform { mut process, home, .. } = platform;
    process.kill();
    let platform = Platform::start(home, &SERVE);
    all_there(&platform.address(), &acknowledged);
    drop(platform);
    drop(mount);
}

#[test]
fn a_disk_that_fails_refuses_and_goes_on_when_it_works() {
    let home = Home::new();
    // Writes beyond a size fail. That is an error of the disk to the database, and needs no rights.
    let mut limited = home.program("sh");
    limited.args(["-c", r#"trap '' XFSZ; exec "$@""#, "sh", env!("CARGO_BIN_EXE_regatta")]).args(SERVE);
    let platform = Platform::of(limited, home);
    let address = platform.address();
    let pid = Pid::from_raw(i32::try_from(platform.process.pid()).unwrap());
    let limit = |bytes| {
        rustix::process::prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    let mut acknowledged = BTreeSet::new();
    until_taken(&address, &mut acknowledged);
    limit(Some(2 << 20));
    let refused = until_refused(&address, &mut acknowledged);
    refused.is_problem(503, "unavailable");
    all_there(&address, &acknowledged);
    limit(None);
    // Whether the refused one was written may be unknown; with its key it is made once.
    until_taken(&address, &mut acknowledged);
    said(&platform, "check the disk");
    let Platform { mut process, home, .. } = platform;
    process.kill();
    let platform = Platform::start(home, &SERVE);
    all_there(&platform.address(), &acknowledged);
}

#[test]
fn a_disk_that_becomes_read_only_refuses_and_goes_on_when_it_is_not() {
    let home = Home::new();
    let mount = match Mount::new(&home.path("data"), &["-t", "tmpfs", "-o", "size=64m", "tmpfs"]) {
        Ok(mount) => mount,
        Err(why) => return skipped("machine::a_disk_that_becomes_read_only", &why),
    };
    let platform = Platform::start(home, &SERVE);
    let mut acknowledged = BTreeSet::new();
    until_taken(&platform.address(), &mut acknowledged);
    let (status, home) = platform.stop();
    assert!(status.success());
    // At the start it is told, and the server ends.
    mount.again(&["-o", "remount,ro"]).unwrap();
    let ran = home.run(SERVE);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("let this user write") && !ran.stderr.contains("panicked"), "{ran:?}");
    mount.again(&["-o", "remount,rw"]).unwrap();
    let platform = Platform::start(home, &SERVE);
    all_there(&platform.address(), &acknowledged);
    drop(platform);
    drop(mount);
}

#[test]
fn a_disk_that_is_gone_is_not_written_and_comes_back() {
    let home = Home::new();
    let disk = home.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = match Mount::new(&home.path("data"), &["--bind", disk.to_str().unwrap()]) {
        Ok(mount) => mount,
        Err(why) => return skipped("machine::a_disk_that_is_gone", &why),
    };
    let platform = Platform::start(home, &SERVE);
    let address = platform.address();
    let mut acknowledged = BTreeSet::new();
    for _ in 0..5 {
        until_taken(&address, &mut acknowledged);
    }
    mount.vanish();
    submit(&address, acknowledged.len()).is_problem(503, "unavailable");
    said(&platform, "is not there any more");
    let (status, health) = call(&address, "GET", "/health", None, &Value::Null).unwrap();
    assert_eq!((status, &health["database"]), (503, &json!("disconnected")), "{health}");

    mount.again(&["--bind", disk.to_str().unwrap()]).unwrap();
    until_taken(&address, &mut acknowledged);
    all_there(&address, &acknowledged);
    let Platform { mut process, home, .. } = platform;
    process.kill();
    let platform = Platform::start(home, &SERVE);
    all_there(&platform.address(), &acknowledged);
    drop(platform);
    drop(mount);
}

#[test]
fn a_database_that_is_removed_under_the_server_is_told_and_nothing_is_acknowledged_into_the_void() {
    let platform = Platform::serve();
    let address = platform.address();
    let mut acknowledged = BTreeSet::new();
    until_taken(&address, &mut acknowledged);
    let (data, aside) = (platform.home.path("data"), platform.home.path("aside"));
    std::fs::rename(&data, &aside).unwrap();
    submit(&address, 1).is_problem(503, "unavailable");
    // Another file at its place is another database.
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("regatta.db"), "something else").unwrap();
    submit(&address, 1).is_problem(503, "unavailable");
    said(&platform, "another file is at");
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    until_taken(&address, &mut acknowledged);
    all_there(&address, &acknowledged);
}

#[test]
fn a_damaged_database_is_told_and_a_backup_brings_it_back() {
    let platform = Platform::serve();
    let address = platform.address();
    let mut acknowledged = BTreeSet::new();
    for _ in 0..50 {
        until_taken(&address, &mut acknowledged);
    }
    let backup = platform.home.path("backup.db");
    platform.run(&["backup", "--output", backup.to_str().unwrap()]).ok();
    let (_, home) = platform.stop();
    // Everything but the first page, which says what it is, becomes noise.
    let file = home.path("data/regatta.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let noise = (4_096..).zip(bytes[4_096..].iter_mut());
    noise.for_each(|(place, byte)| *byte ^= (place as u8).wrapping_mul(31) | 1);
    std::fs::write(&file, bytes).unwrap();
    let ran = home.run(SERVE);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("restore it from a backup") && !ran.stderr.contains("panicked"), "{ran:?}");
    home.run([std::ffi::OsStr::new("restore"), backup.as_os_str(), "--force".as_ref()]).ok();
    let platform = Platform::start(home, &SERVE);
    all_there(&platform.address(), &acknowledged);
}

#[test]
fn a_database_that_another_program_locks_refuses_and_goes_on_when_it_is_free() {
    let platform = Platform::serve();
    let address = platform.address();
    let mut acknowledged = BTreeSet::new();
    until_taken(&address, &mut acknowledged);
    let other = rusqlite::Connection::open(platform.home.path("data/regatta.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    submit(&address, 1).is_problem(503, "unavailable");
    said(&platform, "see which other program uses it");
    all_there(&address, &acknowledged);
    other.execute_batch("ROLLBACK").unwrap();
    until_taken(&address, &mut acknowledged);
    all_there(&address, &acknowledged);
}

#[test]
fn without_memory_for_a_body_it_refuses_or_ends_and_loses_nothing() {
    let platform = Platform::serve();
    let address = platform.address();
    let mut acknowledged = BTreeSet::new();
    until_taken(&address, &mut acknowledged);
    let pid = platform.process.pid();
    let limit = |bytes| {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        rustix::process::prlimit(pid, Resource::As, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    let in_use = crate::overload::status_kib(pid, "VmSize") * 1_024;
    limit(Some(in_use + (1 << 20)));
    let mut body = task(1);
    body["description"] = json!("A long one");
    body["requirements"] = json!({"long": "x".repeat(7 << 20)});
    let answers: Vec<std::io::Result<Answer>> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16)
            .map(|number| {
                let (address, body) = (&address, &body);
                let key = format!("long-{number}");
                scope.spawn(move || ask(address, "POST", "/api/v1/tasks", &[("Idempotency-Key", &key)], body))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for answer in answers.iter().flatten() {
        assert!(matches!(answer.status, 201 | 503), "{answer:?}");
    }
    acknowledged.extend(answers.iter().flatten().filter(|answer| answer.status == 201).map(id));
    let refused = answers.iter().flatten().filter(|answer| answer.status == 503).count();
    let Platform { mut process, home, .. } = platform;
    // A program that gets no memory at a place that cannot do without ends with a message; it is started again.
    let ended = process.ended();
    println!("{} taken, {refused} refused, ended: {ended:?}", acknowledged.len());
    let log = process.output();
    assert!(!log.contains("panicked"), "{log}");
    let platform = match ended {
        None => {
            limit(None);
            Platform { url: format!("http://{address}"), ready: Value::Null, process, home }
        }
        Some(_) => {
            assert!(log.contains("memory"), "{log}");
            Platform::start(home, &SERVE)
        }
    };
    let address = platform.address();
    // Those that got no answer may be there all the same; with their key they are made once.
    for number in 0..16 {
        let answer = until("an answer", || {
            let key = format!("long-{number}");
            ask(&address, "POST", "/api/v1/tasks", &[("Idempotency-Key", &key)], &body).ok()
        });
        assert_eq!(answer.status, 201, "{answer:?}");
        acknowledged.insert(id(&answer));
    }
    all_there(&address, &acknowledged);
}

/// Adds what a file says, in seconds, to the time of the day that a program sees.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        FILE *file = fopen(getenv("CLOCK_OFFSET"), "r");
        long offset = 0;
        if (file) {
            if (fscanf(file, "%ld", &offset) == 1) time->tv_sec += offset;
            fclose(file);
        }
    }
    return result;
}
"#;

#[test]
fn a_clock_that_is_set_by_hours_ends_no_lease_and_loses_nothing() {
    let home = Home::new();
    let (source, shim, offset) = (home.path("clock.c"), home.path("clock.so"), home.path("offset"));
    std::fs::write(&source, CLOCK).unwrap();
    match Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&shim, &source]).arg("-ldl").output() {
        Ok(output) if output.status.success() => {}
        other => return skipped("machine::a_clock_that_is_set", &format!("no C compiler: {other:?}")),
    }
    let set = |hours: i64| std::fs::write(&offset, (hours * 3_600).to_string()).unwrap();
    set(0);
    let command = |home: &Home, listen: &str| {
        let mut command = home.regatta(["serve", "--listen", listen, "--lease-seconds", "6"]);
        command.env("LD_PRELOAD", &shim).env("CLOCK_OFFSET", &offset);
        command
    };
    let mut platform = Platform::of(command(&home, "localhost:0"), home);
    let worker = platform.worker("w1");
    let marks = platform.home.path("marks");
    let line = format!(
        "echo run >> {0}; until [ -e {0}.go ]; do sleep 0.05; done; echo '{{\"done\": true}}'",
        marks.display()
    );
    // Time-outs are told by the clock, so this one is longer than any jump.
    let step =
        json!({"name": "sh", "tool": "command", "input": {"argv": ["sh", "-c", line]}, "timeout_seconds": 1_000_000});
    let body = json!({"description": "Something that takes its time", "task_type": "custom", "subtasks": [step]});
    let (status, made) = call(&platform.address(), "POST", "/tasks", None, &body).unwrap();
    assert_eq!(status, 201, "{made}");
    let runs = made["task_id"].as_str().unwrap().to_owned();
    until("it to run", || (lines(&marks) == 1).then_some(()));
    let now = |platform: &Platform| {
        let made = platform.submit(&["--no-start", "Tell me what time it is"]);
        platform.task(&made)["created_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    // The server's time goes along when the clock is set forward, never back. Longer than a lease in all.
    let mut before = now(&platform);
    for hours in [5, -5, 30] {
        set(hours);
        std::thread::sleep(std::time::Duration::from_secs(4));
        let after = now(&platform);
        assert!(after >= before, "{after} came after {before}");
        before = after;
    }
    // Also between two ends and starts: with work from before, from the future and from the past.
    for hours in [48, -5] {
        set(hours);
        let (address, Platform { mut process, home, .. }) = (platform.address(), platform);
        process.kill();
        platform = Platform::of(command(&home, &address), home);
        let quick = platform.submit_shell("true");
        assert_eq!(platform.ended(&quick)["status"], "completed", "{hours}");
    }
    std::fs::write(format!("{}.go", marks.display()), "").unwrap();
    let task = platform.ended(&runs);
    assert_eq!(task["status"], "completed", "{task:#}");
    let step = platform.step(&runs, "sh");
    assert_eq!(step["attempts"].as_array().unwrap().len(), 1, "no lease was lost: {step:#}");
    assert_eq!(lines(&marks), 1);
    let log = platform.process.output();
    assert!(!log.contains("panicked"), "{log}");
    drop(worker);
}
