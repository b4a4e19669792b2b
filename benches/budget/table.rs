//! What is printed at the end: one row a measurement.

use std::fmt;

use hdrhistogram::Histogram;

/// One measurement beside its limit.
struct Row {
    what: String,
    ours: String,
    limit: String,
    ratio: Option<f64>,
    aim: String,
    met: Option<bool>,
}

/// Rows in the order in which they were measured; each is also printed when it is added.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A rate beside the rate of its limit; `aim` is the least ratio, where there is one.
    pub fn ratio(&mut self, what: &str, ours: f64, limit_name: &str, limit: f64, aim: Option<f64>) {
        let ratio = ours / limit;
        self.push(Row {
            what: what.into(),
            ours: format!("{}/s", thousands(ours)),
            limit: format!("{limit_name}: {}/s", thousands(limit)),
            ratio: Some(ratio),
            aim: aim.map(|aim| format!(">= {aim:.1}")).unwrap_or_default(),
            met: aim.map(|aim| ratio >= aim),
        });
    }

    /// Milliseconds beside those of the limit; the ratio is that of the medians, 1 where both take as long.
    pub fn latency(&mut self, what: &str, ours: &Histogram<u64>, limit_name: &str, limit: &Histogram<u64>) {
        let median = |times: &Histogram<u64>| times.value_at_quantile(0.5) as f64;
        self.push(Row {
            what: what.into(),
            ours: percentiles(ours),
            limit: format!("{limit_name}: {}", percentiles(limit)),
            ratio: Some(median(limit) / median(ours)),
            aim: String::new(),
            met: None,
        });
    }

    /// A figure with its aim, or without one.
    pub fn figure(&mut self, what: &str, ours: String, aim: &str, met: Option<bool>) {
        self.push(Row { what: what.into(), ours, limit: String::new(), ratio: None, aim: aim.into(), met });
    }

    fn push(&mut self, row: Row) {
        eprintln!(
            "    {}: {} {}",
            row.what,
            row.ours,
            row.ratio.map(|r| format!("= {r:.2} of {}", row.limit)).unwrap_or_default()
        );
        self.rows.push(row);
    }
}

/// Microseconds as milliseconds.
pub fn percentiles(times: &Histogram<u64>) -> String {
    let ms = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1_000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms", ms(0.5), ms(0.99))
}

/// `12345.6` as `12,346`.
pub fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: fn(&Row) -> usize| self.rows.iter().map(column).max().unwrap_or(0);
        let (what, ours, limit) = (width(|r| r.what.len()), width(|r| r.ours.len()), width(|r| r.limit.len()));
        for row in &self.rows {
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let met = match row.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            writeln!(
                f,
                "{:what$}  {:>ours$}  {:limit$}  {ratio:>5}  {:9} {met}",
                row.what, row.ours, row.limit, row.aim
            )?;
        }
        Ok(())
    }
}
