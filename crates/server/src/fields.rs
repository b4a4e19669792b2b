//! Collecting what does not fit in a request, so that its caller is told all of it at once.

use std::fmt::Display;
use std::ops::RangeInclusive;

use regatta_api::FieldError;

use crate::problem::Failure;

/// At most so many are named: a plan of 10,000 wrong steps is answered with a page, not a book.
const MOST: usize = 20;

/// The fields that do not fit.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<FieldError>);

impl Errors {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let field = field.into();
        if self.0.len() < MOST && !self.0.iter().any(|known| known.field == field) {
            self.0.push(FieldError { field, message: message.into() });
        }
    }

    /// A text whose length in code points must lie in a range.
    pub(crate) fn length(&mut self, field: impl Into<String>, text: &str, range: &RangeInclusive<usize>) {
        // No text has more characters than bytes, and none less than a quarter of them.
        if text.len() <= *range.end() && text.len() / 4 >= *range.start() {
            return;
        }
        let length = text.chars().count();
        if !range.contains(&length) {
            self.add(field, format!("must have {} to {} characters, has {length}", range.start(), range.end()));
        }
    }

    /// A count of things that must lie in a range.
    pub(crate) fn count(&mut self, field: impl Into<String>, count: usize, range: &RangeInclusive<usize>) {
        if !range.contains(&count) {
            self.add(field, format!("must have {} to {} elements, has {count}", range.start(), range.end()));
        }
    }

    /// A number that must lie in a range.
    pub(crate) fn range<T: PartialOrd + Display>(
        &mut self,
        field: impl Into<String>,
        number: T,
        range: &RangeInclusive<T>,
    ) {
        if !range.contains(&number) {
            self.add(field, format!("must be {} to {}, is {number}", range.start(), range.end()));
        }
    }

    /// The fields named so far.
    #[cfg(test)]
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|error| error.field.as_str())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All is well, or a 422.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::invalid(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_code_points() {
        let check = |text: &str| {
            let mut errors = Errors::default();
            errors.length("name", text, &(2..=4));
            errors.is_empty()
        };
        for text in ["ab", "ééé", "🚣🚣🚣🚣"] {
            assert!(check(text), "{text}");
        }
        for text in ["", "é", "abcde", "🚣🚣🚣🚣🚣"] {
            assert!(!check(text), "{text}");
        }
    }
}
