//! `${name}` in the strings of a plan file.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::closest::did_you_mean;

/// What a place in the file has wrong.
type Wrong = (Range<usize>, String);

/// Texts by name.
#[derive(Debug, Default)]
pub struct Vars(BTreeMap<String, String>);

impl Vars {
    /// Gives a variable that is there unasked.
    pub fn built_in(&mut self, name: &str, text: &str) {
        self.0.insert(name.to_owned(), text.to_owned());
    }

    /// Takes the file's own `[vars]`.
    pub fn define(&mut self, table: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
        let DeValue::Table(table_of) = table.get_ref() else {
            return Err((table.span(), "`vars` must be a table: a line [vars], then name = \"text\"".to_owned()));
        };
        for (name, value) in table_of.iter() {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Boolean(truth) => truth.to_string(),
                _ => {
                    return Err((
                        value.span(),
                        format!("the variable `{}` must be a text or a number", name.get_ref()),
                    ));
                }
            };
            let name_of = name.get_ref().to_string();
            if name_len(&name_of) != name_of.len() {
                return Err((
                    name.span(),
                    format!("`{name_of}` is no name for a variable: use letters, digits and `_`, a letter first"),
                ));
            }
            if self.0.contains_key(&name_of) {
                return Err((name.span(), format!("the variable `{name_of}` is set by Regatta: take another name")));
            }
            self.0.insert(name_of, text);
        }
        Ok(())
    }

    /// Takes what the command line says; only what exists can be replaced.
    pub fn override_with(&mut self, overrides: &[(String, String)]) -> Result<(), String> {
        for (name, text) in overrides {
            let Some(value) = self.0.get_mut(name) else {
                return Err(format!("the plan has no variable `{name}`{}", self.hint(name)));
            };
            value.clone_from(text);
        }
        Ok(())
    }

    /// Puts texts for names in every string of `value`, where `source` is the file. Times become strings, since
    /// JSON has no others.
    pub fn expand(&self, value: &mut Spanned<DeValue<'_>>, source: &str) -> Result<(), Wrong> {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) => {
                if text.contains("${") {
                    *text = self.expanded(text, &span, source)?.into();
                }
            }
            DeValue::Array(items) => {
                for item in items.iter_mut() {
                    self.expand(item, source)?;
                }
            }
            DeValue::Table(table) => {
                for (_, item) in table.iter_mut() {
                    self.expand(item, source)?;
                }
            }
            DeValue::Datetime(time) => {
                let text = time.to_string();
                *value.get_mut() = DeValue::String(text.into());
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {}
        }
        Ok(())
    }

    fn expanded(&self, text: &str, span: &Range<usize>, source: &str) -> Result<String, Wrong> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(place) = rest.find("${") {
            let after = &rest[place + 2..];
            let length = name_len(after);
            let name = &after[..length];
            let (before, quoted) = match rest[..place].strip_suffix('$') {
                Some(before) => (before, true),
                None => (&rest[..place], false),
            };
            if length == 0 || !after[length..].starts_with('}') {
                out.push_str(&rest[..place + 2]); // something of the shell's
                rest = after;
                continue;
            }
            out.push_str(before);
            if quoted {
                out.push_str(&rest[place..place + 2 + length + 1]);
            } else if let Some(value) = self.0.get(name) {
                out.push_str(value);
            } else {
                let written = format!("${{{name}}}");
                let within = source.get(span.clone()).and_then(|whole| whole.find(&written));
                let exact =
                    within.map_or(span.clone(), |offset| span.start + offset..span.start + offset + written.len());
                let hint = self.hint(name);
                return Err((
                    exact,
                    format!("there is no variable `{name}`{hint} (to pass on {written} itself write ${written})"),
                ));
            }
            rest = &after[length + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn hint(&self, name: &str) -> String {
        did_you_mean(name, self.0.keys().map(String::as_str))
    }
}

/// How many bytes of `text` are a name, from its start.
fn name_len(text: &str) -> usize {
    match text.bytes().next() {
        Some(first) if first.is_ascii_alphabetic() || first == b'_' => {
            text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
        }
        _ => 0,
    }
}
