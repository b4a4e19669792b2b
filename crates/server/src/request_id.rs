//! `X-Request-ID`: taken from the caller when it fits, else made.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use regatta_api::limits;
use uuid::Uuid;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the caller's when it is 1..=128 visible ASCII characters, else a new one.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(X_REQUEST_ID) {
        Some(id) if limits::REQUEST_ID.contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic) => {
            id.clone()
        }
        _ => fresh(),
    }
}

/// A UUID version 7 without asking the system for chance each time: what tells ids of one millisecond apart is a
/// counter, what tells processes apart is random.
fn fresh() -> HeaderValue {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static PROCESS: OnceLock<[u8; 10]> = OnceLock::new();
    let mut tail = *PROCESS.get_or_init(|| {
        let random = Uuid::now_v7().into_bytes();
        let mut tail = [0; 10];
        tail.copy_from_slice(&random[6..]);
        tail
    });
    let count = COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    tail[5..].copy_from_slice(&count[3..]);
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str) -> HeaderMap {
        [(X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap())].into_iter().collect()
    }

    #[test]
    fn a_fitting_id_is_taken_and_any_other_replaced() {
        let longest = "x".repeat(128);
        for id in ["a", "r-1!~", &longest] {
            assert_eq!(of(&given(id)), id);
        }
        let too_long = "x".repeat(129);
        for id in ["", "two words", "é", &too_long] {
            let made = of(&given(id));
            let made = Uuid::try_parse(made.to_str().unwrap()).unwrap();
            assert_eq!(made.get_version_num(), 7, "{id:?}");
        }
    }

    #[test]
    fn new_ids_differ() {
        let ids: std::collections::HashSet<HeaderValue> = (0..10_000).map(|_| of(&HeaderMap::new())).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
