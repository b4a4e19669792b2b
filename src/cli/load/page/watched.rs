//! What is worked out of each second for those who look, and not at all while nobody does.

use std::time::{Duration, Instant};

/// So long after it was asked for, it is worked out of each second: a page asks once a second, and one in the background
/// somewhat less often.
const WATCHED: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Watched<T> {
    value: T,
    /// Whether it is of the last second.
    fresh: bool,
    asked: Option<Instant>,
}

impl<T> Watched<T> {
    pub fn new(value: T) -> Self {
        Self { value, fresh: true, asked: None }
    }

    /// It is this now.
    pub fn set(&mut self, value: T) {
        self.value = value;
        self.fresh = true;
    }

    /// A second has passed.
    pub fn second(&mut self, now: Instant, work: impl FnOnce() -> T) {
        if self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < WATCHED) {
            self.set(work());
        } else {
            self.fresh = false;
        }
    }

    /// Somebody looks. Nothing where it is old: then the next second has it.
    pub fn look(&mut self, now: Instant) -> Option<&T> {
        self.asked = Some(now);
        self.fresh.then_some(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_worked_out_while_somebody_looks_and_never_old() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut worked = 0;
        let mut watched = Watched::new(0);
        assert_eq!(watched.look(at(0)), Some(&0), "what it began with is as good as new");
        for second in 1..=100 {
            watched.second(at(second), || {
                worked += 1;
                second
            });
        }
        assert_eq!(worked, 4, "as long as somebody may still be looking");
        assert_eq!(watched.look(at(100)), None);
        watched.second(at(101), || 101);
        assert_eq!(watched.look(at(101)), Some(&101));
        (102..200).for_each(|second| watched.second(at(second), || second));
        watched.set(7);
        assert_eq!(watched.look(at(300)), Some(&7), "the end of a run stays");
    }
}
