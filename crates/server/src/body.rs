//! Request bodies: JSON of the right kind and size, with every field that does not fit named at once.
//!
//! | What is wrong | Answer |
//! |---|---|
//! | no `application/json` | 415 |
//! | too slow | 408 |
//! | more bytes than the limit, announced or not | 413; see [`crate::leftover`] for what still comes |
//! | no JSON, too deep, broken UTF-8 | 422, field `body` |
//! | a wrong type, a missing or doubled field, a length or number out of range | 422, the field's path |
//! | U+0000 in a text | 422, the field's path; in logs and outputs it becomes U+FFFD |

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use regatta_api::limits::TASK_BODY_BYTES;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::app::App;
use crate::faults::name_fields;
use crate::fields::Errors;
use crate::problem::{Failure, Kind};

/// What is done with U+0000 in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nul {
    /// It is a 422.
    Refuse,
    /// It becomes U+FFFD.
    Replace,
}

/// A body whose fields are checked once it is read.
pub(crate) trait Check: DeserializeOwned + ToSchema {
    /// See [`Nul`].
    const NUL: Nul = Nul::Refuse;

    /// Names what does not fit; `at` is put before the names of fields.
    fn check(&self, _errors: &mut Errors, _at: &str) {}
}

/// A body of which nothing is wanted: any object, or none.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Nothing {}

impl Check for Nothing {}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct Optional<T>(pub(crate) T);

impl<T: Check> FromRequest<App> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, Failure> {
        check_type(request.headers())?;
        let bytes = read(app, request).await?;
        parse(&bytes).map(Self)
    }
}

impl<T: Check + Default> FromRequest<App> for Optional<T> {
    type Rejection = Failure;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, Failure> {
        let typed = check_type(request.headers());
        let bytes = read(app, request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        // As everywhere, null is what is left out.
        if bytes.trim_ascii() == b"null" {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let given = given.map_or_else(|| "none was given".to_owned(), |given| format!("{given:?} was given"));
    Err(Failure::new(
        Kind::UnsupportedMediaType,
        format!("The body must be JSON with Content-Type: application/json; {given}."),
    ))
}

/// What is longer needs room of its own, so that many long bodies at once do not fill the memory.
const LONG: u64 = 64 * 1_024;

/// Bytes that give a body a second more, so that a slow line may send a long one and nobody holds a place with a byte now
/// and then.
const BYTES_A_SECOND: usize = 16 * 1_024;

/// Reads the whole body, within the limit and in time.
async fn read(app: &App, request: Request<Body>) -> Result<Bytes, Failure> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut body = request.into_body();
    if let Some(length) = announced.filter(|length| *length > TASK_BODY_BYTES as u64) {
        return Err(Failure::too_large("request body", Some(length), TASK_BODY_BYTES, "bytes"));
    }
    let mut room = match announced {
        Some(length) if length > LONG => Some(app.places.hold(length as usize)?),
        _ => None,
    };
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let begun = Instant::now();
    let mut received = 0;
    loop {
        let due = begun + app.body_time + Duration::from_secs((received / BYTES_A_SECOND) as u64);
        let Ok(frame) = tokio::time::timeout_at(due, body.frame()).await else {
            return Err(Failure::new(
                Kind::TooSlow,
                format!(
                    "The body did not come in time: {received} bytes in {} s; send it faster.",
                    begun.elapsed().as_secs()
                ),
            ));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Failure::field("body", "ended before it was whole; send the request again"))?;
        let Ok(data) = frame.into_data() else { continue };
        received += data.len();
        let so_far = received - data.len();
        if so_far + data.len() > TASK_BODY_BYTES {
            return Err(Failure::too_large("request body", None, TASK_BODY_BYTES, "bytes"));
        }
        if room.is_none() && (so_far + data.len()) as u64 > LONG {
            room = Some(app.places.hold(TASK_BODY_BYTES)?);
        }
        match &first {
            // Most bodies come in one piece and need no copy.
            None => first = Some(data),
            Some(_) => {
                if rest.is_empty() {
                    let expected = announced.unwrap_or(0).min(TASK_BODY_BYTES as u64) as usize;
                    rest.reserve(expected.saturating_sub(so_far).max(data.len()));
                }
                rest.extend_from_slice(&data);
            }
        }
    }
    match first {
        None => Ok(Bytes::new()),
        Some(first) if rest.is_empty() => Ok(first),
        Some(first) => {
            let mut whole = BytesMut::with_capacity(first.len() + rest.len());
            whole.extend_from_slice(&first);
            whole.extend_from_slice(&rest);
            Ok(whole.freeze())
        }
    }
}

/// Parses and checks JSON.
pub(crate) fn parse<T: Check>(bytes: &[u8]) -> Result<T, Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Failure::field("body", format!("is no UTF-8 at byte {}; send UTF-8", error.valid_up_to())))?;
    // serde would read an array as the fields in their order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Failure::field("body", "must be a JSON object"),
            Err(error) => no_json(&error),
        });
    }
    // A JSON text holds U+0000 only in this escape.
    if text.contains("\\u0000") {
        return parse_with_nul(text);
    }
    match serde_json::from_str::<T>(text) {
        Ok(body) => {
            let mut errors = Errors::default();
            body.check(&mut errors, "");
            errors.finish().map(|()| body)
        }
        // What does not fit its type may be followed by what is no JSON at all, and that comes first.
        Err(error) if error.is_data() => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Err(name_fields::<T>(text, Errors::default())),
            Err(error) => Err(no_json(&error)),
        },
        Err(error) => Err(no_json(&error)),
    }
}

