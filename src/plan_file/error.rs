//! What is wrong with a plan file, and where: told with the line itself, as compilers do.

use std::fmt;
use std::ops::Range;

/// Why a plan file could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFileError {
    file: String,
    message: String,
    place: Option<Place>,
}

/// Where in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line.
    source: String,
    /// How many characters of it are meant, at least one.
    width: usize,
}

impl PlanFileError {
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.into(), message: message.into(), place: None }
    }

    /// An error at these bytes of `text`.
    pub(super) fn at(file: &str, text: &str, span: Range<usize>, message: String) -> Self {
        let boundary =
            |index: usize| (0..=index.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let start = boundary(span.start);
        let end = boundary(span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let place = Place {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source: text[line_start..line_end].trim_end().to_owned(),
            width: text[start..end.min(line_end).max(start)].trim_end().chars().count().max(1),
        };
        Self { file: file.into(), message, place: Some(place) }
    }

    /// Line and column, both from 1, where there is a place.
    #[cfg(test)]
    pub(super) fn place(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|place| (place.line, place.column))
    }
}

impl fmt::Display for PlanFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Place { line, column, source, width }) = &self.place else {
            return write!(f, "{}: {}", self.file, self.message);
        };
        writeln!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        let number = line.to_string();
        let gap = " ".repeat(number.len());
        // Tabs stay tabs, so that the mark stands under what it marks.
        let indent: String = source.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, " {gap} |")?;
        writeln!(f, " {number} | {source}")?;
        write!(f, " {gap} | {indent}{}", "^".repeat(*width))
    }
}

impl std::error::Error for PlanFileError {}
