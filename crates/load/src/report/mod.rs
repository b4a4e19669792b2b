//! What is told of a run, in the formats that Locust's users and their scripts know.
//!
//! - [`tables`]: for terminals
//! - [`csv`]: files for spreadsheets
//! - [`json`]: for programs
//! - [`html`]: a page with charts, drawn by [`svg`]

pub mod csv;
pub mod html;
pub mod json;
pub mod svg;
pub mod tables;

/// The percentiles of tables and CSV files.
pub const PERCENTILES: [f64; 11] = [0.5, 0.66, 0.75, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999, 1.0];
/// Their names.
pub const PERCENTILE_NAMES: [&str; 11] =
    ["50%", "66%", "75%", "80%", "90%", "95%", "98%", "99%", "99.9%", "99.99%", "100%"];

/// Microseconds as whole milliseconds, rounded.
pub(crate) const fn ms(micros: u64) -> u64 {
    (micros + 500) / 1_000
}
