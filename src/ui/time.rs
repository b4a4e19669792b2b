//! Times and durations for people.

use std::time::{SystemTime, UNIX_EPOCH};

use regatta_client::api::Time;

/// This machine's clock.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Seconds from one time to another; clocks of two machines may differ, so never less than zero.
pub fn between(from: Time, to: Time) -> f64 {
    (to.as_micros().saturating_sub(from.as_micros()).max(0)) as f64 / 1e6
}

/// A duration in seconds: `0.12 s`, `42 s`, `3 min 5 s`, `2 h 4 min`, `3 days`.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{seconds:.2} s"),
        10..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => match whole / 86_400 {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        },
    }
}

/// How long ago: `just now`, `5 min ago`.
pub fn ago(at: Time, now: Time) -> String {
    let passed = between(at, now) as u64;
    match passed {
        0..5 => "just now".to_owned(),
        5..60 => format!("{passed} s ago"),
        60..3600 => format!("{} min ago", passed / 60),
        3600..86_400 => format!("{} h ago", passed / 3600),
        _ => format!("{} ago", seconds(passed as f64)),
    }
}

/// Date and time in UTC, to the second.
pub fn stamp(at: Time) -> String {
    let text = at.to_string();
    text.get(..19).map_or(text.clone(), |head| format!("{}Z", head.replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let cases =
            [(0.0, "0.00 s"), (9.994, "9.99 s"), (42.06, "42.1 s"), (185.9, "3 min 5 s"), (7500.0, "2 h 5 min")];
        for (given, text) in cases {
            assert_eq!(seconds(given), text);
        }
        assert_eq!(ago(Time::from_micros(0), Time::from_micros(86_400_000_000)), "1 day ago");
        assert_eq!(ago(Time::from_micros(10), Time::from_micros(0)), "just now");
        assert_eq!(stamp(Time::from_micros(0)), "1970-01-01 00:00:00Z");
    }
}
