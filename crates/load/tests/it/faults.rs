//! Servers that misbehave.

use std::time::Duration;

use regatta_load::engine::Error;
use tokio::io::AsyncWriteExt;

use crate::server::{bare, refused, run, users, write_and_close};

const ONE: &str = r#"
timeout = "300ms"
max_answer = 100000
[[users]]
name = "Reader"
wait = { constant = "20ms" }
[[users.tasks]]
get = "/x"
"#;

/// The only error of a short run; every request failed with it.
fn only_error(host: std::net::SocketAddr) -> String {
    let ran = run(ONE, host, users(1, 900));
    assert!(ran.totals.all.requests > 0);
    assert_eq!(ran.totals.all.requests, ran.totals.all.failures);
    let errors = ran.totals.errors_by_count();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].2.count, ran.totals.all.failures);
    errors[0].1.to_owned()
}

#[test]
fn nobody_there() {
    // A port that was ours and is closed again.
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refused(ONE, host, users(1, 100));
    assert!(
        matches!(&error, Error::Unreachable { host: named, .. } if named.contains(&host.port().to_string())),
        "{error}"
    );
}

#[test]
fn cut_off() {
    let host = bare(|stream| write_and_close(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"));
    assert_eq!(only_error(host), "the server closed the connection in the middle of the answer");
}

#[test]
fn silent_end() {
    assert_eq!(
        only_error(bare(|stream| write_and_close(stream, b""))),
        "the server closed the connection without an answer"
    );
}

#[test]
fn malformed() {
    let error = only_error(bare(|stream| write_and_close(stream, b"SSH-2.0-OpenSSH_9.9\r\n\r\n")));
    assert!(error.starts_with("malformed answer"), "{error}");
    let error = only_error(bare(|stream| {
        write_and_close(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    }));
    assert!(error.starts_with("malformed answer"), "{error}");
}

#[test]
fn slow() {
    let host = bare(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
    });
    assert_eq!(only_error(host), "no answer within 0.3 s");
}

#[test]
fn endless() {
    let host = bare(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    assert!(only_error(host).contains("larger than 100000 bytes"));
}

#[test]
fn dies_half_way() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut answered = 0;
        let mut open = Vec::new();
        // The first connection only looks whether somebody is there.
        while answered < 5 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            while answered < 5 && matches!(stream.read(&mut head), Ok(1..)) {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                answered += 1;
            }
            open.push(stream);
        }
        // Here it dies: the listener and all connections close.
    });
    let ran = run(ONE, host, users(1, 1_500));
    assert_eq!(ran.totals.all.requests - ran.totals.all.failures, 5);
    let errors = ran.totals.errors_by_count();
    assert!(errors.iter().any(|(_, text, _)| *text == "cannot connect: connection refused"), "{errors:?}");
}

#[test]
fn a_connection_that_the_server_closes_after_each_answer_is_no_failure() {
    let host = bare(|stream| write_and_close(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let ran = run(ONE, host, users(2, 500));
    assert!(ran.totals.all.requests > 2);
    assert_eq!(ran.totals.all.failures, 0, "{:?}", ran.totals.errors);
}

#[test]
fn too_few_descriptors_are_named() {
    let host = bare(|stream| write_and_close(stream, b""));
    match refused(ONE, host, users(2_000_000_000, 100)) {
        Error::Descriptors { users, needed, allowed } => {
            assert!(users == 2_000_000_000 && needed > users && allowed < needed);
        }
        other => panic!("{other}"),
    }
}
