//! Bad input from good input: a seeded generator that spoils JSON, texts, bytes and words. The fuzz tests of other crates
//! include this file too.

// Each of them uses a part of it.
#![allow(dead_code)]

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

/// A number from the environment.
fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// The seeds of a run: `REGATTA_FUZZ_CASES` many from `REGATTA_FUZZ_SEED` on.
pub fn seeds() -> std::ops::Range<u64> {
    let first = variable("REGATTA_FUZZ_SEED", 1);
    first..first + variable("REGATTA_FUZZ_CASES", 1_500)
}

/// Spoils things, the same way every time for a seed.
pub struct Mutator {
    chance: StdRng,
}

/// Values that parsers stumble over.
fn odd_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!("\u{202e}\u{feff}\u{1f9a5}"),
        json!("'; DROP TABLE tasks; --"),
        json!("../../../etc/passwd"),
        json!("{{description}}"),
        json!("x".repeat(70_000)),
        json!("9999-99-99T99:99:99Z"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!([]),
        json!({}),
        json!([[[[[[[[[[]]]]]]]]]]),
        json!({"a": {"b": {"c": {"d": null}}}}),
        json!(vec![Value::Null; 2_000]),
    ]
}

/// What parsers of texts for people stumble over.
fn odd_texts() -> Vec<String> {
    let short = [
        "",
        "\"",
        "'''",
        "\"\"\"",
        "[",
        "]]",
        "[[",
        "{",
        "}}",
        "{{",
        "{%",
        "{{ x.y.z }}",
        "${",
        "${x",
        "${here}",
        "$$",
        "\u{0}",
        "\r",
        "\u{feff}",
        "\u{202e}\u{1f9a5}e\u{301}",
        "\\u00zz",
        "\\",
        "#",
        "=",
        ".",
        ",",
        "-",
        "0x",
        "1e999",
        "-0",
        "nan",
        "inf",
        "99999999999999999999",
        "1979-05-27T07:32:00Z",
        "9999-99-99",
        "null",
        "true",
        "../../..",
        "%s%n",
        "10",
        "0s",
        "1h1h",
        "$.a[?@.b]",
        "*",
        "?",
    ];
    let long = ["[".repeat(5_000), "{a=".repeat(2_000), "a.".repeat(2_000), "x".repeat(70_000), "{{".repeat(2_000)];
    short.into_iter().map(ToOwned::to_owned).chain(long).collect()
}

/// Where the words of a text end.
fn is_border(c: char) -> bool {
    c.is_whitespace() || "=.,:;[]{}()\"'".contains(c)
}

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self { chance: StdRng::seed_from_u64(seed) }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.chance.random_range(0..end)
    }

    /// `true` once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let place = self.below(from.len());
        &from[place]
    }

    fn odd_value(&mut self) -> Value {
        let odd = odd_values();
        self.pick(&odd).clone()
    }

    /// A word for a path or a query.
    pub fn word(&mut self, good: &str) -> String {
        match self.below(16) {
            0..=11 => good.to_owned(),
            12 => "-1".to_owned(),
            13 => "%00%ff%2e%2e%2f".to_owned(),
            14 => "18446744073709551616".to_owned(),
            _ => {
                let mut bytes = good.as_bytes().to_vec();
                self.spoil_bytes(&mut bytes);
                // What cannot stand in a URL is written as what can.
                bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
            }
        }
    }

    /// A text that was JSON once, or still is.
    pub fn spoiled(&mut self, good: &Value) -> Vec<u8> {
        let mut value = good.clone();
        for _ in 0..=self.below(3) {
            self.spoil(&mut value);
        }
        let mut bytes = value.to_string().into_bytes();
        if self.one_in(5) {
            self.spoil_bytes(&mut bytes);
        }
        bytes
    }

    /// A text that could be read once, or still can.
    pub fn text(&mut self, good: &str) -> String {
        let mut text = good.to_owned();
        for _ in 0..=self.below(3) {
            match self.below(8) {
                0 => {
                    let mut bytes = text.into_bytes();
                    self.spoil_bytes(&mut bytes);
                    text = String::from_utf8_lossy(&bytes).into_owned();
                }
                1..=3 => text = self.lines(&text),
                _ => text = self.words(&text),
            }
        }
        text
    }

    /// Doubles, drops or moves a line.
    fn lines(&mut self, text: &str) -> String {
        let mut lines: Vec<&str> = text.split('\n').collect();
        let (from, to) = (self.below(lines.len()), self.below(lines.len()));
        match self.below(3) {
            0 => lines.insert(to, lines[from]),
            1 => drop(lines.remove(from)),
            _ => lines.swap(from, to),
        }
        lines.join("\n")
    }

    /// Puts something else in the place of a word, or before it.
    fn words(&mut self, text: &str) -> String {
        let starts: Vec<usize> =
            text.char_indices().filter(|(_, c)| is_border(*c)).map(|(at, c)| at + c.len_utf8()).collect();
        let from = if starts.is_empty() { 0 } else { *self.pick(&starts) };
        let rest = &text[from..];
        let length = if self.one_in(3) { 0 } else { rest.find(is_border).unwrap_or(rest.len()) };
        let odd = odd_texts();
        let new = if self.one_in(4) && !starts.is_empty() {
            // Another word of the same text.
            let start = *self.pick(&starts);
            text[start..].split(is_border).next().unwrap_or_default().to_owned()
        } else {
            self.pick(&odd).clone()
        };
        [&text[..from], new.as_str(), &rest[length..]].concat()
    }

    /// Changes one place of a value.
    fn spoil(&mut self, value: &mut Value) {
        // Deeper more often than not.
        if !self.one_in(4) {
            match value {
                Value::Object(map) if !map.is_empty() => {
                    let keys: Vec<String> = map.keys().cloned().collect();
                    let key = self.pick(&keys).clone();
                    return self.spoil_field(map, &key);
                }
                Value::Array(list) if !list.is_empty() => {
                    let place = self.below(list.len());
                    return match self.below(4) {
                        0 => drop(list.remove(place)),
                        1 => list.push(list[place].clone()),
                        _ => self.spoil(&mut list[place]),
                    };
                }
                _ => {}
            }
        }
        *value = self.odd_value();
    }

    fn spoil_field(&mut self, map: &mut Map<String, Value>, key: &str) {
        match self.below(6) {
            0 => drop(map.remove(key)),
            1 => {
                let value = map.remove(key).unwrap_or_default();
                map.insert(format!("{key}\u{0}"), value);
            }
            2 => {
                let value = self.odd_value();
                map.insert("something_else".into(), value);
            }
            _ => {
                if let Some(inner) = map.get_mut(key) {
                    self.spoil(inner);
                }
            }
        }
    }

    /// Changes some bytes, adds some or cuts them off.
    pub fn spoil_bytes(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let place = self.below(bytes.len() + 1);
            match self.below(4) {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, self.chance.random()),
                2 => bytes.splice(place..place, *b"\"\\\xff{[").for_each(drop),
                _ => {
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 1 << self.chance.random_range(0..8);
                    }
                }
            }
        }
    }
}