fn no_json(error: &serde_json::Error) -> Failure {
    Failure::field("body", format!("is no JSON that can be read: {error}"))
}

fn parse_with_nul<T: Check>(text: &str) -> Result<T, Failure> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| no_json(&error))?;
    match T::NUL {
        Nul::Refuse => {
            let mut errors = Errors::default();
            name_nuls(&value, &mut String::new(), &mut errors);
            if !errors.is_empty() {
                return Err(name_fields::<T>(text, errors));
            }
        }
        Nul::Replace => replace_nuls(&mut value),
    }
    match serde_path_to_error::deserialize::<_, T>(&value) {
        Ok(body) => {
            let mut errors = Errors::default();
            body.check(&mut errors, "");
            errors.finish().map(|()| body)
        }
        Err(_) => Err(name_fields::<T>(text, Errors::default())),
    }
}

fn name_nuls(value: &Value, path: &mut String, errors: &mut Errors) {
    const MESSAGE: &str = "holds the character U+0000, which is not allowed; leave it out";
    let length = path.len();
    match value {
        Value::String(text) if text.contains('\0') => {
            errors.add(if path.is_empty() { "body" } else { path.as_str() }, MESSAGE)
        }
        Value::Array(elements) => {
            for (place, element) in elements.iter().enumerate() {
                path.push_str(&format!("[{place}]"));
                name_nuls(element, path, errors);
                path.truncate(length);
            }
        }
        Value::Object(entries) => {
            for (name, entry) in entries {
                if name.contains('\0') {
                    errors.add(
                        if path.is_empty() { "body" } else { path.as_str() },
                        "has a key with the character U+0000, which is not allowed",
                    );
                }
                if length > 0 {
                    path.push('.');
                }
                path.push_str(&name.replace('\0', "\u{fffd}"));
                name_nuls(entry, path, errors);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn replace_nuls(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(elements) => elements.iter_mut().for_each(replace_nuls),
        Value::Object(entries) => {
            if entries.keys().any(|name| name.contains('\0')) {
                *entries = std::mem::take(entries)
                    .into_iter()
                    .map(|(name, entry)| (name.replace('\0', "\u{fffd}"), entry))
                    .collect();
            }
            entries.values_mut().for_each(replace_nuls);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use regatta_api::task::CreateTask;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        name: String,
        #[serde(default)]
        size: u32,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[allow(dead_code)]
    struct Outer {
        text: String,
        number: u32,
        #[serde(default)]
        inner: Vec<Inner>,
        #[serde(default)]
        other: Option<Value>,
    }

    impl Check for Outer {
        fn check(&self, errors: &mut Errors, at: &str) {
            errors.length(format!("{at}text"), &self.text, &(1..=3));
        }
    }

    fn fields(text: &str) -> Vec<(String, String)> {
        let failure = parse::<Outer>(text.as_bytes()).unwrap_err();
        let body = failure.into_response().into_body();
        let bytes = futures_util::FutureExt::now_or_never(axum::body::to_bytes(body, 1 << 20)).unwrap().unwrap();
        let problem: regatta_api::Problem = serde_json::from_slice(&bytes).unwrap();
        problem.errors.into_iter().map(|error| (error.field, error.message)).collect()
    }

    #[track_caller]
    fn names(text: &str, expected: &[&str]) {
        let found = fields(text);
        let names: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(names, expected, "{text}: {found:?}");
    }

    #[test]
    fn every_field_that_does_not_fit_is_named() {
        names(r#"{"text": 1, "number": "x"}"#, &["text", "number"]);
        names(r#"{"text": "long", "number": -1}"#, &["number"]);
        names(r#"{"text": "long", "number": 1}"#, &["text"]);
        names(r#"{"text": "a"}"#, &["number"]);
        names("{}", &["text", "number"]);
        names(
            r#"{"inner": [{"size": "x"}, {}]}"#,
            &["inner[0].size", "text", "number", "inner[0].name", "inner[1].name"],
        );
        names(
            r#"{"text": "a", "number": 1, "inner": [{"name": "x"}, {"name": 2, "size": 1.5}]}"#,
            &["inner[1].name", "inner[1].size"],
        );
        names(r#"{"text": "a", "number": 1, "inner": [{"name": "x", "color": 1}]}"#, &["inner[0].color"]);
        names(r#"{"text": "a", "number": 1, "inner": [{}]}"#, &["inner[0].name"]);
        names(r#"{"text": "a", "number": 1, "text": "b"}"#, &["text"]);
        names(r#"["a", 1]"#, &["body"]);
        names("7", &["body"]);
    }

    #[test]
    fn what_is_no_json_is_about_the_body() {
        let text_after = ["{} x", "{\"text\": \"a\"} x", "{\"text\": 1}{}", "{\"text\": \"a\", \"number\": 1} x"];
        for text in ["", "{", "{\"text\": \"a\",}", "nul", "{'text': 1}"].into_iter().chain(text_after) {
            names(text, &["body"]);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        names(&format!(r#"{{"text": "a", "number": 1, "other": {deep}}}"#), &["body"]);
        let failure = parse::<Outer>(b"{\"text\": \"\xff\"}").unwrap_err();
        assert!(failure.sentence().starts_with("body: is no UTF-8 at byte 10"), "{}", failure.sentence());
    }

    #[test]
    fn nul_is_refused_by_name_or_replaced() {
        names(r#"{"text": "a\u0000", "number": 1}"#, &["text"]);
        names(r#"{"text": "a", "number": 1, "other": {"deep": ["x", "\u0000"]}}"#, &["other.deep[1]"]);
        assert!(parse::<Outer>(br#"{"text": "\\u", "number": 1, "x": "\\u0000"}"#).is_ok());
        let mut value = serde_json::json!({"a\0": ["\0"]});
        replace_nuls(&mut value);
        assert_eq!(value, serde_json::json!({"a\u{fffd}": ["\u{fffd}"]}));
    }

    #[test]
    fn a_task_with_several_faults_names_them_all() {
        let failure = parse::<CreateTask>(
            br#"{"description": "short", "priority": "soon", "task_type": "x", "subtasks": [{"name": "", "complexity": 9}]}"#,
        )
        .unwrap_err();
        let sentence = failure.sentence();
        for field in ["description: ", "priority: ", "task_type: ", "subtasks[0].name: ", "subtasks[0].complexity: "] {
            assert!(sentence.contains(field), "{field} in {sentence}");
        }
    }
}
