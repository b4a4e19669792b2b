//! What is wrong with a scenario: the sentence, and the place in the file.

use std::fmt;
use std::ops::Range;

/// A file that cannot be used as a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file's name, as it was given.
    pub file: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// Line and column, both from 1, and the line itself.
    pub place: Option<(usize, usize, String)>,
}

impl ScenarioError {
    /// Of the whole file.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), message: message.into(), place: None }
    }

    /// At these bytes of its text.
    pub fn at(file: &str, text: &str, span: &Range<usize>, message: impl Into<String>) -> Self {
        let start = (0..=span.start.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default().to_owned();
        let place = (text[..start].matches('\n').count() + 1, text[line_start..start].chars().count() + 1, line);
        Self { file: file.to_owned(), message: message.into(), place: Some(place) }
    }

    /// What the TOML reader found, with a hint where a word is not known.
    pub(super) fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = with_hint(error.message());
        match error.span() {
            Some(span) => Self::at(file, text, &span, message),
            None => Self::of_file(file, message),
        }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((line, column, source)) = &self.place else {
            return write!(f, "{}: {}", self.file, self.message);
        };
        writeln!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        let number = line.to_string();
        let gap = " ".repeat(number.len());
        let indent: String = source.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, " {gap} |\n {number} | {source}\n {gap} | {indent}^")
    }
}

impl std::error::Error for ScenarioError {}

/// serde names the word and the ones it knows, between backticks; people want the one they meant.
fn with_hint(message: &str) -> String {
    let Some((what, known)) = message.split_once(", expected ") else { return message.to_owned() };
    let (kind, what) = match (what.strip_prefix("unknown field "), what.strip_prefix("unknown variant ")) {
        (Some(word), _) => ("key", word),
        (_, Some(word)) => ("word", word),
        _ => return message.to_owned(),
    };
    let word = what.trim_matches('`');
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    format!("there is no {kind} `{word}` here{}", did_you_mean(word, &known))
}

/// "; did you mean `x`?" when one of the known words is close, else "; known are ...".
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    let closest = known.iter().map(|candidate| (strsim::osa_distance(word, candidate), candidate)).min();
    match closest {
        Some((distance, candidate)) if distance <= word.chars().count().max(3) / 3 => {
            format!("; did you mean `{candidate}`?")
        }
        Some(_) => format!("; known are {}", known.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_place() {
        let error = ScenarioError::at("s.toml", "a = 1\n\tb = ü\n", &(11..12), "no");
        assert_eq!(error.to_string(), "s.toml:2:6: no\n   |\n 2 | \tb = ü\n   | \t    ^");
    }

    #[test]
    fn words_that_nobody_knows_get_a_hint() {
        assert_eq!(
            with_hint("unknown field `wieght`, expected one of `name`, `weight`"),
            "there is no key `wieght` here; did you mean `weight`?"
        );
        assert_eq!(
            with_hint("unknown variant `x`, expected `none` or `constant`"),
            "there is no word `x` here; known are none, constant"
        );
    }
}
