//! JUnit's XML, as Jenkins, GitLab and GitHub's actions read it: a suite a group, a case a check.

use std::fmt::Write;

use regatta_load::report::svg::escaped;

use super::judge::{CheckReport, Verdict};
use super::{Report, text};

/// A text that may stand in XML: escaped, and without the characters that XML cannot hold at all.
fn xml(text: &str) -> String {
    let fit: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    escaped(&fit)
}

/// The report.
pub fn report(report: &Report) -> String {
    let count = |verdict| report.count(verdict);
    let failures = count(Verdict::Failed) + count(Verdict::Invalid);
    let errors = count(Verdict::Error);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "<testsuites name=\"regatta perf\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{:.3}\" \
         timestamp=\"{}\">",
        report.checks.len(),
        report.took_s,
        xml(&report.started)
    );
    let mut rest = report.checks.as_slice();
    while let Some(first) = rest.first() {
        let group = group_of(&first.name);
        let end = rest.iter().position(|check| group_of(&check.name) != group).unwrap_or(rest.len());
        let (suite, after) = rest.split_at(end);
        rest = after;
        let of = |verdict| suite.iter().filter(|check| check.verdict == verdict).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" time=\"{:.3}\" \
             timestamp=\"{}\" hostname=\"{}\">",
            xml(group),
            suite.len(),
            of(Verdict::Failed) + of(Verdict::Invalid),
            of(Verdict::Error),
            suite.iter().map(|check| check.took_s).sum::<f64>(),
            xml(&report.started),
            xml(&report.environment.host),
        );
        suite.iter().for_each(|check| case(check, &mut out));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// All but the last segment of a name.
fn group_of(name: &str) -> &str {
    name.rsplit_once("::").map_or(name, |(group, _)| group)
}

fn case(check: &CheckReport, out: &mut String) {
    let group = group_of(&check.name);
    let name = check.name.rsplit("::").next().unwrap_or_default();
    let _ = writeln!(
        out,
        "    <testcase name=\"{}\" classname=\"perf.{}\" time=\"{:.3}\">",
        xml(name),
        xml(&group.replace("::", ".")),
        check.took_s
    );
    let told = |element: &str, kind: &str| {
        let message = check.reasons().join("; ");
        format!(
            "      <{element} message=\"{}\" type=\"{kind}\">{}</{element}>\n",
            xml(&message),
            xml(&text::complaint(check))
        )
    };
    match check.verdict {
        Verdict::Passed => {}
        Verdict::Failed => out.push_str(&told("failure", "requirement")),
        Verdict::Invalid => out.push_str(&told("failure", "invalid")),
        Verdict::Error => out.push_str(&told("error", "error")),
    }
    if !check.times.is_empty() {
        let _ = writeln!(out, "      <system-out>{}</system-out>", xml(&check.block().to_string()));
    }
    out.push_str("    </testcase>\n");
}
