//! Tables for terminals, column for column as Locust prints them.

use std::fmt::Write;

use super::{PERCENTILE_NAMES, PERCENTILES, ms};
use crate::scenario::plan::{Behaviour, Plan};
use crate::totals::{Entry, Totals};

const TYPE: usize = 8;
const NAME: usize = 80;

/// How wide names are on a terminal of so many columns: at most 80, and as much as is left beside the figures.
const fn name_width(columns: usize) -> usize {
    let left = columns.saturating_sub(80);
    if left > NAME { NAME } else { left }
}

/// A name in its column: cut when it is longer, so that the figures stay in theirs.
fn fitted(name: &str, width: usize) -> String {
    if name.chars().count() <= width || width == 0 {
        return name.to_owned();
    }
    let mut cut: String = name.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The table of requests; `current` shows the rates of the last seconds instead of those of the whole run.
pub fn requests(totals: &Totals, columns: usize, current: bool) -> String {
    let width = (name_width(columns) + 4).saturating_sub(TYPE).max(20);
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "{:<TYPE$} {:<width$} {:>7} {:>12} |{:>7} {:>7} {:>7}{:>7} | {:>7} {:>11}",
        "Type", "Name", "# reqs", "# fails", "Avg", "Min", "Max", "Med", "req/s", "failures/s"
    );
    let dashes = |count: usize| "-".repeat(count);
    let separator = [TYPE, width, 7, 13, 7, 7, 7, 7, 8, 11].map(dashes).join("|");
    let _ = writeln!(out, "{separator}");
    let row = |out: &mut String, entry: &Entry| {
        let (requests, failures) = if current {
            entry.current_rates(totals.now())
        } else {
            let seconds = totals.seconds().max(1e-3);
            (entry.requests as f64 / seconds, entry.failures as f64 / seconds)
        };
        let times = &entry.response;
        let _ = writeln!(
            out,
            "{:<TYPE$} {:<width$} {:>7} {:>12} |{:>7} {:>7} {:>7}{:>7} | {requests:>7.2} {failures:>11.2}",
            entry.id.method,
            fitted(&entry.id.name, width),
            entry.requests,
            format!("{}({:.2}%)", entry.failures, entry.fail_ratio() * 100.0),
            ms(times.mean() as u64),
            ms(times.min()),
            ms(times.max()),
            ms(times.quantile(0.5)),
        );
    };
    totals.sorted().into_iter().for_each(|entry| row(&mut out, entry));
    let _ = writeln!(out, "{separator}");
    row(&mut out, &totals.all);
    out
}

/// The table of percentiles.
pub fn percentiles(totals: &Totals, columns: usize) -> String {
    let width = name_width(columns).max(24);
    let mut out = String::from("Response time percentiles (approximated)\n");
    let _ = write!(out, "{:<TYPE$} {:<width$}", "Type", "Name");
    for (index, name) in PERCENTILE_NAMES.iter().enumerate() {
        let _ = write!(out, " {name:>0$}", if index == 0 { 8 } else { 6 });
    }
    let _ = writeln!(out, " {:>6}", "# reqs");
    let mut separator = format!("{}|{}|{}|", "-".repeat(TYPE), "-".repeat(width), "-".repeat(8));
    separator.push_str(&vec!["-".repeat(6); PERCENTILES.len()].join("|"));
    let _ = writeln!(out, "{separator}");
    let row = |out: &mut String, entry: &Entry| {
        let _ = write!(out, "{:<TYPE$} {:<width$}", entry.id.method, fitted(&entry.id.name, width));
        for (index, micros) in entry.response.quantiles(PERCENTILES).into_iter().enumerate() {
            let _ = write!(out, " {:>1$}", ms(micros), if index == 0 { 8 } else { 6 });
        }
        let _ = writeln!(out, " {:>6}", entry.requests);
    };
    totals.sorted().into_iter().for_each(|entry| row(&mut out, entry));
    let _ = writeln!(out, "{separator}");
    if totals.all.requests > 0 {
        row(&mut out, &totals.all);
    }
    out
}

/// What went wrong; empty when nothing did.
pub fn errors(totals: &Totals) -> String {
    let mut out = String::new();
    if totals.errors.is_empty() {
        return out;
    }
    let separator = format!("{}|{}", "-".repeat(18), "-".repeat(141));
    let _ = writeln!(out, "Error report\n{:<18} {:<100}\n{separator}", "# occurrences", "Error");
    for (id, text, occurrences) in totals.errors_by_count() {
        let _ = writeln!(out, "{:<18} {:<100}", occurrences.count, format!("{} {}: {text}", id.method, id.name));
    }
    let _ = writeln!(out, "{separator}");
    out
}

