//! The report as one HTML file: no scripts, nothing loaded from elsewhere. Each check with its times as a strip of points, its
//! limit drawn in, and where its time went.

use std::fmt::Write;

use regatta_load::report::svg::escaped;

use super::judge::{CheckReport, Verdict};
use super::{Report, text};
use crate::blame::Place;

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c2330;--bg:#fff;--dim:#68707f;--line:#d8dce4;--bad:#c62f3c;--good:#1a7f4b;--warn:#9a6700;--dot:#2563eb}\
@media(prefers-color-scheme:dark){:root{--fg:#e4e8ef;--bg:#14181f;--dim:#98a1b0;--line:#323a47;--bad:#ff6d6d;--good:#3ddc84;--warn:#e0a52f;--dot:#6ea8ff}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1240px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}.dim{color:var(--dim)}\
.failed,.error{color:var(--bad)}.passed{color:var(--good)}.invalid{color:var(--warn)}.wide{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%;font-size:.9rem}\
th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}\
th:first-child,td:first-child,td.w,th.w{text-align:left}\
details{border-top:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer}pre{overflow-x:auto;font-size:.85rem}\
svg{display:block;width:100%;max-width:760px;font:11px system-ui,sans-serif}svg text{fill:var(--dim)}\
svg .d{fill:var(--dot);fill-opacity:.45}svg .a{stroke:var(--line)}svg .x{stroke:var(--bad);stroke-dasharray:5 4}svg .xt{fill:var(--bad)}";

/// Points of a strip.
const POINTS: usize = 400;

/// The report.
pub fn report(report: &Report) -> String {
    let mut out = String::new();
    let class = if report.passed() { "passed" } else { "failed" };
    let environment = &report.environment;
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Performance of {target}</title><style>{STYLE}</style><h1>Performance of {target}</h1>\
         <p class=\"{class}\">{}</p><p class=\"dim\">run {}, {}, scale {}, regatta {} ({}), commit {}, {}, {} cores, {}</p>",
        escaped(&text::summary(report)),
        escaped(&report.run),
        escaped(&report.started),
        report.scale,
        escaped(&environment.regatta),
        escaped(&environment.build),
        escaped(environment.commit.as_deref().unwrap_or("unknown")),
        escaped(environment.cpu.as_deref().unwrap_or(&environment.architecture)),
        environment.cores,
        escaped(&environment.system),
        target = escaped(&report.target),
    );
    out.push_str(
        "<h2>Scorecard</h2><div class=\"wide\"><table><tr><th>Check<th>N<th>Median<th>p95<th>Max<th class=\"w\">Limit<th class=\"w\">",
    );
    for check in &report.checks {
        let [name, number, median, p95, max, limit, what] = text::row(check).map(|text| escaped(&text));
        let _ = write!(
            out,
            "<tr><td><span class=\"{}\">{}</span> <a href=\"#{name}\">{name}</a><td>{number}<td>{median}<td>{p95}<td>{max}\
             <td class=\"w\">{limit}<td class=\"w\">{what}",
            class_of(check.verdict),
            text::mark(check.verdict),
        );
    }
    out.push_str("</table></div><h2>Checks</h2>");
    report.checks.iter().for_each(|check| details(check, &mut out));
    out.push_str("</html>\n");
    out
}

const fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Invalid => "invalid",
        Verdict::Error => "error",
    }
}

fn details(check: &CheckReport, out: &mut String) {
    let open = if check.passed() { "" } else { " open" };
    let _ = write!(
        out,
        "<details id=\"{name}\"{open}><summary><span class=\"{}\">{}</span> {name} <span class=\"dim\">{}</span></summary>",
        class_of(check.verdict),
        text::mark(check.verdict),
        escaped(&check.about),
        name = escaped(&check.name),
    );
    if !check.times.is_empty() {
        strip(check, out);
    }
    if !check.passed() {
        let _ = write!(out, "<pre>{}</pre>", escaped(&text::complaint(check)));
    } else if !check.time_went.is_empty() {
        let _ =
            write!(out, "<p class=\"dim\">the slowest calls' time went to {}</p>", escaped(&went(&check.time_went)));
    }
    if !check.times.is_empty() {
        let _ = write!(out, "<pre>{}</pre>", escaped(&check.block().to_string()));
    }
    out.push_str("</details>");
}

fn went(places: &[(Place, f64)]) -> String {
    text::went(places)
}

/// Every time as a point on a line, from 0 to the slowest, or to the limit when that is near.
fn strip(check: &CheckReport, out: &mut String) {
    const WIDTH: f64 = 760.0;
    let most = check.times.max() as f64 / 1e3;
    let limit = [check.limits.max_ms, check.limits.p95_ms, check.limits.p99_ms].into_iter().flatten().reduce(f64::min);
    // A limit far beyond would press the points together; it is in the table.
    let near = limit.filter(|limit| *limit < most * 4.0);
    let end = near.map_or(most, |limit| limit.max(most)).max(1e-3) * 1.04;
    let x = |ms: f64| ms / end * (WIDTH - 20.0) + 10.0;
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} 54\" role=\"img\" aria-label=\"times of {}\"><path class=\"a\" d=\"M10 26H{}\"/>",
        escaped(&check.name),
        WIDTH - 10.0
    );
    let step = check.histogram.len().div_ceil(POINTS).max(1);
    for (micros, count) in check.histogram.iter().step_by(step) {
        let radius = (3.0 + (*count as f64).ln()).min(9.0);
        let _ = write!(out, "<circle class=\"d\" cx=\"{:.1}\" cy=\"26\" r=\"{radius:.1}\"/>", x(*micros as f64 / 1e3));
    }
    let _ = write!(
        out,
        "<text x=\"10\" y=\"48\">0</text><text x=\"{:.1}\" y=\"48\" text-anchor=\"end\">{}</text>",
        x(most),
        text::milliseconds(most)
    );
    if let Some(limit) = near {
        let _ = write!(
            out,
            "<path class=\"x\" d=\"M{at:.1} 4V40\"/><text class=\"xt\" x=\"{at:.1}\" y=\"52\" text-anchor=\"{anchor}\">{limit} ms</text>",
            at = x(limit),
            // At the edge its middle would be cut off.
            anchor = if x(limit) < 40.0 { "start" } else { "middle" },
        );
    }
    out.push_str("</svg>");
}
