//! What is taken from an answer for later steps: `"$.task_id"` (JSONPath, RFC 9535) or `"header:Location"`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json_path::JsonPath;

/// Where in an answer something is.
#[derive(Debug, Clone)]
pub enum Extract {
    /// The first match in a JSON body.
    Json(Box<JsonPath>, String),
    /// A header.
    Header(String),
}

impl Extract {
    /// Reads `$...` or `header:...`.
    ///
    /// # Errors
    /// A sentence that says how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("header:") {
            let name = name.trim();
            return if name.is_empty() {
                Err("`header:` names no header".to_owned())
            } else {
                Ok(Self::Header(name.to_owned()))
            };
        }
        if !text.starts_with('$') {
            return Err(format!("`{text}` is neither a JSONPath like $.id nor a header like header:Location"));
        }
        match JsonPath::parse(text) {
            Ok(path) => Ok(Self::Json(Box::new(path), text.to_owned())),
            Err(error) => Err(format!("`{text}` is no JSONPath (RFC 9535): {error}")),
        }
    }
}

/// A value as a text: a string without its quotes, everything else as JSON.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl fmt::Display for Extract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_, text) => f.write_str(text),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for Extract {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Extract;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSONPath like \"$.id\" or a header like \"header:Location\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Extract, E> {
                Extract::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Extract {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Extract".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A JSONPath (RFC 9535) like \"$.id\", or a header like \"header:Location\"",
            "type": "string",
            "pattern": "^(\\$|header:.)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_headers() {
        assert!(matches!(Extract::parse("$.tasks[0].id"), Ok(Extract::Json(..))));
        assert!(matches!(Extract::parse("header: Location"), Ok(Extract::Header(name)) if name == "Location"));
        for text in ["id", "$.[", "header:", ""] {
            assert!(Extract::parse(text).is_err(), "{text}");
        }
    }
}
