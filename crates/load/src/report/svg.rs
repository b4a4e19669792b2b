//! Line charts as SVG: small, without scripts, in the page's own colours.

use std::fmt::Write;

/// A line of a chart.
#[derive(Debug)]
pub struct Line<'a> {
    /// What it is called, and its colour in CSS.
    pub name: &'a str,
    /// A CSS colour.
    pub color: &'a str,
    /// Points, x ascending.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Debug)]
pub struct Chart<'a> {
    /// What it shows, with its unit.
    pub title: &'a str,
    /// What the x axis shows.
    pub x: &'a str,
    /// Its lines.
    pub lines: Vec<Line<'a>>,
    /// Limits to draw in: value and name.
    pub limits: Vec<(f64, String)>,
    /// What to write at the x axis instead of numbers: place and text.
    pub ticks: Vec<(f64, String)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 12.0;

/// A text that may stand in HTML and in SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

impl Chart<'_> {
    /// The chart as an `<svg>`.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let (from, to) = points().fold((f64::MAX, f64::MIN), |(from, to), (x, _)| (from.min(*x), to.max(*x)));
        let (from, to) = match (from, to) {
            (from, to) if from < to => (from, to),
            // One place, or none: a line needs two.
            (at, _) if at < f64::MAX => (at - 0.5, at + 0.5),
            _ => (0.0, 1.0),
        };
        let most = points().map(|(_, y)| *y).fold(0.0, f64::max);
        // A limit far above the lines would press them flat; it is then told, not drawn.
        let most = self.limits.iter().map(|(limit, _)| *limit).filter(|limit| *limit < most * 4.0).fold(most, f64::max);
        let top = nice(most.max(1e-3));
        let x = |value: f64| LEFT + (value - from) / (to - from) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\"><text x=\"4\" y=\"14\" class=\"t\">{0}</text>",
            escaped(self.title)
        );
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let _ = write!(
                out,
                "<path d=\"M{LEFT} {0:.1}H{1}\" class=\"g\"/><text x=\"{2}\" y=\"{3:.1}\" class=\"n\">{4}</text>",
                y(value),
                WIDTH - RIGHT,
                LEFT - 6.0,
                y(value) + 4.0,
                number(value)
            );
        }
        let own: Vec<(f64, String)> =
            (0..=4).map(|step| from + (to - from) * f64::from(step) / 4.0).map(|at| (at, number(at))).collect();
        for (at, text) in if self.ticks.is_empty() { &own } else { &self.ticks } {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"m\">{}</text>",
                x(*at),
                HEIGHT - BOTTOM + 14.0,
                escaped(text)
            );
        }
        let _ = write!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\" class=\"m\">{}</text>",
            WIDTH / 2.0,
            HEIGHT - 4.0,
            escaped(self.x)
        );
        for line in &self.lines {
            let mut path = String::new();
            for (index, (at, value)) in line.points.iter().enumerate() {
                let _ = write!(path, "{}{:.1} {:.1}", if index == 0 { "M" } else { "L" }, x(*at), y(*value));
            }
            // One point is a line too short to see.
            if line.points.len() == 1 {
                path.push_str("h3");
            }
            let _ = write!(out, "<path d=\"{path}\" stroke=\"{}\" class=\"l\"/>", line.color);
        }
        for (limit, name) in self.limits.iter().filter(|(limit, _)| *limit <= top) {
            let _ = write!(
                out,
                "<path d=\"M{LEFT} {0:.1}H{1}\" class=\"x\"/><text x=\"{1}\" y=\"{2:.1}\" class=\"y\">{3}</text>",
                y(*limit),
                WIDTH - RIGHT,
                y(*limit) - 4.0,
                escaped(name)
            );
        }
        let mut at = WIDTH - RIGHT;
        for line in self.lines.iter().rev() {
            at -= 14.0 + 6.5 * line.name.chars().count() as f64;
            let _ = write!(
                out,
                "<text x=\"{at:.0}\" y=\"14\" fill=\"{}\" class=\"k\">{}</text>",
                line.color,
                escaped(line.name)
            );
        }
        out.push_str("</svg>");
        out
    }
}

/// The next 1, 2, 2.5 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let found = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|step| step * power >= value);
    found.unwrap_or(10.0) * power
}

/// A number as short as it can be read.
fn number(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.0}k", value / 1_000.0),
        value if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, expected) in [(0.7, 1.0), (1.0, 1.0), (17.0, 20.0), (230.0, 250.0), (260.0, 500.0)] {
            assert!((nice(value) - expected).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn a_chart_of_nothing_of_one_point_and_of_evil_names() {
        for points in [vec![], vec![(3.0, 0.0)], vec![(0.0, 1.0), (5.0, 9.0)]] {
            let lines = vec![Line { name: "</svg><script>", color: "red", points }];
            let limits = vec![(8.0, "<b>".to_owned())];
            let svg = Chart { title: "a & b", x: "s", lines, limits, ticks: Vec::new() }.svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<script"), "{svg}");
            assert!(svg.ends_with("</svg>") && svg.contains("a &amp; b"));
        }
    }
}
