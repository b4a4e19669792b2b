//! What a user does between two tasks.

use std::time::Duration;

use rand::RngExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::duration::Span;

/// How long a user waits between two tasks.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Not at all: the next task follows at once.
    #[default]
    None,
    /// Always as long.
    Constant(Span),
    /// Between two spans, each as likely as any other.
    Between(Span, Span),
    /// So that tasks begin this far apart; a task that takes longer is followed by the next at once.
    Pacing(Span),
    /// So that at most so many tasks a second begin.
    Throughput(f64),
}

impl Wait {
    /// Whether it can be used.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Between(from, to) if from.0 > to.0 => Err("the first span of `between` is the longer one".to_owned()),
            Self::Throughput(rate) if !(rate.is_finite() && *rate > 0.0) => {
                Err("`throughput` is a number of tasks a second above 0".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// How long to wait now, after a task that took so long.
    pub fn after(&self, task: Duration) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Constant(span) => span.0,
            Self::Between(from, to) => {
                let range = to.0.saturating_sub(from.0).as_secs_f64();
                from.0 + Duration::from_secs_f64(range * rand::rng().random::<f64>())
            }
            Self::Pacing(span) => span.0.saturating_sub(task),
            Self::Throughput(rate) => Duration::from_secs_f64(1.0 / rate).saturating_sub(task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        let second = Span(Duration::from_secs(1));
        let half = Duration::from_millis(500);
        assert_eq!(Wait::None.after(half), Duration::ZERO);
        assert_eq!(Wait::Constant(second).after(half), second.0);
        assert_eq!(Wait::Pacing(second).after(half), half);
        assert_eq!(Wait::Pacing(second).after(Duration::from_secs(3)), Duration::ZERO);
        assert_eq!(Wait::Throughput(0.5).after(half), Duration::from_millis(1_500));
        let between = Wait::Between(Span(half), second);
        for _ in 0..100 {
            assert!((half..=second.0).contains(&between.after(half)));
        }
    }
}
