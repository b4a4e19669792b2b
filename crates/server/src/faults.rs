//! Naming the fields of a JSON body that do not fit its type. serde stops at the first; a caller wants to know them all.

use serde_json::Value;

use crate::body::Check;
use crate::fields::Errors;
use crate::problem::Failure;
use crate::required::{REQUIRED, name_missing};

/// Names the fields that do not fit in a text that is JSON: one is found, taken out, and the rest looked at again.
/// Slow, and only for requests that are refused.
pub(crate) fn name_fields<T: Check>(text: &str, mut errors: Errors) -> Failure {
    /// Rounds, each over the whole text.
    const ROUNDS: usize = 10;
    /// Of a long text only the first error is worth a search.
    const TOO_LONG: usize = 256 * 1024;
    // First over the text, since a value would hide doubled keys.
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(body) => {
            body.check(&mut errors, "");
            return finish(errors);
        }
        Err(error) => {
            let path = segments(error.path());
            let doubled = describe(&mut errors, &path, error.inner());
            if doubled || text.len() > TOO_LONG {
                return finish(errors);
            }
        }
    }
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return finish(errors) };
    let whole = value.clone();
    for _ in 0..ROUNDS {
        match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(body) => {
                body.check(&mut errors, "");
                break;
            }
            Err(error) => {
                let mut path = segments(error.path());
                // What serde would look at after it cannot be seen; it may be missing because it was taken out.
                if missing(error.inner()).is_some() {
                    break;
                }
                describe(&mut errors, &path, error.inner());
                // Without one of its elements an array would have other places, so it goes as a whole.
                while matches!(path.last(), Some(Segment::Place(_))) {
                    path.pop();
                }
                if !take_out(&mut value, &path) {
                    break;
                }
            }
        }
    }
    name_missing::<T>(&whole, &mut errors);
    finish(errors)
}

fn finish(errors: Errors) -> Failure {
    errors.finish().err().unwrap_or_else(|| Failure::field("body", "does not fit; look at /docs for this call"))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Place(usize),
    Name(String),
}

fn segments(path: &serde_path_to_error::Path) -> Vec<Segment> {
    path.iter()
        .filter_map(|segment| match segment {
            serde_path_to_error::Segment::Seq { index } => Some(Segment::Place(*index)),
            serde_path_to_error::Segment::Map { key } => Some(Segment::Name(key.clone())),
            serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => None,
        })
        .collect()
}

fn shown(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Place(place) => text.push_str(&format!("[{place}]")),
            Segment::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
        }
    }
    if text.is_empty() { "body".to_owned() } else { text }
}

/// The name of the field that is missing, when that is the error.
fn missing(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let name = message.strip_prefix("missing field `")?;
    name.split('`').next().map(ToOwned::to_owned)
}

/// Adds one error of serde; true when it is about a doubled field.
fn describe(errors: &mut Errors, path: &[Segment], error: &serde_json::Error) -> bool {
    let mut message = error.to_string();
    if let Some(at) = message.rfind(" at line ") {
        message.truncate(at);
    }
    let named = message.split('`').nth(1).map(ToOwned::to_owned);
    let mut path = path.to_vec();
    let doubled = message.starts_with("duplicate field");
    if let Some(name) = named {
        let last = path.last() == Some(&Segment::Name(name.clone()));
        if missing(error).is_some() {
            path.push(Segment::Name(name));
            message = REQUIRED.to_owned();
        } else if doubled {
            if !last {
                path.push(Segment::Name(name));
            }
            message = "was given more than once; give it once".to_owned();
        } else if message.starts_with("unknown field") && !last {
            path.push(Segment::Name(name));
        }
    }
    errors.add(shown(&path), message);
    doubled
}

/// Takes the value at a path out, so that the rest can be looked at; false when there is none.
fn take_out(value: &mut Value, path: &[Segment]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut at = value;
    for segment in parents {
        let next = match segment {
            Segment::Place(place) => at.get_mut(place),
            Segment::Name(name) => at.get_mut(name),
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    match (last, at) {
        (Segment::Name(name), Value::Object(entries)) => entries.shift_remove(name).is_some(),
        _ => false,
    }
}
