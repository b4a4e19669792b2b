//! Measurements and what may be said from them: distributions of latencies, percentiles, and how sure they are.
//!
//! - [`distribution`]: times of many calls, exact while they are few and a histogram when they are many
//! - [`percentile`]: a percentile with the number of samples it rests on, and how it is printed
//!
//! Pure: no I/O, no clock, no threads. Who measured what, and where the reports go, is told in `regatta-load`.

pub mod distribution;
pub mod percentile;

pub use distribution::Distribution;
pub use percentile::Percentile;
