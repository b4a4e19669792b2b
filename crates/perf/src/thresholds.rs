//! The limits: a TOML file with a table a check. The defaults are such a file, and what `regatta perf thresholds` prints.

use std::collections::BTreeMap;

use regatta_stats::{Distribution, Percentile};
use serde::{Deserialize, Serialize};

/// The file of the defaults.
pub const DEFAULTS: &str = include_str!("thresholds.toml");

/// What a check is held to. Times in milliseconds, each as "below".
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Any call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// The 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// The 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_ms: Option<f64>,
    /// The share of calls that must succeed; 1 where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_success: Option<f64>,
}

/// A limit that was not kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Miss {
    /// Which figure: `max`, `p95`, `p99`, `average` or `success`.
    pub figure: String,
    /// What it was; milliseconds, or a share.
    pub value: f64,
    /// What it should have been below (a share: at least).
    pub limit: f64,
    /// The same in words.
    pub text: String,
}

impl Miss {
    /// Whether it is a time: a busy generator can make that look worse, and nothing else.
    pub fn is_time(&self) -> bool {
        self.figure != "success"
    }
}

impl Limits {
    /// The limits on times that these do not keep.
    pub fn misses(&self, times: &Distribution) -> Vec<Miss> {
        if times.is_empty() {
            return Vec::new();
        }
        let percentile = |p: f64| {
            let percentile: Percentile = times.percentile(p);
            (percentile.ms(), percentile.is_known())
        };
        let figures = [
            ("max", self.max_ms, (times.max() as f64 / 1e3, true)),
            ("p95", self.p95_ms, percentile(95.0)),
            ("p99", self.p99_ms, percentile(99.0)),
            ("average", self.avg_ms, (times.mean() / 1e3, true)),
        ];
        let missed = figures.into_iter().filter_map(|(figure, limit, (value, known))| {
            let limit = limit.filter(|limit| value >= *limit)?;
            let of = if known { String::new() } else { format!(" (max of {})", times.count()) };
            let text = format!("{figure} {value:.1} ms{of}, {:.1} ms over its limit of {limit} ms", value - limit);
            Some(Miss { figure: figure.to_owned(), value, limit, text })
        });
        missed.collect()
    }

    /// Whether too few calls succeeded.
    pub fn too_few(&self, succeeded: u64, calls: u64) -> Option<Miss> {
        let limit = self.min_success.unwrap_or(1.0);
        let value = if calls == 0 { 1.0 } else { succeeded as f64 / calls as f64 };
        (value < limit).then(|| Miss {
            figure: "success".to_owned(),
            value,
            limit,
            text: format!("{} of {calls} calls failed, and {:.0} % must succeed", calls - succeeded, limit * 100.0),
        })
    }

    /// These over others.
    fn over(self, below: Self) -> Self {
        Self {
            max_ms: self.max_ms.or(below.max_ms),
            p95_ms: self.p95_ms.or(below.p95_ms),
            p99_ms: self.p99_ms.or(below.p99_ms),
            avg_ms: self.avg_ms.or(below.avg_ms),
            min_success: self.min_success.or(below.min_success),
        }
    }

    /// What is wrong with them.
    pub(crate) fn wrong(&self) -> Option<&'static str> {
        let times = [self.max_ms, self.p95_ms, self.p99_ms, self.avg_ms];
        if times.into_iter().flatten().any(|ms| !ms.is_finite() || ms <= 0.0) {
            return Some("a time is a number of milliseconds above 0");
        }
        self.min_success.filter(|share| !(0.0..=1.0).contains(share)).map(|_| "min_success is a share from 0 to 1")
    }

    /// In a few words: `max 5000 ms, p95 4000 ms`.
    pub fn in_words(&self) -> String {
        let times = [("max", self.max_ms), ("p95", self.p95_ms), ("p99", self.p99_ms), ("average", self.avg_ms)];
        let mut words: Vec<String> =
            times.into_iter().filter_map(|(name, ms)| Some(format!("{name} {} ms", ms?))).collect();
        if let Some(share) = self.min_success {
            words.push(format!("{:.0} % succeed", share * 100.0));
        }
        words.join(", ")
    }
}

