//! A server that other machines can reach: tokens from the first start to the revocation, and TLS.

use std::net::{Ipv4Addr, TcpStream};

use crate::rig::{Home, Platform, Process, Ran, until};

/// Every address of this machine, any free port; the tests call it over loopback.
pub const EVERYWHERE: &str = "0.0.0.0:0";

/// The first token, as the server showed it.
pub fn first_token(output: &str) -> String {
    let mut shown = output.lines().map(str::trim).filter(|line| line.starts_with("rgu_"));
    let token = shown.next().unwrap_or_else(|| panic!("no token in {output}")).to_owned();
    assert_eq!(shown.next(), None);
    token
}

fn with(platform: &Platform, token: &str, arguments: &[&str]) -> Ran {
    Ran::from(platform.command(arguments).env("REGATTA_TOKEN", token).output().unwrap())
}

fn command_line(pid: u32) -> String {
    String::from_utf8(std::fs::read(format!("/proc/{pid}/cmdline")).unwrap()).unwrap()
}

#[test]
fn a_token_lets_in_until_it_is_revoked_and_stands_in_no_log() {
    let arguments = ["serve", "--listen", EVERYWHERE, "--log-level", "trace"];
    let platform = Platform::start(Home::new(), &arguments);
    let user = first_token(&platform.process.output());

    let refused = platform.run(&["task", "list"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("REGATTA_TOKEN") && refused.stderr.contains("regatta token create"), "{refused:?}");
    with(&platform, &user, &["task", "list"]).ok();
    let wrong = format!("rgu_{}", "0".repeat(64));
    let refused = with(&platform, &wrong, &["status"]);
    assert!(refused.code == Some(1) && !refused.stderr.contains(&wrong), "{refused:?}");

    // Made and revoked while the server runs, by another process.
    let made = platform.run(&["token", "create", "--role", "worker", "--name", "gpu-1", "--json"]).ok().json();
    let worker = made["token"].as_str().unwrap().to_owned();
    let viewer = platform.run(&["token", "create", "--role", "viewer"]).ok().stdout.trim().to_owned();
    assert!(worker.starts_with("rgw_") && viewer.starts_with("rgv_"), "{made}");
    with(&platform, &viewer, &["status"]).ok();
    let refused = with(&platform, &viewer, &["task", "submit", "--", "true"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("only reads"), "{refused:?}");
    assert_eq!(with(&platform, &worker, &["task", "list"]).code, Some(1));

    let mut command = platform.command(&["worker", "--name", "gpu-1", "--tools", "command"]);
    command.env("REGATTA_TOKEN", &worker);
    let mut process = Process::start(command, platform.home.path("worker.log"));
    with(&platform, &user, &["task", "submit", "--wait", "--", "true"]).ok();
    let listed = platform.run(&["token", "list"]).ok();
    assert!(listed.stdout.contains("gpu-1") && !listed.stdout.contains("rg"), "{listed:?}");
    platform.run(&["token", "revoke", "gpu-1"]).ok();
    assert_eq!(process.wait().code(), Some(1), "a worker whose token is revoked ends");
    assert!(process.output().contains("does not count"), "{}", process.output());
    until("the revocation", || {
        (with(&platform, &worker, &["worker", "--tools", "command"]).code == Some(1)).then_some(())
    });

    // As a browser shows it.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port(&platform.url))).unwrap();
    let request = format!(
        "GET /api/v1/ws?token={viewer} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let answer = exchange(&mut stream, request.as_bytes(), 12);
    assert_eq!(answer, "HTTP/1.1 101");

    let home = {
        let (log, worker_log) = (platform.process.output(), process.output());
        for secret in [&user, &worker, &viewer, &wrong] {
            let shown = usize::from(*secret == user);
            assert_eq!(log.matches(secret.as_str()).count(), shown, "in the server's log");
            assert!(!worker_log.contains(secret.as_str()), "in the worker's log");
        }
        platform.stop().1
    };
    // The first token is made once; what is kept of it is no secret.
    let database = std::fs::read(home.path("data/regatta.db")).unwrap();
    assert!(!contains(&database, user.as_bytes()));
    let again = Platform::start(home, &arguments);
    let output = again.process.output();
    assert_eq!(output.matches("rgu_").count(), 1, "{output}");
    with(&again, &user, &["status"]).ok();
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// Sends, and reads the beginning of what comes.
fn exchange(stream: &mut (impl std::io::Read + std::io::Write), request: &[u8], length: usize) -> String {
    stream.write_all(request).unwrap();
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn up_gives_its_workers_a_token_that_nobody_sees() {
    let platform = Platform::start(Home::new(), &["up", "--workers", "1", "--listen", EVERYWHERE]);
    let user = first_token(&platform.process.output());
    with(&platform, &user, &["task", "submit", "--wait", "--", "true"]).ok();
    for pid in platform.workers() {
        let line = command_line(pid);
        assert!(line.contains("worker") && !line.contains("rgw_") && !line.contains("--token"), "{line}");
    }
    let home = platform.stop().1;
    // The second start takes over the workers of the first.
    let platform = Platform::start(home, &["up", "--workers", "1", "--listen", EVERYWHERE]);
    with(&platform, &user, &["task", "submit", "--wait", "--", "true"]).ok();
    let tokens = platform.run(&["token", "list", "--json"]).ok().json();
    let own = tokens.as_array().unwrap().iter().filter(|token| token["name"] == "regatta up").count();
    assert_eq!(own, 2, "{tokens:#}");
}

#[test]
fn without_authentication_it_says_what_it_opens() {
    let platform = Platform::start(Home::new(), &["serve", "--listen", EVERYWHERE, "--insecure-no-auth"]);
    let output = platform.process.output();
    assert!(output.contains("--insecure-no-auth") && output.contains("run programs on its workers"), "{output}");
    assert!(!output.contains("rgu_"), "{output}");
    platform.run(&["task", "list"]).ok();
}

#[test]
fn tokens_are_managed_without_a_server_too() {
    let home = Home::new();
    let none = home.run(["token", "list"]);
    assert!(none.code == Some(1) && none.stderr.contains("regatta token create"), "{none:?}");
    assert!(!home.path("data/regatta.db").exists());
    let made = home.run(["token", "create", "--name", "ci", "--json"]).ok().json();
    let again = home.run(["token", "create", "--name", "ci", "--quiet"]).ok();
    assert!(again.stderr.is_empty() && again.stdout.starts_with("rgu_"), "{again:?}");
    let unclear = home.run(["token", "revoke", "ci"]);
    assert!(unclear.code == Some(1) && unclear.stderr.contains("2 tokens"), "{unclear:?}");
    let id = made["token_id"].as_str().unwrap();
    home.run(["token", "revoke", id]).ok();
    home.run(["token", "revoke", id]).ok();
    let left = home.run(["token", "list", "--json"]).ok().json();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left:#}");
    let secret = again.stdout.trim();
    let unknown = home.run(["token", "revoke", secret]);
    assert!(unknown.code == Some(1) && !unknown.stderr.contains(secret), "{unknown:?}");
}

#[test]
fn a_task_goes_the_whole_way_over_tls() {
    let home = Home::new();
    let [certificate, key] = home.certificate("farm");
    let (certificate, key) = (certificate.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned());
    let arguments = ["serve", "--listen", "localhost:0", "--tls-cert", &certificate, "--tls-key", &key];
    let platform = Platform::start(home, &arguments);
    assert!(platform.url.starts_with("https://localhost:"), "{}", platform.url);

    let mut command = platform.command(&["worker", "--name", "w", "--tools", "command"]);
    command.env("REGATTA_TLS_CA", &certificate);
    let _worker = Process::start(command, platform.home.path("worker.log"));
    let watched = platform.run(&["--tls-ca", &certificate, "task", "submit", "--watch", "--", "echo", "over TLS"]).ok();
    assert!(watched.stdout.contains("over TLS"), "{watched:?}");

    let unknown = platform.run(&["task", "list"]);
    assert!(unknown.code == Some(3) && unknown.stderr.to_lowercase().contains("certificate"), "{unknown:?}");
    let plain = platform.url.replace("https", "http");
    let plain = platform.run(&["--server", &plain, "task", "list"]);
    assert!(plain.code == Some(1) && plain.stderr.contains("speaks TLS"), "{plain:?}");
    // Somebody who says nothing holds nobody up.
    let _silent = TcpStream::connect((Ipv4Addr::LOCALHOST, port(&platform.url))).unwrap();
    platform.run(&["--tls-ca", &certificate, "status"]).ok();
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    let home = Home::new();
    let [certificate, key] = home.certificate("farm");
    let start = |more: &[&std::ffi::OsStr]| {
        let mut command = home.regatta(["serve", "--listen", "localhost:0"]);
        Ran::from(command.args(more).output().unwrap())
    };
    let one = start(&["--tls-cert".as_ref(), certificate.as_os_str()]);
    assert!(one.code == Some(2) && one.stderr.contains("--tls-key"), "{one:?}");
    let swapped = start(&["--tls-cert".as_ref(), key.as_os_str(), "--tls-key".as_ref(), certificate.as_os_str()]);
    assert!(swapped.code == Some(2) && swapped.stderr.contains("cannot be used for TLS"), "{swapped:?}");
}
