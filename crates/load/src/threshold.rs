//! Thresholds: what must hold for a run to pass, in k6's grammar.
//!
//! `metric{tag:value}: aggregate operator number`, like `http_req_duration{name:/items}: p(95)<200`. With ` abort` at
//! the end the run stops as soon as it does not hold, with ` abort after 10s` not before it ran so long.
//!
//! | Metric | Aggregates |
//! |---|---|
//! | `http_req_duration`: milliseconds from the intended start to the last byte | `avg`, `min`, `max`, `med`, `p(N)` |
//! | `http_req_service`: milliseconds from sending to the last byte | the same |
//! | `http_req_failed`: the share of requests that failed | `rate` |
//! | `http_reqs`: requests | `count`, `rate` (a second) |
//! | `data_received`: bytes of bodies | `count`, `rate` (a second) |
//! | `dropped_iterations`: arrivals nobody was free for | `count` |
//!
//! Tags are `name` and `method`.

use std::fmt;
use std::time::Duration;

use crate::scenario::duration;
use crate::totals::{Entry, Totals};

/// What must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As it was written.
    pub source: String,
    metric: Metric,
    tags: Vec<(Tag, String)>,
    aggregate: Aggregate,
    operator: Operator,
    /// What it is compared with.
    pub limit: f64,
    /// Stop the run when it does not hold, but not before it ran so long.
    pub abort: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Duration,
    Service,
    Failed,
    Requests,
    Received,
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Name,
    Method,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Aggregate {
    Avg,
    Min,
    Max,
    Percentile(f64),
    Count,
    Rate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    Unequal,
}

/// What a threshold is made of, for those who draw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Such as `http_req_duration`.
    pub metric: &'a str,
    /// Such as `p(95)`.
    pub aggregate: &'a str,
    /// The request's name.
    pub name: Option<&'a str>,
    /// The request's method.
    pub method: Option<&'a str>,
}

/// How a threshold stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The threshold, as it was written.
    pub threshold: String,
    /// The figure; `None` when nothing was measured that it speaks of.
    pub value: Option<f64>,
    /// Whether it holds. One without a figure does not: a misspelt name must not pass.
    pub holds: bool,
}

