//! What a watch draws on a terminal: one picture, in place, that never claims more than is known.

use std::fmt::Write as _;

use rustix::process::Signal;

use crate::rig::Platform;
use crate::terminal::Terminal;

/// How many lines contain this.
fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_plan_taller_than_the_terminal_is_one_picture() {
    let platform = Platform::up(&["--workers", "1", "--slots", "4"]);
    let mut plan = "description = \"Many steps on a small terminal\"\n".to_owned();
    for step in 1..=40 {
        writeln!(
            plan,
            "[[subtasks]]\nname = \"Step {step}\"\ntool = \"command\"\ninput = {{ argv = [\"sleep\", \"0.05\"] }}"
        )
        .unwrap();
    }
    let file = platform.home.path("plan.toml");
    std::fs::write(&file, plan).unwrap();
    let command = platform.command(&["task", "submit", "--watch", "--plan", file.to_str().unwrap()]);
    let mut terminal = Terminal::start(command, 70, 12);
    terminal.until_it_shows("in_progress");
    assert!(!terminal.cursor_shows());
    let status = terminal.wait();
    let lines = terminal.lines();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert_eq!(count(&lines, "Many steps on a small terminal"), 1, "{lines:#?}");
    assert_eq!(count(&lines, "━ 40/40, "), 1, "{lines:#?}");
    assert_eq!(count(&lines, "… and 32 more steps"), 1, "{lines:#?}");
    assert_eq!(count(&lines, "40 of 40 steps completed"), 1, "{lines:#?}");
    assert!(terminal.cursor_shows());
}

#[test]
fn a_lost_server_is_said_and_the_picture_stands_still() {
    let mut platform = Platform::serve();
    let id = platform.submit_shell("sleep 600");
    let mut terminal = Terminal::start(platform.command(&["task", "watch", &id]), 100, 20);
    terminal.until_it_shows("waiting: no online worker offers command");
    platform.process.kill();
    terminal.until_it_shows("no word from the server for");

    let address = platform.url.strip_prefix("http://").unwrap().to_owned();
    let Platform { home, .. } = platform;
    let platform = Platform::start(home, &["serve", "--listen", &address]);
    crate::rig::until("the connection", || {
        (count(&terminal.lines(), "no word from the server for") == 0).then_some(())
    });
    platform.run(&["task", "cancel", &id]).ok();
    assert_eq!(terminal.wait().code(), Some(1), "{:#?}", terminal.lines());
    assert_eq!(count(&terminal.lines(), "Run the program"), 1, "{:#?}", terminal.lines());
}

#[test]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    let platform = Platform::serve();
    let id = platform.submit_shell("sleep 600");
    let mut terminal = Terminal::start(platform.command(&["task", "watch", &id]), 80, 24);
    terminal.until_it_shows("in_progress");
    terminal.signal(Signal::INT);
    assert_eq!(terminal.wait().code(), Some(130), "{:#?}", terminal.lines());
    assert!(terminal.cursor_shows());
    terminal.until_it_shows("the task goes on without you");
}
