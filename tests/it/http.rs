//! HTTP as plain as can be, so that a test sees what a client sees and nothing is tried again behind its back.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A connection.
pub fn open(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// One call on a connection of its own; an error whenever it was not answered whole.
pub fn call(address: &str, method: &str, path: &str, key: Option<&str>, body: &Value) -> Result<(u16, Value)> {
    let mut stream = open(address)?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    write!(
        stream,
        "{method} /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{key}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let cut_off = || Error::new(ErrorKind::UnexpectedEof, "the answer was cut off");
    let text = String::from_utf8(answer).map_err(|_| cut_off())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut_off)?;
    Ok((status, serde_json::from_str(body).map_err(|_| cut_off())?))
}
