//! The report as one HTML file: no scripts, nothing loaded from elsewhere, below 500 KB however long the run.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::svg::{Chart, Line, escaped};
use super::{PERCENTILE_NAMES, PERCENTILES};
use crate::engine::Outcome;
use crate::scenario::Plan;
use crate::series::{Point, Series};
use crate::threshold::Threshold;
use crate::totals::{Entry, Totals};

/// Requests with charts of their own; the others are in the tables.
const CHARTED: usize = 20;
/// Points of a line.
const POINTS: usize = 120;
/// Rows of the tables.
const ROWS: usize = 300;

/// What the report is about, beside the figures.
#[derive(Debug, Clone)]
pub struct About {
    /// What was run: a file, or the built-in classes.
    pub scenario: String,
    /// The server.
    pub host: String,
    /// What the command line was.
    pub command: String,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c2330;--bg:#fff;--dim:#68707f;--line:#d8dce4;--bad:#c62f3c;--good:#1a7f4b}\
@media(prefers-color-scheme:dark){:root{--fg:#e4e8ef;--bg:#14181f;--dim:#98a1b0;--line:#323a47;--bad:#ff6d6d;--good:#3ddc84}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1360px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.dim{color:var(--dim)}\
.bad{color:var(--bad)}.good{color:var(--good)}.wide{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%;font-size:.9rem}\
th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}\
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}td.w{white-space:normal;text-align:left}\
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,560px),1fr));gap:1rem}\
svg{width:100%;font:11px system-ui,sans-serif}svg text{fill:var(--dim)}svg .t{fill:var(--fg);font-weight:600;font-size:13px}\
svg .n{text-anchor:end}svg .m{text-anchor:middle}svg .y{text-anchor:end;fill:var(--bad)}svg .k{font-weight:600}\
svg .g{stroke:var(--line)}svg .l{fill:none;stroke-width:1.6}svg .x{stroke:var(--bad);stroke-dasharray:5 4}\
details{border-top:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer}";

/// The report.
pub fn page(plan: &Plan, thresholds: &[Threshold], ran: &Outcome, about: &About) -> String {
    let totals = &ran.totals;
    let all: Vec<&Threshold> = plan.thresholds.iter().chain(thresholds).collect();
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Load test of {host}</title><style>{STYLE}</style><h1>Load test of {host}</h1>\
         <p class=\"dim\">{began} to {ended} ({seconds:.0} s) · {scenario} · <code>{command}</code></p>",
        host = escaped(&about.host),
        began = super::csv::when(totals.started.as_second()),
        ended = super::csv::when(totals.unix(totals.now())),
        seconds = totals.seconds(),
        scenario = escaped(&about.scenario),
        command = escaped(&about.command),
    );
    for why in &ran.invalid {
        let _ = write!(out, "<p class=\"bad\"><b>Invalid:</b> the generator was the bottleneck. {}</p>", escaped(why));
    }
    if ran.interrupted || ran.aborted {
        let why = if ran.aborted { "a threshold ended it" } else { "it was interrupted" };
        let _ = write!(out, "<p class=\"bad\">This run is shorter than planned: {why}.</p>");
    }
    if !ran.verdicts.is_empty() {
        out.push_str("<h2>Thresholds</h2>");
        for verdict in &ran.verdicts {
            let class = if verdict.holds { "good" } else { "bad" };
            let _ = write!(out, "<p class=\"{class}\">{}</p>", escaped(&verdict.to_string()));
        }
    }
    requests(&mut out, totals);
    times(&mut out, totals);
    out.push_str("<h2>Charts</h2>");
    charts(&mut out, totals, &totals.all, &all, true);
    let mut busiest = totals.sorted();
    busiest.sort_by_key(|entry| std::cmp::Reverse(entry.requests));
    for entry in busiest.into_iter().take(CHARTED) {
        let _ = write!(out, "<details><summary>{} {}</summary>", entry.id.method, escaped(&entry.id.name));
        charts(&mut out, totals, entry, &all, false);
        out.push_str("</details>");
    }
    stages(&mut out, totals);
    failures(&mut out, totals);
    out.push_str("<h2>Final ratio</h2><pre>");
    out.push_str(&escaped(&super::tables::task_ratio(plan)));
    out.push_str("</pre></html>\n");
    out
}

