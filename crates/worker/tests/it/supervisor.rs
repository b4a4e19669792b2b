//! The supervisor with real processes: what tools leave behind, stops, deadlines, and the death of either side.

use std::time::Duration;

use regatta_worker::clock::boot_ms;
use regatta_worker::supervisor::{Exit, Process, Program, Supervisor, proc};
use tokio::io::AsyncReadExt;

fn supervisor() -> (Supervisor, String) {
    let identity = uuid::Uuid::now_v7().to_string();
    let command = vec![env!("CARGO_BIN_EXE_regatta-worker-agent").into()];
    (Supervisor::new(command, &identity), identity)
}

fn shell(script: &str) -> Program {
    Program {
        path: "/bin/sh".into(),
        argv: vec!["sh".into(), "-c".into(), script.into()],
        env: vec![("PATH".into(), std::env::var("PATH").unwrap())],
        cwd: None,
        marker: format!("{}/1", uuid::Uuid::now_v7()),
        deadline_ms: None,
    }
}

/// Reads until a line holds this word.
async fn read_until(process: &mut Process, word: &str) {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(word) {
        let mut chunk = [0; 256];
        let count = process.stdout.read(&mut chunk).await.unwrap();
        assert_ne!(count, 0, "ended before it said {word:?}");
        text.extend_from_slice(&chunk[..count]);
    }
}

fn of(identity: &str) -> Vec<rustix::process::Pid> {
    let mut pids = proc::marked(&proc::entry(proc::WORKER_VARIABLE, identity));
    pids.retain(|pid| proc::is_alive(*pid));
    pids
}

async fn until_none_of(identity: &str) {
    while !of(identity).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A grandchild in a session of its own that ignores SIGTERM; says "up" once it does.
const STUBBORN: &str = "setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' &";

#[tokio::test]
async fn output_exit_code_and_environment_are_the_programs_own() {
    let (supervisor, _) = supervisor();
    let mut program = shell("echo \"$GREETING $HOME\"; cat; exit 3");
    program.env.push(("GREETING".into(), "ahoy".into()));
    program.cwd = Some("/".into());
    let mut process = supervisor.spawn(program).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"from stdin").await.unwrap();
    drop(stdin);
    let mut out = String::new();
    process.stdout.read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "ahoy \nfrom stdin", "nothing is inherited");
    assert_eq!(process.exit.wait().await, Exit::Code(3));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_an_error_and_no_more() {
    let (supervisor, _) = supervisor();
    let mut program = shell("");
    program.path = "/nowhere/to/be/found".into();
    let error = supervisor.spawn(program).await.unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
    let mut process = supervisor.spawn(shell("exit 0")).await.unwrap();
    assert_eq!(process.exit.wait().await, Exit::Code(0));
}

#[tokio::test]
async fn many_programs_at_once_each_end_once() {
    let (supervisor, identity) = supervisor();
    let runs: Vec<_> = (0..40)
        .map(|number| {
            let supervisor = supervisor.clone();
            tokio::spawn(async move {
                let mut process = supervisor.spawn(shell(&format!("exit {number}"))).await.unwrap();
                (process.exit.wait().await, number)
            })
        })
        .collect();
    for run in runs {
        let (exit, number) = run.await.unwrap();
        assert_eq!(exit, Exit::Code(number));
    }
    assert_eq!(of(&identity), []);
}

#[tokio::test]
async fn what_a_tool_leaves_running_ends_with_it() {
    let (supervisor, identity) = supervisor();
    let mut process = supervisor.spawn(shell(&format!("{STUBBORN} sleep 600 & read line; exit 0"))).await.unwrap();
    read_until(&mut process, "up").await;
    assert!(of(&identity).len() >= 3);
    drop(process.stdin.take());
    process.exit.wait().await;
    assert_eq!(of(&identity), []);
}

#[tokio::test]
async fn a_stop_ends_grandchildren_that_ignore_it() {
    let (supervisor, identity) = supervisor();
    let mut process = supervisor.spawn(shell(&format!("trap '' TERM; {STUBBORN} wait; wait"))).await.unwrap();
    read_until(&mut process, "up").await;
    process.stopper.stop(Duration::from_millis(100));
    assert_eq!(process.exit.wait().await, Exit::Signal(9));
    assert_eq!(of(&identity), []);
}

#[tokio::test]
async fn a_tool_that_obeys_sigterm_may_clean_up() {
    let (supervisor, _) = supervisor();
    let mut process = supervisor
        .spawn(shell("trap 'echo cleaned; exit 7' TERM; echo up; while :; do sleep 0.05; done"))
        .await
        .unwrap();
    read_until(&mut process, "up").await;
    process.stopper.stop(Duration::from_secs(20));
    read_until(&mut process, "cleaned").await;
    assert_eq!(process.exit.wait().await, Exit::Code(7));
}

#[tokio::test]
async fn a_deadline_that_nobody_renews_ends_the_tool() {
    let (supervisor, identity) = supervisor();
    let mut program = shell("trap '' TERM; echo up; while :; do sleep 1; done");
    program.deadline_ms = Some(boot_ms() + 600_000);
    let marker = program.marker.clone();
    let mut process = supervisor.spawn(program).await.unwrap();
    read_until(&mut process, "up").await;
    supervisor.set_deadline(&marker, boot_ms() + 50);
    assert_eq!(process.exit.wait().await, Exit::Signal(9));
    assert_eq!(of(&identity), []);
}

#[tokio::test]
async fn a_process_that_cleared_its_environment_is_ended_too() {
    let (supervisor, _) = supervisor();
    let mut process = supervisor
        .spawn(shell("setsid env -i /bin/sh -c 'trap \"\" TERM; echo $$ up; while :; do sleep 1; done' & read line"))
        .await
        .unwrap();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("up") {
        process.stdout.read_buf(&mut text).await.unwrap();
    }
    let pid: i32 = String::from_utf8_lossy(&text).split_whitespace().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    drop(process.stdin.take());
    process.exit.wait().await;
    while proc::is_alive(pid) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn when_the_supervisor_is_killed_its_tools_are_ended_and_the_next_starts_anew() {
    let (supervisor, identity) = supervisor();
    let mut process = supervisor.spawn(shell(&format!("{STUBBORN} wait"))).await.unwrap();
    read_until(&mut process, "up").await;
    // The only child of this test process that belongs to no tool: found through the tool's parent.
    let leader = of(&identity)
        .into_iter()
        .find_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            let name = std::fs::read_to_string(format!("/proc/{parent}/comm")).ok()?;
            name.starts_with("regatta-worker").then_some(parent)
        })
        .and_then(rustix::process::Pid::from_raw)
        .unwrap();
    rustix::process::kill_process(leader, rustix::process::Signal::KILL).unwrap();
    assert_eq!(process.exit.wait().await, Exit::Unknown);
    until_none_of(&identity).await;

    let mut next = supervisor.spawn(shell("exit 4")).await.unwrap();
    assert_eq!(next.exit.wait().await, Exit::Code(4));
}

#[tokio::test]
async fn a_program_that_nobody_waits_for_any_more_is_ended() {
    let (supervisor, identity) = supervisor();
    let mut process = supervisor.spawn(shell("echo up; sleep 600")).await.unwrap();
    read_until(&mut process, "up").await;
    drop(process);
    until_none_of(&identity).await;
}
