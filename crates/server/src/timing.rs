//! `Server-Timing` (W3C): where the time of a request went, in milliseconds.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use regatta_engine::timing::Stages;

pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The header of a request that took `total`: the stages the engine booked, the writing of the answer (`ser`), and
/// everything else (`app`), which add up to the total.
pub(crate) fn header(stages: Stages, ser: Duration, total: Duration) -> HeaderValue {
    let stages = [
        ("queue", stages.queue),
        ("pool", stages.pool),
        ("db", stages.db),
        ("commit", stages.commit),
        ("cache", stages.cache),
        ("ser", Some(ser).filter(|time| !time.is_zero())),
    ];
    // A bulk call does several things at once; of their times each gets its share of what has passed.
    let sum: Duration = stages.iter().filter_map(|(_, time)| *time).sum();
    let share = if sum > total { total.as_secs_f64() / sum.as_secs_f64() } else { 1.0 };
    let mut text = String::with_capacity(128);
    let mut rest = total;
    for (name, time) in stages {
        if let Some(time) = time {
            let time = if share < 1.0 { time.mul_f64(share) } else { time };
            rest = rest.saturating_sub(time);
            add(&mut text, name, time);
        }
    }
    add(&mut text, "app", rest);
    add(&mut text, "total", total);
    HeaderValue::from_str(text.trim_end_matches(", ")).unwrap_or(HeaderValue::from_static(""))
}

fn add(text: &mut String, name: &str, time: Duration) {
    let micros = time.as_micros();
    // Writing to a string cannot fail.
    let _ = write!(text, "{name};dur={}.{:03}, ", micros / 1_000, micros % 1_000);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_add_up_to_the_total() {
        let stages = Stages {
            queue: Some(Duration::from_micros(1_500)),
            commit: Some(Duration::from_micros(20)),
            ..Stages::default()
        };
        let header = header(stages, Duration::from_micros(7), Duration::from_micros(2_000));
        assert_eq!(
            header.to_str().unwrap(),
            "queue;dur=1.500, commit;dur=0.020, ser;dur=0.007, app;dur=0.473, total;dur=2.000"
        );
    }

    #[test]
    fn stages_that_ran_side_by_side_add_up_too() {
        let stages = Stages {
            queue: Some(Duration::from_millis(30)),
            commit: Some(Duration::from_millis(10)),
            ..Stages::default()
        };
        let header = header(stages, Duration::ZERO, Duration::from_millis(4));
        assert_eq!(header.to_str().unwrap(), "queue;dur=3.000, commit;dur=1.000, app;dur=0.000, total;dur=4.000");
    }
}
