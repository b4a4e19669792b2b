//! `Idempotency-Key`: the key, and a hash of the parsed body: of what is asked, with every default in its place. It does
//! not see how that was written: spaces, the order of keys, fields nobody knows, a default or `null` spelled out.

use http::{HeaderMap, HeaderName};
use regatta_api::limits;
use regatta_engine::IdempotencyKey;
use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3Default;

use crate::problem::Failure;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The caller's key, when there is one. All calls share one space of keys, so what the body was sent to counts too.
///
/// # Errors
/// A 422 when the key has another length, or is no text.
pub(crate) fn key<T: Serialize>(headers: &HeaderMap, call: &str, body: &T) -> Result<Option<IdempotencyKey>, Failure> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let refuse = |message: &str| Failure::field("Idempotency-Key", message);
    if keys.next().is_some() {
        return Err(refuse("was given more than once; give it once"));
    }
    let key = std::str::from_utf8(key.as_bytes()).map_err(|_| refuse("must be UTF-8"))?;
    let length = key.chars().count();
    if !limits::IDEMPOTENCY_KEY.contains(&length) {
        return Err(refuse(&format!(
            "must have {} to {} characters, has {length}",
            limits::IDEMPOTENCY_KEY.start(),
            limits::IDEMPOTENCY_KEY.end()
        )));
    }
    let value = serde_json::to_value(body).map_err(|error| Failure::internal(&error))?;
    let mut hash = Xxh3Default::new();
    hash.update(call.as_bytes());
    add(&mut hash, &value);
    Ok(Some(IdempotencyKey { key: key.into(), body: hash.digest() }))
}

/// Adds a value so that different values add different bytes: each begins with its kind, texts with their length.
fn add(hash: &mut Xxh3Default, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(true) => hash.update(b"t"),
        Value::Bool(false) => hash.update(b"f"),
        Value::Number(number) => add_text(hash, b"#", &number.to_string()),
        Value::String(text) => add_text(hash, b"\"", text),
        Value::Array(elements) => {
            hash.update(b"[");
            hash.update(&elements.len().to_le_bytes());
            elements.iter().for_each(|element| add(hash, element));
        }
        Value::Object(entries) => {
            hash.update(b"{");
            hash.update(&entries.len().to_le_bytes());
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            for (name, entry) in entries {
                add_text(hash, b":", name);
                add(hash, entry);
            }
        }
    }
}

fn add_text(hash: &mut Xxh3Default, kind: &[u8], text: &str) {
    hash.update(kind);
    hash.update(&text.len().to_le_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn given(key: &str, call: &str, body: &str) -> Result<Option<IdempotencyKey>, Failure> {
        let headers: HeaderMap =
            [(IDEMPOTENCY_KEY, HeaderValue::from_bytes(key.as_bytes()).unwrap())].into_iter().collect();
        super::key(&headers, call, &serde_json::from_str::<Value>(body).unwrap())
    }

    #[test]
    fn equal_json_has_an_equal_hash_and_other_json_another() {
        let body = |text: &str| given("k", "/tasks", text).unwrap().unwrap().body;
        let one = body(r#"{"a": [1, "x"], "b": {"c": null, "d": true}}"#);
        assert_eq!(one, body(r#"{"b":{"d":true,"c":null},"a":[1,"x"]}"#));
        for other in [
            r#"{"a": ["x", 1], "b": {"c": null, "d": true}}"#,
            r#"{"a": [1, "x"], "b": {"c": null, "d": false}}"#,
            r#"{"a": [1], "x": 1, "b": {"c": null, "d": true}}"#,
            r#"{"a": [1, "x"], "b": {"c": null}}"#,
        ] {
            assert_ne!(one, body(other), "{other}");
        }
        assert_ne!(given("k", "/tasks", "{}").unwrap(), given("k", "/tasks/batch", "{}").unwrap());
    }

    #[test]
    fn a_key_has_one_to_255_characters() {
        assert!(given("", "/tasks", "{}").is_err());
        assert!(given(&"é".repeat(255), "/tasks", "{}").unwrap().is_some());
        assert!(given(&"x".repeat(256), "/tasks", "{}").is_err());
        assert_eq!(super::key(&HeaderMap::new(), "/tasks", &()).unwrap(), None);
    }
}
