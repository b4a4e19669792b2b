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
    let key: Vec<(&str, &str)> = key.into_iter().map(|key| ("Idempotency-Key", key)).collect();
    let answer = ask(address, method, &format!("/api/v1{path}"), &key, body)?;
    Ok((answer.status, serde_json::from_str(&answer.body).map_err(|_| cut_off())?))
}

/// The same with headers of its own, for any path.
pub fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer> {
    let mut stream = open(address)?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8(answer).map_err(|_| cut_off())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut_off)?;
    Ok(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In small letters.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// It is a problem of this type, told in words.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{self:?}");
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{self:?}");
        assert_eq!(self.head.contains("retry-after: "), matches!(status, 429 | 503), "{self:?}");
    }
}

fn cut_off() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the answer was cut off")
}
