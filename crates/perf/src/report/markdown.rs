//! Markdown: the report for a pull request, and the summary of a step of GitHub's actions.

use std::fmt::Write;

use super::judge::Verdict;
use super::{Report, text};

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// The report.
pub fn report(report: &Report) -> String {
    let headline = if report.passed() { "✅ Every requirement is kept" } else { "❌ Not every requirement is kept" };
    let environment = &report.environment;
    let mut out = format!("## {headline}\n\n{}\n\n", text::summary(report));
    out.push_str("| | Check | N | Median | p95 | Max | Limit | |\n|---|---|--:|--:|--:|--:|---|---|\n");
    for check in &report.checks {
        let [name, number, median, p95, max, limit, what] = text::row(check).map(|text| cell(&text));
        let mark = match check.verdict {
            Verdict::Passed => "✅",
            Verdict::Failed => "❌",
            Verdict::Invalid => "❔",
            Verdict::Error => "⚠️",
        };
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "| {mark} | `{name}` | {number} | {median} | {p95} | {max} | {limit} | {what} |");
    }
    for check in report.checks.iter().filter(|check| !check.passed()) {
        let _ = write!(out, "\n### `{}`\n\n", check.name);
        for reason in check.reasons() {
            let _ = writeln!(out, "- {}", cell(&reason));
        }
        let _ = write!(out, "\n<details><summary>Where the time went</summary>\n\n```text\n");
        // A fence within would end this one.
        let _ = write!(out, "{}```\n\n</details>\n", text::complaint(check).replace("```", "'''"));
    }
    let _ = write!(
        out,
        "\n<sub>run {}, scale {}, regatta {} ({}), commit {}, {}, {} cores</sub>\n",
        report.run,
        report.scale,
        environment.regatta,
        environment.build,
        environment.commit.as_deref().unwrap_or("unknown"),
        cell(environment.cpu.as_deref().unwrap_or(&environment.architecture)),
        environment.cores,
    );
    out
}
