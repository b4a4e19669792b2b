//! For people: the scorecard, a line a check, and what is to be said of those that did not pass.

use std::fmt::Write;

use super::Report;
use super::judge::{CheckReport, Slow, Verdict};
use crate::blame::Place;

/// The marks of the verdicts.
pub const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✓",
        Verdict::Failed => "✗",
        Verdict::Invalid => "?",
        Verdict::Error => "!",
    }
}

/// The head of the scorecard, in columns.
pub const HEAD: [&str; 7] = ["CHECK", "N", "MEDIAN", "P95", "MAX", "LIMIT", "WHAT"];

/// A check as a row of it, without its mark.
pub fn row(check: &CheckReport) -> [String; 7] {
    let ms = |value: Option<f64>| value.map(milliseconds).unwrap_or_default();
    let figures = check.figures;
    let p95 = figures.map(|figures| {
        let known = if figures.p95_known { String::new() } else { format!(" (max of {})", check.times.count()) };
        milliseconds(figures.p95) + &known
    });
    let facts = check.facts.iter().map(|fact| format!("{}/{} {}", fact.found, fact.wanted, fact.what));
    [
        check.name.clone(),
        check.number.to_string(),
        ms(figures.map(|figures| figures.median)),
        p95.unwrap_or_default(),
        ms(figures.map(|figures| figures.max)),
        check.limits.in_words(),
        facts.collect::<Vec<_>>().join(", "),
    ]
}

/// `12.3 ms`, with as many digits as say something.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

/// The scorecard.
pub fn scorecard(report: &Report) -> String {
    let rows: Vec<(Verdict, [String; 7])> = report.checks.iter().map(|check| (check.verdict, row(check))).collect();
    let mut widths = HEAD.map(str::len);
    for (_, row) in &rows {
        row.iter().zip(&mut widths).for_each(|(cell, width)| *width = (*width).max(cell.chars().count()));
    }
    let line = |mark: &str, cells: &[String]| {
        let mut text = format!("{mark} ");
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let fill = " ".repeat(width - cell.chars().count());
            // Names and words from the left, figures from the right.
            let _ = match at {
                0 | 5 | 6 => write!(text, "{cell}{fill}  "),
                _ => write!(text, "{fill}{cell}  "),
            };
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    };
    let mut text = line(" ", &HEAD.map(str::to_owned));
    rows.iter().for_each(|(verdict, row)| text.push_str(&line(mark(*verdict), row)));
    text
}

/// In a line what a run came to.
pub fn summary(report: &Report) -> String {
    let count = |verdict| report.count(verdict);
    let mut parts = vec![format!("{} passed", count(Verdict::Passed))];
    for (verdict, word) in [(Verdict::Failed, "failed"), (Verdict::Invalid, "invalid"), (Verdict::Error, "errors")] {
        if count(verdict) > 0 {
            parts.push(format!("{} {word}", count(verdict)));
        }
    }
    let cut = if report.interrupted { ", interrupted" } else { "" };
    format!("{}{cut} in {:.1} s, against {}", parts.join(", "), report.took_s, report.target)
}

/// Where time went, in a line.
pub fn went(places: &[(Place, f64)]) -> String {
    // What is not even a hundredth says nothing.
    let all: f64 = places.iter().map(|(_, ms)| ms).sum();
    let said = places.iter().enumerate().filter(|(at, (_, ms))| *at == 0 || *ms >= all * 0.01);
    said.map(|(_, (place, ms))| format!("{} {}", place.name(), milliseconds(*ms))).collect::<Vec<_>>().join(", ")
}

/// What is to be said of a check that did not pass.
pub fn complaint(check: &CheckReport) -> String {
    let mut text = format!("{} {}\n", mark(check.verdict), check.name);
    for reason in check.reasons() {
        let _ = writeln!(text, "    {reason}");
    }
    for why in &check.generator {
        let _ = writeln!(text, "    invalid, our own generator was the bottleneck: {why}");
    }
    if !check.time_went.is_empty() {
        let _ = writeln!(text, "    the time of the slow calls went to: {}", went(&check.time_went));
    }
    for slow in &check.slowest {
        text.push_str(&slow_call(slow));
    }
    text
}

fn slow_call(slow: &Slow) -> String {
    let id = slow.request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default();
    let mut text = format!("    {} {}{id}: {}\n", milliseconds(slow.ms), slow.what, went(&slow.time_went));
    for line in &slow.log {
        let _ = writeln!(text, "        {line}");
    }
    text
}

/// The whole report.
pub fn report(report: &Report) -> String {
    let mut text = format!("Regatta performance report\n\n{}\n\n", summary(report));
    let environment = &report.environment;
    let commit = environment.commit.as_deref().unwrap_or("unknown");
    let dirty = if environment.dirty == Some(true) { ", with changes" } else { "" };
    let _ = writeln!(
        text,
        "run {}, {}, scale {}, regatta {} ({}), commit {commit}{dirty}\n{}, {} cores, {}\n",
        report.run,
        report.started,
        report.scale,
        environment.regatta,
        environment.build,
        environment.cpu.as_deref().unwrap_or(&environment.architecture),
        environment.cores,
        environment.system,
    );
    text.push_str(&scorecard(report));
    for check in report.checks.iter().filter(|check| !check.passed()) {
        let _ = write!(text, "\n{}", complaint(check));
    }
    for check in report.checks.iter().filter(|check| !check.times.is_empty()) {
        let _ = writeln!(text, "\n{}", check.block());
    }
    if let Some(folder) = &report.folder {
        let _ = writeln!(text, "\nlogs and data of the platform: {}", folder.display());
    }
    if let Some(left) = &report.left_behind {
        let _ = writeln!(text, "\n{left}");
    }
    text
}
