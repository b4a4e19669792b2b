//! Query parameters: read one by one, so that all that do not fit are named together. Unknown ones are ignored.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::extract::Query;
use http::Uri;
use http::request::Parts;

use crate::fields::Errors;
use crate::problem::Failure;

/// The query of a request.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    errors: Errors,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Self::parse(&parts.uri)
    }
}

impl Params {
    /// The query of a URI.
    ///
    /// # Errors
    /// A 422 for what is no query.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, Failure> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Self::default());
        }
        let Query(pairs) = Query::try_from_uri(uri)
            .map_err(|error| Failure::field("query", format!("must be name=value pairs: {error}")))?;
        Ok(Self { pairs, errors: Errors::default() })
    }

    /// A text; `None` when it was not given.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut found = self.pairs.iter_mut().filter(|(key, _)| key == name);
        let text = std::mem::take(&mut found.next()?.1);
        if found.next().is_some() {
            self.errors.add(name, "was given more than once; give it once");
        }
        if text.contains('\0') {
            self.errors.add(name, "holds the character U+0000, which is not allowed");
        }
        Some(text)
    }

    /// One of the fixed words, or another thing that is read from text.
    pub(crate) fn word<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(word) => Some(word),
            Err(error) => {
                self.errors.add(name, error.to_string());
                None
            }
        }
    }

    /// A whole number in a range.
    pub(crate) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        range: &RangeInclusive<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match text.parse::<T>() {
            Ok(number) if range.contains(&number) && !text.starts_with('+') => Some(number),
            _ => {
                self.errors
                    .add(name, format!("must be a whole number, {} to {}, is {text:?}", range.start(), range.end()));
                None
            }
        }
    }

    /// Whether a parameter is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    pub(crate) fn error(&mut self, name: &str, message: impl Into<String>) {
        self.errors.add(name, message);
    }

    /// All is well, or a 422.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.errors.finish()
    }
}