fn requests(out: &mut String, totals: &Totals) {
    out.push_str(
        "<h2>Request statistics</h2><div class=\"wide\"><table><tr><th>Method<th>Name<th># Requests<th># Fails<th>Average \
         (ms)<th>Min (ms)<th>Max (ms)<th>Average size (bytes)<th>RPS<th>Failures/s",
    );
    let seconds = totals.seconds().max(1e-3);
    for entry in totals.sorted().into_iter().take(ROWS).chain([&totals.all]) {
        let times = &entry.response;
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.0}<td>{:.2}<td>{:.2}",
            entry.id.method,
            escaped(&entry.id.name),
            entry.requests,
            entry.failures,
            times.mean() / 1e3,
            times.min() as f64 / 1e3,
            times.max() as f64 / 1e3,
            entry.average_bytes(),
            entry.requests as f64 / seconds,
            entry.failures as f64 / seconds,
        );
    }
    out.push_str("</table></div>");
}

fn times(out: &mut String, totals: &Totals) {
    let open = totals.all.service.is_some();
    let title =
        if open { "Response time statistics (from the intended start, ms)" } else { "Response time statistics (ms)" };
    let _ = write!(out, "<h2>{title}</h2><div class=\"wide\"><table><tr><th>Method<th>Name");
    for name in PERCENTILE_NAMES {
        let _ = write!(out, "<th>{name}");
    }
    if open {
        out.push_str("<th>service 50%<th>service 99%");
    }
    for entry in totals.sorted().into_iter().take(ROWS).chain([&totals.all]) {
        let _ = write!(out, "<tr><td>{}<td>{}", entry.id.method, escaped(&entry.id.name));
        for micros in entry.response.quantiles(PERCENTILES) {
            let _ = write!(out, "<td>{:.2}", micros as f64 / 1e3);
        }
        if open {
            let [median, p99] = entry.service().quantiles([0.5, 0.99]).map(|micros| micros as f64 / 1e3);
            let _ = write!(out, "<td>{median:.2}<td>{p99:.2}");
        }
    }
    out.push_str("</table></div>");
}

fn charts(out: &mut String, totals: &Totals, entry: &Entry, thresholds: &[&Threshold], users: bool) {
    let points = thinned(&entry.series);
    let line = |name, color, value: fn(&Thin) -> f64| Line {
        name,
        color,
        points: points.iter().map(|point| (point.second, value(point))).collect(),
    };
    let limits = thresholds
        .iter()
        .filter(|threshold| threshold.is_about(entry) || entry.id.method.is_empty())
        .filter_map(|threshold| Some((threshold.milliseconds()?, threshold.source.clone())))
        .collect();
    let rates = Chart {
        title: "Requests per second",
        x: "seconds",
        lines: vec![line("RPS", "#00a34a", |p| p.rate), line("Failures/s", "#e5484d", |p| p.failures)],
        limits: Vec::new(),
        ticks: Vec::new(),
    };
    let times = Chart {
        title: "Response times (ms)",
        x: "seconds",
        lines: vec![
            line("50th", "#3b82f6", |p| p.micros[0]),
            line("95th", "#f59e0b", |p| p.micros[1]),
            line("99th", "#a855f7", |p| p.micros[2]),
        ],
        limits,
        ticks: Vec::new(),
    };
    let _ = write!(out, "<div class=\"charts\">{}{}{}", rates.svg(), times.svg(), curve(entry).svg());
    if users {
        let points = totals.user_series.points().iter().map(|level| (level.second as f64, level.users as f64));
        let lines = vec![Line { name: "users", color: "#0ea5b7", points: points.collect() }];
        let chart = Chart { title: "Number of users", x: "seconds", lines, limits: Vec::new(), ticks: Vec::new() };
        out.push_str(&chart.svg());
    }
    out.push_str("</div>");
}

/// How slow the slowest are: the time over the share of requests that took at most so long, each nine as wide as the one
/// before it.
fn curve(entry: &Entry) -> Chart<'static> {
    // A share of 0.5 lies at 0.3, 0.9 at 1, 0.99 at 2: the number of nines. No further than there are samples for.
    let most = (entry.requests.max(2) as f64).log10().min(5.0);
    let at = |nines: f64| 1.0 - 10_f64.powf(-nines);
    let points = |times: &regatta_stats::Distribution| {
        let quantiles: [f64; 41] = std::array::from_fn(|step| at(most * step as f64 / 40.0));
        let micros = times.quantiles(quantiles);
        (0..41).map(|step| (most * step as f64 / 40.0, micros[step] as f64 / 1e3)).collect()
    };
    let mut lines = vec![Line { name: "response", color: "#f59e0b", points: points(&entry.response) }];
    if let Some(service) = &entry.service {
        lines.push(Line { name: "service", color: "#3b82f6", points: points(service) });
    }
    let names =
        [(0.0, "0%"), (0.301, "50%"), (1.0, "90%"), (2.0, "99%"), (3.0, "99.9%"), (4.0, "99.99%"), (5.0, "99.999%")];
    let ticks = names.iter().filter(|(at, _)| *at <= most).map(|(at, name)| (*at, (*name).to_owned())).collect();
    Chart { title: "Percentiles (ms)", x: "share of requests", lines, limits: Vec::new(), ticks }
}

