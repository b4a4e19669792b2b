use std::process::Command;

use regatta_services::{Postgres, Proxy, Stop, Way, database};

use crate::{runs, until};

/// What a statement answers, or why it does not.
fn ask(url: &str, statement: &str) -> Result<String, String> {
    let done = Command::new("psql").args(["-X", "-q", "-A", "-t", "-c", statement, url]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if done.status.success() { Ok(said) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

#[test]
fn databases_share_nothing_and_are_dropped() {
    let (Some(one), Some(two)) = (database("one"), database("two")) else { return };
    ask(one.url(), "CREATE TABLE t (x int)").unwrap();
    ask(two.url(), "CREATE TABLE t (x int)").unwrap();
    assert_eq!(ask(one.url(), "SELECT count(*) FROM t").unwrap(), "0");
    let gone = one.url().to_owned();
    drop(one);
    assert!(ask(&gone, "SELECT 1").unwrap_err().contains("does not exist"));
    assert_eq!(ask(two.url(), "SELECT count(*) FROM t").unwrap(), "0");
}

#[test]
fn a_server_keeps_its_data_and_its_port_over_every_kind_of_end() {
    let Some(mut server) = Postgres::start_with("a server of one's own", &["fsync=on"], &[]) else { return };
    let url = server.url();
    ask(&url, "CREATE TABLE t (x int)").unwrap();
    for (number, how) in [Stop::Fast, Stop::Immediate, Stop::Kill].into_iter().enumerate() {
        ask(&url, &format!("INSERT INTO t VALUES ({number})")).unwrap();
        let pid = server.pid();
        server.stop(how);
        assert!(!runs(pid));
        assert!(ask(&url, "SELECT 1").is_err());
        server.resume();
        assert_eq!(ask(&url, "SELECT count(*) FROM t").unwrap(), (number + 1).to_string(), "{how:?}");
    }
    assert_eq!(ask(&url, "SHOW fsync").unwrap(), "on");
}

#[test]
fn a_frozen_server_says_nothing_until_it_goes_on() {
    let Some(server) = Postgres::start("a frozen server") else { return };
    server.freeze();
    let url = server.url();
    let asked = std::thread::spawn(move || ask(&url, "SELECT 7"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!asked.is_finished());
    server.thaw();
    assert_eq!(asked.join().unwrap().unwrap(), "7");
}

#[test]
fn a_statement_is_cut_at_any_byte() {
    let Some(server) = Postgres::start("a proxy before it") else { return };
    let proxy = Proxy::to(server.port());
    let url = server.url_at(proxy.port());
    assert_eq!(ask(&url, "SELECT 1").unwrap(), "1");
    let whole = proxy.passed(Way::ToClient);
    for bytes in [0, 1, whole / 2, whole - 1] {
        proxy.cut_after(Way::ToClient, bytes);
        let before = proxy.passed(Way::ToClient);
        // The last bytes say only that the server is ready again, which psql may not need.
        let answer = ask(&url, "SELECT 1");
        assert!(bytes > whole / 2 || answer.is_err(), "after {bytes} of {whole}: {answer:?}");
        assert_eq!(proxy.passed(Way::ToClient) - before, bytes);
    }
    assert_eq!(ask(&url, "SELECT 1").unwrap(), "1");
}

/// The test's own program runs the other test below and is killed.
#[test]
fn nothing_is_left_when_a_test_is_killed() {
    if Postgres::start("what is left of a killed test").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::to_be_killed", "--ignored"])
        .env("REGATTA_TEST_NOTE", &note)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let noted = || std::fs::read_to_string(&note).ok().filter(|text| text.ends_with('\n'));
    until("its server", || noted().is_some());
    let noted = noted().unwrap();
    let (pid, data) = noted.trim().split_once(' ').unwrap();
    let pid = pid.parse().unwrap();
    assert!(runs(pid) && std::path::Path::new(data).exists());
    test.kill().unwrap();
    test.wait().unwrap();
    until("the server's end", || !runs(pid));
    until("the end of its data", || !std::path::Path::new(data).exists());
}

#[test]
#[ignore = "the test above runs it, and kills it"]
fn to_be_killed() {
    let Ok(note) = std::env::var("REGATTA_TEST_NOTE") else { return };
    let server = Postgres::start("to be killed").unwrap();
    let data = ask(&server.url(), "SHOW data_directory").unwrap();
    let part = format!("{note}.part");
    std::fs::write(&part, format!("{} {data}\n", server.pid())).unwrap();
    std::fs::rename(part, note).unwrap();
    std::thread::park();
}
