use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use regatta_services::Redis;

use crate::runs;

fn ask(server: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    write!(stream, "AUTH {}\r\n{command}\r\n", server.password()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "+OK");
    lines.next().unwrap().unwrap()
}

#[test]
fn it_starts_again_at_its_port_and_empty() {
    let Some(mut server) = Redis::start("a Redis of one's own") else { return };
    assert_eq!(ask(&server, "SET x 1"), "+OK");
    assert_eq!(ask(&server, "DBSIZE"), ":1");
    let pid = server.pid();
    server.stop();
    assert!(!runs(pid));
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.resume();
    assert_eq!(ask(&server, "DBSIZE"), ":0");
    let pid = server.pid();
    drop(server);
    assert!(!runs(pid));
}
