//! `Server-Timing` (W3C): where the time of a request went, in milliseconds.

use std::time::Duration;

use bytes::Bytes;
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
    let mut text = Vec::with_capacity(160);
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
    text.truncate(text.len() - 2);
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

/// By hand: it is written for every answer, and formatting costs more than the rest of this module.
fn add(text: &mut Vec<u8>, name: &str, time: Duration) {
    let mut micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut digits = [b'0'; 24];
    let mut first = digits.len();
    for place in 0.. {
        if place == 3 {
            first -= 1;
            digits[first] = b'.';
        }
        first -= 1;
        digits[first] = b'0' + (micros % 10) as u8;
        micros /= 10;
        if micros == 0 && place >= 3 {
            break;
        }
    }
    for part in [name.as_bytes(), b";dur=", &digits[first..], b", "] {
        text.extend_from_slice(part);
    }
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