/// What went wrong in the scenario itself; empty when nothing did.
pub fn exceptions(totals: &Totals) -> String {
    let mut out = String::new();
    if totals.exceptions.is_empty() {
        return out;
    }
    let separator = format!("{}|{}", "-".repeat(18), "-".repeat(141));
    let _ = writeln!(out, "Exceptions\n{:<18} {:<100}\n{separator}", "# occurrences", "Message");
    for ((message, place), count) in &totals.exceptions {
        let _ = writeln!(out, "{count:<18} {:<100}", format!("{place}: {message}"));
    }
    let _ = writeln!(out, "{separator}");
    out
}

/// Response time, from the intended start, beside service time; empty in the closed model, where they are the same.
pub fn service(totals: &Totals) -> String {
    let mut out = String::new();
    if totals.all.service.is_none() {
        return out;
    }
    let _ = writeln!(
        out,
        "Response time (from the intended start) and service time (from sending), ms\n{:<TYPE$} {:<44} {:>9} {:>9} \
         {:>9} |{:>9} {:>9} {:>9}",
        "Type", "Name", "50%", "99%", "max", "50%", "99%", "max"
    );
    let _ = writeln!(out, "{}", [TYPE, 45, 9, 9, 10, 9, 9, 9].map(|count| "-".repeat(count)).join("|"));
    for entry in totals.sorted().into_iter().chain([&totals.all]) {
        let [a, b, c] = entry.response.quantiles([0.5, 0.99, 1.0]).map(|micros| micros as f64 / 1e3);
        let [d, e, f] = entry.service().quantiles([0.5, 0.99, 1.0]).map(|micros| micros as f64 / 1e3);
        let _ = writeln!(
            out,
            "{:<TYPE$} {:<44} {a:>9.2} {b:>9.2} {c:>9.2} |{d:>9.2} {e:>9.2} {f:>9.2}",
            entry.id.method,
            fitted(&entry.id.name, 44),
        );
    }
    out
}

/// Where the server says its time went; empty when it does not say.
pub fn stages(totals: &Totals) -> String {
    let mut out = String::new();
    if totals.all.stages.is_empty() {
        return out;
    }
    let _ = writeln!(
        out,
        "Where the server's time went (Server-Timing), ms\n{:<TYPE$} {:<44} {:<12} {:>9} {:>9} {:>9} {:>8}",
        "Type", "Name", "Stage", "# times", "Avg", "Max", "Share"
    );
    let _ = writeln!(out, "{}", [TYPE, 45, 12, 10, 9, 9, 8].map(|count| "-".repeat(count)).join("|"));
    for entry in totals.sorted() {
        let whole = entry.service().sum() / 1_000.0;
        let mut stages: Vec<_> = entry.stages.iter().collect();
        stages.sort_by(|a, b| b.1.sum.total_cmp(&a.1.sum));
        for (name, stage) in stages {
            let average = stage.sum / (stage.count.max(1) as f64);
            let share = if whole > 0.0 { stage.sum / whole * 100.0 } else { 0.0 };
            let _ = writeln!(
                out,
                "{:<TYPE$} {:<44} {name:<12} {:>9} {average:>9.3} {:>9.3} {share:>7.1}%",
                entry.id.method,
                fitted(&entry.id.name, 44),
                stage.count,
                stage.most,
            );
        }
    }
    out
}

/// How often each class and task is chosen.
pub fn task_ratio(plan: &Plan) -> String {
    let mut out = String::from(
        "Task ratio per user class\n--------------------------------------------------------------------------------\n",
    );
    for (class, _) in ratios(plan) {
        let _ = writeln!(out, "* 100.0% {}", class.0);
        for (task, share) in &class.1 {
            let _ = writeln!(out, "  * {share:.1}% {task}");
        }
    }
    out.push_str(
        "\nTotal task ratio\n--------------------------------------------------------------------------------\n",
    );
    for (class, share) in ratios(plan) {
        let _ = writeln!(out, "* {share:.1}% {}", class.0);
        for (task, of) in &class.1 {
            let _ = writeln!(out, "  * {:.1}% {task}", of * share / 100.0);
        }
    }
    out
}

/// A class and its tasks, each with its share in percent.
pub type Ratio<'a> = (&'a str, Vec<(&'a str, f64)>);

/// Every class with its share in percent of the users.
pub fn ratios(plan: &Plan) -> Vec<(Ratio<'_>, f64)> {
    let all: f64 = plan.classes.iter().map(|class| class.weight).sum();
    let of = |class: &'_ crate::scenario::plan::Class| class.weight / all * 100.0;
    plan.classes
        .iter()
        .map(|class| {
            let tasks = match &class.behaviour {
                Behaviour::Rust(_) => Vec::new(),
                Behaviour::Script(script) => {
                    let all: f64 = script.tasks.iter().map(|task| task.weight).sum();
                    script.tasks.iter().map(|task| (task.name.as_str(), task.weight / all * 100.0)).collect()
                }
            };
            ((class.name.as_str(), tasks), of(class))
        })
        .collect()
}
