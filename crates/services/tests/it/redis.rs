use std::net::TcpStream;

use regatta_services::Redis;

use crate::runs;

#[test]
fn it_starts_again_at_its_port_and_empty() {
    let Some(mut server) = Redis::start("a Redis of one's own") else { return };
    assert_eq!(server.ask("SET x 1"), "+OK");
    assert_eq!(server.ask("DBSIZE"), ":1");
    let pid = server.pid();
    server.stop();
    assert!(!runs(pid));
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.resume();
    assert_eq!(server.ask("DBSIZE"), ":0");
    let pid = server.pid();
    drop(server);
    assert!(!runs(pid));
}
