//! Bad input from good input: a seeded generator that spoils JSON, bytes and words.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

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
