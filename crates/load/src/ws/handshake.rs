//! The opening handshake (RFC 6455, section 4): a request that asks for an upgrade, and the proof in its answer.

use data_encoding::BASE64;

use crate::http::exchange::Answer;
use crate::http::head;
use crate::http::request::{self, Method, Parts};
use crate::http::target::Target;
use crate::scenario::expect::reason;

/// What a server puts behind the key before it hashes both.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key for one handshake.
pub fn key() -> String {
    BASE64.encode(&rand::random::<[u8; 16]>())
}

/// The request, at the end of `out`.
pub fn write(target: &Target, path: &str, headers: &[(String, String)], key: &str, out: &mut Vec<u8>) {
    let ours = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
    ];
    let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Vec<_> = ours.into_iter().chain(headers.iter().cloned()).collect();
    request::write(target, &Parts { method: Method::Get, path, headers: &headers, body: None }, out);
}

/// Whether the answer opens a WebSocket.
///
/// # Errors
/// Why it does not.
pub fn check(answer: &Answer, key: &str) -> Result<(), String> {
    let status = answer.head.status;
    if status != 101 {
        return Err(format!("{status} {}: no WebSocket was opened", reason(status)).replace(" :", ":"));
    }
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    match head::header(&answer.raw_head, "sec-websocket-accept") {
        Some(proof) if proof == BASE64.encode(digest.as_ref()) => Ok(()),
        _ => Err("the server does not prove that it speaks WebSocket (Sec-WebSocket-Accept)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_proof_of_the_standard() {
        let raw_head = b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n".to_vec();
        let (_, parsed) = head::parse(&raw_head, Method::Get).unwrap().unwrap();
        let answer = Answer { head: parsed, bytes: 0, raw_head, body: Vec::new() };
        assert_eq!(check(&answer, "dGhlIHNhbXBsZSBub25jZQ=="), Ok(()));
        assert!(check(&answer, "dGhlIHNhbXBsZSBub25jZR==").unwrap_err().contains("prove"));
    }

    #[test]
    fn a_key_is_sixteen_bytes_and_another_each_time() {
        assert_eq!(BASE64.decode(key().as_bytes()).unwrap().len(), 16);
        assert_ne!(key(), key());
    }
}
