//! What an answer must be like to count as a success.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::extract::{Extract, as_text};
use crate::http::head;

/// What is expected. Without it every status below 400 is a success.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// One of these statuses.
    pub status: Vec<u16>,
    /// The body contains this.
    pub contains: Option<String>,
    /// At each of these places of a JSON body this value.
    pub json: Vec<(Box<JsonPath>, String, Value)>,
    /// Headers with these values.
    pub headers: Vec<(String, String)>,
}

impl Expect {
    /// Whether the body must be kept to judge.
    pub fn needs_body(&self) -> bool {
        self.contains.is_some() || !self.json.is_empty()
    }

    /// Judges an answer; `json` is its body when it was parsed.
    ///
    /// # Errors
    /// What is not as expected.
    pub fn check(&self, status: u16, raw_head: &[u8], body: &[u8], json: Option<&Value>) -> Result<(), String> {
        if !self.status.contains(&status) && (!self.status.is_empty() || status >= 400) {
            let expected: Vec<String> = self.status.iter().map(ToString::to_string).collect();
            let name = reason(status);
            let space = if name.is_empty() { "" } else { " " };
            return Err(match expected.as_slice() {
                [] => format!("{status}{space}{name}"),
                expected => format!("{status}{space}{name}, expected {}", expected.join(" or ")),
            });
        }
        for (name, expected) in &self.headers {
            match head::header(raw_head, name) {
                Some(value) if value == *expected => {}
                Some(_) => return Err(format!("header {name} is not `{expected}`")),
                None => return Err(format!("there is no header {name}")),
            }
        }
        if let Some(text) = &self.contains
            && memchr::memmem::find(body, text.as_bytes()).is_none()
        {
            return Err(format!("the body does not contain `{text}`"));
        }
        for (path, shown, expected) in &self.json {
            let Some(json) = json else { return Err("the body is no JSON".to_owned()) };
            match path.query(json).first() {
                Some(value) if value == expected => {}
                Some(value) => {
                    let shortened: String = as_text(value).chars().take(80).collect();
                    return Err(format!("{shown} is `{shortened}`, expected `{}`", as_text(expected)));
                }
                None => return Err(format!("there is no {shown}")),
            }
        }
        Ok(())
    }
}

/// The words that belong to a status (RFC 9110, section 15).
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

/// The long form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Table {
    /// The status, or a list of them.
    status: Statuses,
    /// The body contains this text.
    contains: Option<String>,
    /// JSONPath and the value that must be there.
    json: BTreeMap<String, Value>,
    /// Header and its value.
    headers: BTreeMap<String, String>,
}

/// What a message over a WebSocket is like: the same without what only HTTP has.
#[derive(Debug, Clone, Default)]
pub struct Frame(pub Expect);

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { contains, json } = Fields::deserialize(deserializer)?;
        Ok(Self(Expect { contains, json: paths(json)?, ..Expect::default() }))
    }
}

impl JsonSchema for Frame {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Frame".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Fields>()
    }
}

/// A message over a WebSocket; without anything in it, any message.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    /// It contains this text.
    contains: Option<String>,
    /// JSONPath and the value that must be there.
    json: BTreeMap<String, Value>,
}

fn paths<E: Error>(json: BTreeMap<String, Value>) -> Result<Vec<(Box<JsonPath>, String, Value)>, E> {
    let mut paths = Vec::new();
    for (path, value) in json {
        match Extract::parse(&path).map_err(E::custom)? {
            Extract::Json(path, shown) => paths.push((path, shown, value)),
            Extract::Header(_) => return Err(E::custom("headers are expected under `headers`")),
        }
    }
    Ok(paths)
}

#[derive(Debug, Default)]
struct Statuses(Vec<u16>);

fn status<E: Error>(number: i64) -> Result<u16, E> {
    match u16::try_from(number) {
        Ok(status) if (100..600).contains(&status) => Ok(status),
        _ => Err(E::custom(format!("{number} is no HTTP status"))),
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expect = deserializer.deserialize_any(Forms { table: false })?;
        Ok(Self(expect.status))
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "An HTTP status or a list of them",
            "oneOf": [
                { "type": "integer", "minimum": 100, "maximum": 599 },
                { "type": "array", "items": { "type": "integer", "minimum": 100, "maximum": 599 } },
            ],
        })
    }
}

/// The three ways to write it.
struct Forms {
    table: bool,
}

impl<'de> Visitor<'de> for Forms {
    type Value = Expect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.table {
            "a status, a list of them, or a table with status, contains, json or headers"
        } else {
            "a status or a list of them"
        })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Expect, E> {
        Ok(Expect { status: vec![status(number)?], ..Expect::default() })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Expect, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Expect, A::Error> {
        let mut expect = Expect::default();
        while let Some(number) = list.next_element::<i64>()? {
            expect.status.push(status(number)?);
        }
        Ok(expect)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expect, A::Error> {
        if !self.table {
            return Err(A::Error::custom("a status or a list of them is expected"));
        }
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        let json = paths(table.json)?;
        let headers = table.headers.into_iter().collect();
        Ok(Expect { status: table.status.0, contains: table.contains, json, headers })
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms { table: true })
    }
}

impl JsonSchema for Expect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expect".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let statuses = generator.subschema_for::<Statuses>();
        let table = generator.subschema_for::<Table>();
        schemars::json_schema!({
            "description": "What a successful answer is like; without it, any status below 400",
            "anyOf": [statuses, table],
        })
    }
}
