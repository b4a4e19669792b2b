//! Spans of time as people write them: `300ms`, `20s`, `1h30m`; a bare number is seconds.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// Longer than this is taken for a mistake: a year.
const LONGEST: f64 = 366.0 * 86_400.0;

/// Reads a span of time.
///
/// # Errors
/// A sentence that says how to write one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no span of time; write it like 300ms, 20s or 1h30m");
    let text_trimmed = text.trim();
    if let Ok(seconds) = text_trimmed.parse::<f64>() {
        return of_seconds(seconds).ok_or_else(bad);
    }
    let (mut seconds, mut rest) = (0.0, text_trimmed);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        seconds += number
            * match rest[digits..unit].trim() {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return Err(bad()),
            };
        rest = &rest[unit..];
    }
    if text_trimmed.is_empty() { Err(bad()) } else { of_seconds(seconds).ok_or_else(bad) }
}

fn of_seconds(seconds: f64) -> Option<Duration> {
    (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// A span of time in a file: a text, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a span of time like \"300ms\", \"20s\" or \"1h30m\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                parse(text).map(Span).map_err(E::custom)
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Span, E> {
                self.visit_f64(seconds as f64)
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Span, E> {
                self.visit_f64(seconds as f64)
            }
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Span, E> {
                of_seconds(seconds)
                    .map(Span)
                    .ok_or_else(|| E::custom(format!("`{seconds}` seconds are no span of time")))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of time, like \"300ms\", \"20s\", \"1h30m\"; a number is seconds",
            "type": ["string", "number"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (text, millis) in [
            ("300s", 300_000),
            ("20m", 1_200_000),
            ("1h30m", 5_400_000),
            ("60", 60_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1x", "-1s", "1h 30", "nan", "9999d", "1s2"] {
            assert!(parse(text).unwrap_err().contains("1h30m"), "{text}");
        }
    }
}
