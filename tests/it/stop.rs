//! Stopping in order.

use rustix::process::Signal;

use crate::rig::{Home, Platform, Process, is_alive, until};

#[test]
fn up_stops_when_idle_and_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut platform = Platform::up(&[]);
        let workers = platform.workers();
        assert_eq!(workers.len(), 2);
        assert!(workers.iter().all(|pid| is_alive(*pid)));
        platform.process.signal(signal);
        assert_eq!(platform.process.wait().code(), Some(0), "{}", platform.process.output());
        assert!(!workers.iter().any(|pid| is_alive(*pid)));
    }
}

#[test]
fn what_runs_may_finish_and_what_waits_is_kept() {
    let platform = Platform::up(&["--workers", "1", "--slots", "1"]);
    let marker = platform.home.path("running");
    let runs = platform.submit_shell(&format!("touch {}; sleep 1; echo '{{\"done\": true}}'", marker.display()));
    let waits = platform.submit_shell("echo '{\"later\": true}'");
    until("the first to run", || marker.exists().then_some(()));
    let (status, home) = platform.stop();
    assert_eq!(status.code(), Some(0));

    // Without workers nothing can have been done since.
    let platform = Platform::start(home, &["serve", "--listen", "localhost:0"]);
    assert_eq!(platform.task(&runs)["status"], "completed");
    assert_eq!(platform.step(&runs, "sh")["output"]["done"], true);
    assert_eq!(platform.task(&waits)["subtasks"][0]["status"], "queued");
    let _worker = platform.worker("w1");
    assert_eq!(platform.ended(&waits)["status"], "completed");
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut platform = Platform::up(&["--workers", "1"]);
    let pids = platform.home.path("pids");
    platform.submit_shell(&format!("echo $$ > {}; trap '' TERM; sleep 600", pids.display()));
    let tool: u32 = until("the tool", || std::fs::read_to_string(&pids).ok()?.trim().parse().ok());
    platform.process.signal(Signal::INT);
    until("the first signal to be heard", || platform.process.output().contains("stopping: one subtask").then_some(()));
    platform.process.signal(Signal::INT);
    assert_eq!(platform.process.wait().code(), Some(130), "{}", platform.process.output());
    until("the tool to be ended", || (!is_alive(tool)).then_some(()));
}

#[test]
fn serve_and_worker_drain_on_sigterm() {
    let platform = Platform::serve();
    let mut worker = platform.worker("w1");
    until("the worker", || {
        let workers = platform.run(&["workers", "list", "--json"]).ok().json();
        (workers["workers"][0]["status"] == "online").then_some(())
    });
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.output());
    // It said farewell.
    let workers = platform.run(&["workers", "list", "--json"]).ok().json();
    assert_eq!(workers["workers"][0]["status"], "offline");
    let (status, _home): (_, Home) = platform.stop();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let home = Home::new();
    // What is written there fails as on a full disk.
    let mut deaf = home.program("sh");
    let binary = env!("CARGO_BIN_EXE_regatta");
    deaf.args(["-c", r#"exec "$@" 2>/dev/full"#, "sh", binary, "-v", "serve", "--listen", "localhost:0"]);
    let platform = Platform::of(deaf, home);
    let id = platform.submit_shell("true");
    let mut deaf = platform.home.program("sh");
    deaf.args(["-c", r#"exec "$@" 2>/dev/full"#, "sh", binary, "-v", "worker", "--tools", "command"]);
    deaf.args(["--server", &platform.url]);
    let mut worker = Process::start(deaf, platform.home.path("worker.log"));
    assert_eq!(platform.ended(&id)["status"], "completed");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code(), Some(0));
    let (status, _) = platform.stop();
    assert_eq!(status.code(), Some(0));
}
