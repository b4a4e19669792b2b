//! What a step says about its program.

use std::collections::BTreeMap;

use regatta_api::{JsonObject, JsonText};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A program to run; every text may hold templates (see [`super::template`]). In a step's `input`, other keys are for templates.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Step {
    /// The program and its arguments.
    pub argv: Vec<Argument>,
    /// Instead of `argv`, and only with `shell: true`: a line for `/bin/sh -c`. Use `{{input.x|quote}}` for values in it.
    pub command: Option<String>,
    /// Whether `command` goes through a shell.
    pub shell: bool,
    /// The working directory, relative to the worker's.
    pub cwd: Option<String>,
    /// Variables to set.
    pub env: BTreeMap<String, Argument>,
    /// What the program reads; without it, `description`, `input` and `context` as one JSON object.
    pub stdin: Option<String>,
    /// A file that the program writes its result to, instead of `$REGATTA_OUTPUT` being a temporary one.
    pub output_file: Option<String>,
}

/// A text, or a number or truth value that stands for its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Argument(pub String);

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(truth) => Ok(Self(truth.to_string())),
            other => Err(serde::de::Error::custom(format_args!(
                "{other} is no text; each argument and each variable's value is a text, a number or true or false"
            ))),
        }
    }
}

impl Step {
    /// Reads a step's input.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(input: &JsonText) -> Result<Self, String> {
        let step: Self = match input.as_str() {
            "null" => Self::default(),
            text => serde_json::from_str(text).map_err(|error| match serde_json::from_str(text) {
                Ok(object) => match Self::from_object(&object) {
                    Err((field, message)) => format!("{field}: {message}"),
                    Ok(_) => error.to_string(),
                },
                Err(error) => format!("the input is no JSON object: {error}"),
            })?,
        };
        step.check()?;
        Ok(step)
    }

    /// Reads a step's input that is an object.
    ///
    /// # Errors
    /// The field that does not fit, and a sentence about it.
    pub fn from_object(input: &JsonObject) -> Result<Self, (String, String)> {
        // A value knows no lines and columns, of which the writer of a plan never saw any.
        let value = Value::Object(input.clone());
        serde_path_to_error::deserialize(value).map_err(|error| {
            let message = error.inner().to_string().replace("a sequence", "a list").replace("a map", "an object");
            (error.path().to_string(), message)
        })
    }

    /// All its texts that may be templates, each with its place.
    pub fn templates(&self) -> impl Iterator<Item = (String, &str)> {
        let argv = self.argv.iter().enumerate().map(|(at, argument)| (format!("argv[{at}]"), argument.0.as_str()));
        let env = self.env.iter().map(|(name, value)| (format!("env.{name}"), value.0.as_str()));
        let others = [
            ("command", &self.command),
            ("cwd", &self.cwd),
            ("stdin", &self.stdin),
            ("output_file", &self.output_file),
        ];
        argv.chain(env).chain(others.into_iter().filter_map(|(place, text)| Some((place.to_owned(), text.as_deref()?))))
    }

    /// Whether it names one program in one way.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn check(&self) -> Result<(), String> {
        match (&self.command, self.shell, self.argv.is_empty()) {
            (None, false, false) | (Some(_), true, true) => Ok(()),
            (None, false, true) => Err(
                "the input names no program; give argv, such as {\"argv\": [\"wc\", \"-w\", \"{{input.file}}\"]}"
                    .into(),
            ),
            (Some(_), false, true) => Err(
                "`command` is a line for a shell; say so with \"shell\": true, or give the program and its arguments as argv"
                    .into(),
            ),
            (None, true, _) => {
                Err("`shell` goes with `command`, a line for the shell, not with argv".into())
            }
            (Some(_), _, false) => Err("give either argv or `command`, not both".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(input: Value) -> Result<Step, String> {
        Step::parse(&input.into())
    }

    #[test]
    fn numbers_and_truths_are_their_text_and_other_keys_are_free() {
        let step = parse(json!({"argv": ["x", 7, 2.5, true], "env": {"N": 3}, "file": {"any": []}})).unwrap();
        let texts: Vec<&str> = step.argv.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(texts, ["x", "7", "2.5", "true"]);
        assert_eq!(step.env["N"].0, "3");
    }

    #[test]
    fn what_does_not_fit_says_what_to_write() {
        for (input, word) in [
            (json!({}), "names no program"),
            (json!(null), "names no program"),
            (json!({"argv": []}), "names no program"),
            (json!({"argv": "wc"}), "argv: invalid type: string \"wc\", expected a list"),
            (json!([1]), "is no JSON object"),
            (json!({"argv": [["wc"]]}), "is no text"),
            (json!({"command": "ls"}), "\"shell\": true"),
            (json!({"argv": ["ls"], "shell": true}), "not with argv"),
            (json!({"argv": ["ls"], "command": "ls", "shell": true}), "not both"),
        ] {
            let error = parse(input).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert!(parse(json!({"command": "ls | wc", "shell": true})).is_ok());
    }
}