impl Threshold {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says what cannot be read.
    pub fn parse(source: &str) -> Result<Self, String> {
        let like = "write it like `http_req_duration{name:/items}: p(95)<200`";
        let bad = |what: &str| format!("the threshold `{source}` {what}; {like}");
        let text = source.trim();
        // The colon after the metric is the first one outside the braces; names have braces of their own.
        let from = text.rfind('}').map_or(0, |brace| brace + 1);
        let colon = text[from..].find(':').map(|found| from + found).ok_or_else(|| bad("has no colon"))?;
        let (metric, rest) = (text[..colon].trim(), text[colon + 1..].trim());
        let (metric, tags) = match metric.split_once('{') {
            None => (metric, Vec::new()),
            Some((metric, tags)) => {
                let tags = tags.strip_suffix('}').ok_or_else(|| bad("has no `}`"))?;
                (metric.trim(), parse_tags(tags).ok_or_else(|| bad("knows the tags `name` and `method` only"))?)
            }
        };
        let metric = match metric {
            "http_req_duration" => Metric::Duration,
            "http_req_service" => Metric::Service,
            "http_req_failed" => Metric::Failed,
            "http_reqs" => Metric::Requests,
            "data_received" => Metric::Received,
            "dropped_iterations" => Metric::Dropped,
            _ => {
                return Err(bad(
                    "speaks of a metric that nobody knows (known are http_req_duration, http_req_service, \
                                http_req_failed, http_reqs, data_received, dropped_iterations)",
                ));
            }
        };
        let (expression, abort) = match rest.find("abort") {
            None => (rest, None),
            Some(place) => {
                let delay = rest[place + "abort".len()..].trim();
                let delay = match delay.strip_prefix("after ") {
                    None if delay.is_empty() => Duration::ZERO,
                    None => return Err(bad("has something after `abort` that is not `after 10s`")),
                    Some(delay) => duration::parse(delay)?,
                };
                (rest[..place].trim(), Some(delay))
            }
        };
        let start = expression.find(['<', '>', '=', '!']).ok_or_else(|| bad("compares nothing"))?;
        let end = start + expression[start..].find(|c| !"<>=!".contains(c)).unwrap_or(expression.len() - start);
        let operator = match &expression[start..end] {
            ">" => Operator::Above,
            ">=" => Operator::AtLeast,
            "<" => Operator::Below,
            "<=" => Operator::AtMost,
            "==" | "===" => Operator::Equal,
            "!=" => Operator::Unequal,
            _ => return Err(bad("has an operator that is none of > >= < <= == === !=")),
        };
        let limit: f64 =
            expression[end..].trim().parse().map_err(|_| bad("compares with something that is no number"))?;
        if !limit.is_finite() {
            return Err(bad("compares with something that is no number"));
        }
        let aggregate = expression[..start].trim();
        let aggregate = match aggregate {
            "avg" => Aggregate::Avg,
            "min" => Aggregate::Min,
            "max" => Aggregate::Max,
            "med" => Aggregate::Percentile(50.0),
            "count" => Aggregate::Count,
            "rate" => Aggregate::Rate,
            _ => {
                let p = aggregate.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')'));
                let p: Option<f64> = p.and_then(|p| p.trim().parse().ok()).filter(|p| (0.0..=100.0).contains(p));
                Aggregate::Percentile(p.ok_or_else(|| bad("has an aggregate that nobody knows"))?)
            }
        };
        let fits = match metric {
            Metric::Duration | Metric::Service => !matches!(aggregate, Aggregate::Count | Aggregate::Rate),
            Metric::Failed => aggregate == Aggregate::Rate,
            Metric::Requests | Metric::Received => matches!(aggregate, Aggregate::Count | Aggregate::Rate),
            Metric::Dropped => aggregate == Aggregate::Count,
        };
        if !fits {
            return Err(bad("asks its metric for an aggregate that it does not have"));
        }
        Ok(Self { source: source.trim().to_owned(), metric, tags, aggregate, operator, limit, abort })
    }

    /// How it stands now.
    pub fn judge(&self, totals: &Totals) -> Verdict {
        let value = self.value(totals);
        let holds = value.is_some_and(|value| match self.operator {
            Operator::Above => value > self.limit,
            Operator::AtLeast => value >= self.limit,
            Operator::Below => value < self.limit,
            Operator::AtMost => value <= self.limit,
            // Figures have rounding in their last digits.
            Operator::Equal => (value - self.limit).abs() < 1e-9,
            Operator::Unequal => (value - self.limit).abs() >= 1e-9,
        });
        Verdict { threshold: self.source.clone(), value, holds }
    }

    /// Whether it speaks of a time: then it can be drawn into a chart of times.
    pub const fn milliseconds(&self) -> Option<f64> {
        match self.metric {
            Metric::Duration | Metric::Service => Some(self.limit),
            _ => None,
        }
    }

    /// The metric and the figure of it that is compared, as they were written; the request that it speaks of, where it names one.
    pub fn parts(&self) -> Parts<'_> {
        let from = self.source.rfind('}').map_or(0, |brace| brace + 1);
        let metric = self.source.split(['{', ':']).next().unwrap_or_default().trim();
        let rest = self.source[from..].split_once(':').map_or("", |(_, rest)| rest.trim());
        let aggregate = rest.split(['<', '>', '=', '!']).next().unwrap_or_default().trim();
        let tag = |wanted: Tag| self.tags.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| value.as_str());
        Parts { metric, aggregate, name: tag(Tag::Name), method: tag(Tag::Method) }
    }

    /// Whether it speaks of this request.
    pub fn is_about(&self, entry: &Entry) -> bool {
        self.tags.iter().all(|(tag, value)| match tag {
            Tag::Name => *entry.id.name == **value,
            Tag::Method => entry.id.method == value,
        })
    }

    fn value(&self, totals: &Totals) -> Option<f64> {
        if self.metric == Metric::Dropped {
            return Some(totals.dropped as f64);
        }
        let mut all = Entry::aggregated();
        if self.tags.is_empty() {
            all = totals.all.clone();
        } else {
            totals.entries.iter().filter(|entry| self.is_about(entry)).for_each(|entry| all.merge(entry));
        }
        if all.requests == 0 && self.metric != Metric::Requests {
            return None;
        }
        let times = if self.metric == Metric::Service { all.service() } else { &all.response };
        let seconds = totals.seconds();
        let count = match self.metric {
            Metric::Failed => all.failures as f64 / all.requests as f64,
            Metric::Received => all.bytes as f64,
            _ => all.requests as f64,
        };
        Some(match self.aggregate {
            Aggregate::Avg => times.mean() / 1_000.0,
            Aggregate::Min => times.min() as f64 / 1_000.0,
            Aggregate::Max => times.max() as f64 / 1_000.0,
            Aggregate::Percentile(p) => times.quantile(p / 100.0) as f64 / 1_000.0,
            Aggregate::Count => count,
            Aggregate::Rate if self.metric == Metric::Failed => count,
            Aggregate::Rate => count / seconds.max(1e-9),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.holds { '✓' } else { '✗' };
        match self.value {
            Some(value) => write!(f, "{mark} {} (is {})", self.threshold, (value * 1_000.0).round() / 1_000.0),
            None => write!(f, "{mark} {} (nothing was measured that it speaks of)", self.threshold),
        }
    }
}

fn parse_tags(text: &str) -> Option<Vec<(Tag, String)>> {
    let tag = |part: &str| {
        let (tag, value) = part.split_once(':')?;
        let tag = match tag.trim() {
            "name" => Tag::Name,
            "method" => Tag::Method,
            _ => return None,
        };
        Some((tag, value.trim().to_owned()))
    };
    text.split(',').map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k6s_grammar() {
        for text in [
            "http_req_duration: p(95)<200",
            "http_req_duration{name:/items/{{id}},method:GET}: p(99.9) <= 1e3",
            "http_req_failed: rate<0.01 abort after 10s",
            "http_reqs: count>=10",
            "http_req_service: med===5 abort",
        ] {
            assert!(Threshold::parse(text).is_ok(), "{text}");
        }
        let parsed = Threshold::parse("http_req_failed: rate<0.01 abort after 10s").unwrap();
        assert_eq!((parsed.limit, parsed.abort), (0.01, Some(Duration::from_secs(10))));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, why) in [
            ("p(95)<200", "no colon"),
            ("http_req_time: p(95)<200", "nobody knows"),
            ("http_req_duration: rate<200", "does not have"),
            ("http_req_duration: p(101)<200", "aggregate"),
            ("http_req_duration: p(95)=<200", "operator"),
            ("http_req_duration: p(95)<fast", "no number"),
            ("http_req_duration{color:red}: p(95)<1", "tags"),
        ] {
            let error = Threshold::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
