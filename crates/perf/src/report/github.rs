//! What GitHub's actions read: annotations on standard output, and the summary of a step.
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>)

use std::fmt::Write;

use super::Report;
use super::judge::Verdict;

/// A step's summary may have a mebibyte; what is longer is refused as a whole.
pub const SUMMARY: usize = 1 << 20;

/// A line for each check that did not pass.
pub fn annotations(report: &Report) -> String {
    let mut out = String::new();
    for check in report.checks.iter().filter(|check| !check.passed()) {
        let level = if check.verdict == Verdict::Invalid { "warning" } else { "error" };
        let went = if check.time_went.is_empty() {
            String::new()
        } else {
            format!("; the time went to {}", super::text::went(&check.time_went))
        };
        let title = property(&format!("regatta perf: {}", check.name));
        let message = data(&format!("{}{went}", check.reasons().join("; ")));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "::{level} title={title}::{message}");
    }
    out
}

/// What may stand after the colons.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What may stand in a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_end_the_command() {
        assert_eq!(data("100 %\nmore"), "100 %25%0Amore");
        assert_eq!(property("a::b, c"), "a%3A%3Ab%2C c");
    }
}