/// Limits by check.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    limits: BTreeMap<String, Limits>,
}

impl Default for Thresholds {
    fn default() -> Self {
        // The file is part of the program, and a test reads it.
        Self { limits: toml::from_str(DEFAULTS).unwrap_or_default() }
    }
}

impl Thresholds {
    /// What a check is held to; `None` for a check of another name.
    pub fn of(&self, check: &str) -> Option<Limits> {
        self.limits.get(check).copied()
    }

    /// These with what a file changes.
    ///
    /// # Errors
    /// When the file does not fit, with line and column; when it names a check that is none of `known`.
    pub fn overlaid<'a>(mut self, file: &str, known: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let changed: BTreeMap<String, Limits> = toml::from_str(file).map_err(|error| error.to_string())?;
        let known: Vec<&str> = known.collect();
        for (name, limits) in changed {
            if !known.contains(&name.as_str()) {
                return Err(format!("there is no check {name:?}; `regatta perf --list` lists them"));
            }
            if let Some(wrong) = limits.wrong() {
                return Err(format!("the limits of {name:?} do not fit: {wrong}"));
            }
            let below = self.limits.get(&name).copied().unwrap_or_default();
            self.limits.insert(name, limits.over(below));
        }
        Ok(self)
    }

    /// With the limits of one more check.
    pub fn with(mut self, check: &str, limits: Limits) -> Self {
        self.limits.insert(check.to_owned(), limits);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ms: impl IntoIterator<Item = u64>) -> Distribution {
        let mut times = Distribution::new();
        ms.into_iter().for_each(|ms| times.record_micros(ms * 1_000));
        times
    }

    #[test]
    fn a_file_changes_what_it_says_and_nothing_else() {
        let name = "api::task::progress";
        let file = "[\"api::task::progress\"]\np95_ms = 20\nmin_success = 0.5";
        let limits = Thresholds::default().overlaid(file, [name].into_iter()).unwrap().of(name).unwrap();
        assert_eq!((limits.max_ms, limits.p95_ms, limits.min_success), (Some(200.0), Some(20.0), Some(0.5)));
    }

    #[test]
    fn mistakes_are_told() {
        for (file, why) in [
            ("[\"api::task::progres\"]\np95_ms = 20", "there is no check"),
            ("[\"api::task::progress\"]\np95 = 20", "line 2"),
            ("[\"api::task::progress\"]\np95_ms = -1", "above 0"),
            ("[\"api::task::progress\"]\nmin_success = 95", "from 0 to 1"),
        ] {
            let error = Thresholds::default().overlaid(file, ["api::task::progress"].into_iter()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn every_limit_counts_and_says_by_how_much() {
        let limits = Limits { max_ms: Some(100.0), p95_ms: Some(5.0), avg_ms: Some(50.0), ..Limits::default() };
        let missed: Vec<String> = limits.misses(&times(1..=10)).into_iter().map(|miss| miss.text).collect();
        assert_eq!(missed, ["p95 10.0 ms (max of 10), 5.0 ms over its limit of 5 ms"]);
        assert_eq!(limits.misses(&times([100]))[0].figure, "max");
        assert!(limits.misses(&times([])).is_empty());
    }

    #[test]
    fn success_is_a_share() {
        let strict = Limits::default();
        assert_eq!(strict.too_few(10, 10), None);
        assert!(strict.too_few(9, 10).unwrap().text.starts_with("1 of 10 calls failed"));
        let stress = Limits { min_success: Some(0.95), ..strict };
        assert_eq!(stress.too_few(19, 20), None);
        assert!(stress.too_few(18, 20).is_some());
    }
}
