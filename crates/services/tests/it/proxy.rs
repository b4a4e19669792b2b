use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use regatta_services::{Proxy, Way};

use crate::until;

/// A server that says what it hears, for as many connections as come.
fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut &stream, &mut writer);
            });
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).unwrap()
}

/// Everything until the end.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn what_is_said_passes_whole_and_so_does_its_end() {
    let proxy = Proxy::to(echo());
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || rest(reader));
    stream.write_all(&sent).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reading.join().unwrap(), sent);
    until("its end", || proxy.connections() == 0);
}

#[test]
fn a_connection_is_cut_at_a_byte_either_way() {
    let proxy = Proxy::to(echo());
    for way in [Way::ToServer, Way::ToClient] {
        for bytes in 0..10 {
            proxy.cut_after(way, bytes);
            let before = proxy.passed(way);
            let mut stream = connect(&proxy);
            stream.write_all(b"0123456789").unwrap();
            let got = rest(stream);
            assert_eq!(proxy.passed(way) - before, bytes);
            // What has reached the server may not have come back before the cut.
            assert!(b"0123456789".starts_with(&got) && got.len() as u64 <= bytes, "{got:?} after {bytes}");
        }
    }
}

#[test]
fn nothing_passes_a_partition_and_all_of_it_after() {
    let proxy = Proxy::to(echo());
    let mut old = connect(&proxy);
    old.write_all(b"a").unwrap();
    let mut byte = [0];
    old.read_exact(&mut byte).unwrap();
    proxy.partition();
    let mut new = connect(&proxy);
    for stream in [&mut old, &mut new] {
        stream.write_all(b"b").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(stream.read(&mut byte).is_err());
    }
    proxy.heal();
    for stream in [&mut old, &mut new] {
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");
    }
    proxy.refuse();
    assert_eq!(rest(old), b"");
    assert_eq!(rest(connect(&proxy)), b"");
    proxy.heal();
    let mut stream = connect(&proxy);
    proxy.delay(Way::ToClient, Duration::from_millis(50));
    stream.write_all(b"c").unwrap();
    stream.read_exact(&mut byte).unwrap();
    proxy.cut();
    assert_eq!(rest(stream), b"");
}