/// Several seconds as one point.
struct Thin {
    second: f64,
    rate: f64,
    failures: f64,
    micros: [f64; 3],
}

/// So few points that they can be drawn: of several seconds the rates are averaged, and of the times the slowest count.
fn thinned(series: &Series<Point>) -> Vec<Thin> {
    let (Some(first), Some(last)) = (series.points().first(), series.last()) else { return Vec::new() };
    // Groups of whole points, else some would have one more than others and rates would jump.
    let seconds = last.second - first.second + 1;
    let width = series.step() * seconds.div_ceil(POINTS as u64 * series.step()).max(1);
    let mut groups: BTreeMap<u64, Vec<&Point>> = BTreeMap::new();
    for point in series.points() {
        groups.entry(point.second / width).or_default().push(point);
    }
    let thin = groups.into_iter().map(|(group, points)| {
        let slowest = |which: usize| points.iter().map(|point| point.micros[which]).max().unwrap_or(0) as f64 / 1e3;
        // The first and the last group have only the seconds in which there was a run.
        let from = first.second.max(group * width);
        let seconds = ((last.second + 1).min((group + 1) * width) - from) as f64;
        Thin {
            second: from as f64,
            rate: points.iter().map(|point| point.requests).sum::<u64>() as f64 / seconds,
            failures: points.iter().map(|point| point.failures).sum::<u64>() as f64 / seconds,
            micros: [slowest(0), slowest(1), slowest(2)],
        }
    });
    thin.collect()
}

fn stages(out: &mut String, totals: &Totals) {
    if totals.all.stages.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Where the server's time went (Server-Timing)</h2><div class=\"wide\"><table><tr><th>Method<th>Name<th>Stage\
         <th># Times<th>Average (ms)<th>Max (ms)<th>Share of the time",
    );
    for entry in totals.sorted().into_iter().take(ROWS) {
        let whole = (entry.service().sum() / 1e3).max(1e-9);
        let mut stages: Vec<_> = entry.stages.iter().collect();
        stages.sort_by(|a, b| b.1.sum.total_cmp(&a.1.sum));
        for (name, stage) in stages {
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.3}<td>{:.3}<td>{:.1} %",
                entry.id.method,
                escaped(&entry.id.name),
                escaped(name),
                stage.count,
                stage.sum / stage.count.max(1) as f64,
                stage.most,
                stage.sum / whole * 100.0
            );
        }
    }
    out.push_str("</table></div>");
}

fn failures(out: &mut String, totals: &Totals) {
    if !totals.errors.is_empty() {
        out.push_str(
            "<h2>Failures</h2><div class=\"wide\"><table><tr><th>Method<th>Name<th>Message<th># Failures<th>First seen\
             <th>Last seen",
        );
        for (id, text, occurrences) in totals.errors_by_count().into_iter().take(ROWS) {
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td class=\"w\">{}<td>{}<td>{}<td>{}",
                id.method,
                escaped(&id.name),
                escaped(text),
                occurrences.count,
                super::csv::when(occurrences.first),
                super::csv::when(occurrences.last)
            );
        }
        out.push_str("</table></div>");
    }
    if !totals.exceptions.is_empty() {
        out.push_str("<h2>Exceptions</h2><table><tr><th># Occurrences<th>Message<th>Where");
        for ((message, place), count) in totals.exceptions.iter().take(ROWS) {
            let _ = write!(out, "<tr><td>{count}<td class=\"w\">{}<td>{}", escaped(message), escaped(place));
        }
        out.push_str("</table>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_rate_is_drawn_even_however_long_it_goes_on() {
        for seconds in [1, 100, 700, 5_000, 28_800, 40_000] {
            let mut series = Series::default();
            for second in 3..3 + seconds {
                series.push(Point { second, requests: 50, failures: 5, micros: [1_000, 2_000, 3_000, 4_000] });
            }
            let thin = thinned(&series);
            assert!(!thin.is_empty() && thin.len() <= POINTS + 1, "{} points of {seconds} s", thin.len());
            for point in thin {
                assert_eq!((point.rate, point.failures, point.micros), (50.0, 5.0, [1.0, 2.0, 3.0]), "{seconds} s");
            }
        }
    }
}
