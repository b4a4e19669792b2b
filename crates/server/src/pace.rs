//! How long a connection may take over what its peer has to do: to finish a request's head, and to begin another one.
//!
//! hyper's own time-out for heads also ends connections that rest between two requests, which workers do between
//! heartbeats, and sets a timer a request. Here it is a timer a connection, which looks again when it is due. A WebSocket
//! has its own pings and is none of this: a connection that was upgraded is not looked at any more. Whoever is too slow
//! is cut off without an answer: its request was never whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The bounds, from the options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// From the last byte of an answer to the first of the next head.
    pub(crate) rest: Duration,
}

/// Where a connection stands between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is asked; what was answered may still be on its way out.
    Rests,
    /// A head is coming in.
    Head,
    /// A request is being answered.
    Answers,
}

/// What a peer was too slow with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slow {
    /// With the head of its request.
    Head,
    /// With its next request.
    Next,
}

/// The pace of one connection. Looked at and changed by one task only, the connection's, so nothing is ordered by it.
#[derive(Debug)]
pub(crate) struct Pace {
    opened: Instant,
    /// The phase in the two low bits, above them its beginning in milliseconds since the connection was opened.
    state: AtomicU64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { opened: Instant::now(), state: AtomicU64::new(Phase::Rests as u64) }
    }

    fn enter(&self, phase: Phase) {
        let since = self.opened.elapsed().as_millis() as u64;
        self.state.store(since << 2 | phase as u64, Ordering::Relaxed);
    }

    fn state(&self) -> (Phase, Instant) {
        let state = self.state.load(Ordering::Relaxed);
        let phase = match state & 3 {
            0 => Phase::Rests,
            1 => Phase::Head,
            _ => Phase::Answers,
        };
        (phase, self.opened + Duration::from_millis(state >> 2))
    }

    fn phase(&self) -> Phase {
        self.state().0
    }

    /// Bytes came in.
    pub(crate) fn read(&self) {
        if self.phase() == Phase::Rests {
            self.enter(Phase::Head);
        }
    }

    /// Bytes went out.
    pub(crate) fn wrote(&self) {
        if self.phase() == Phase::Rests {
            self.enter(Phase::Rests);
        }
    }

    /// A head is whole.
    pub(crate) fn asked(&self) {
        self.enter(Phase::Answers);
    }

    /// There is an answer.
    pub(crate) fn answered(&self) {
        self.enter(Phase::Rests);
    }

    /// Returns when the peer is too slow.
    pub(crate) async fn too_slow(&self, bounds: Bounds) -> Slow {
        loop {
            let now = Instant::now();
            let (phase, since) = self.state();
            let due = match look(phase, since, now, bounds) {
                Ok(due) => due,
                Err(slow) => return slow,
            };
            // Never earlier than the clock's next step, lest this loop spin.
            tokio::time::sleep_until(due.max(now + Duration::from_millis(1))).await;
        }
    }
}

/// When to look again, or what the peer was too slow with.
fn look(phase: Phase, since: Instant, now: Instant, bounds: Bounds) -> Result<Instant, Slow> {
    match phase {
        Phase::Head if since + bounds.head <= now => Err(Slow::Head),
        Phase::Rests if since + bounds.rest <= now => Err(Slow::Next),
        Phase::Head => Ok(since + bounds.head),
        // A head may begin meanwhile, and is due before the rest is over.
        Phase::Rests => Ok((since + bounds.rest).min(now + bounds.head)),
        Phase::Answers => Ok(now + bounds.head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_rests_have_bounds_and_answers_none() {
        let bounds = Bounds { head: Duration::from_secs(15), rest: Duration::from_secs(120) };
        let since = Instant::now();
        let after = |phase, seconds| {
            let now = since + Duration::from_secs(seconds);
            look(phase, since, now, bounds).map(|due| (due - since).as_secs())
        };
        assert_eq!(after(Phase::Head, 10), Ok(15));
        assert_eq!(after(Phase::Head, 15), Err(Slow::Head));
        assert_eq!(after(Phase::Rests, 100), Ok(115));
        assert_eq!(after(Phase::Rests, 119), Ok(120));
        assert_eq!(after(Phase::Rests, 120), Err(Slow::Next));
        assert_eq!(after(Phase::Answers, 1_000), Ok(1_015));
    }

    #[test]
    fn bytes_begin_a_head_only_between_two_requests() {
        let pace = Pace::new();
        assert_eq!(pace.phase(), Phase::Rests);
        pace.read();
        assert_eq!(pace.phase(), Phase::Head);
        pace.asked();
        pace.read();
        pace.wrote();
        assert_eq!(pace.phase(), Phase::Answers);
        pace.answered();
        pace.wrote();
        assert_eq!(pace.phase(), Phase::Rests);
    }
}
