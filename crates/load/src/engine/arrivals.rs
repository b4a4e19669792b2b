//! The open model: tasks begin when they are due, whether or not earlier ones have ended.
//!
//! A thread keeps its own share of the arrivals. One that is due waits for a free user of its class, and a new user is
//! made while there may be more; its latency counts from the moment at which it was due, so a server that stalls is
//! seen by all who would have asked it meanwhile (coordinated omission: Gil Tene, "How NOT to measure latency").

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// So many arrivals of a class wait for a user at most; more are dropped.
const BACKLOG: usize = 100_000;

/// How many tasks a second begin, over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Tasks a second at the beginning.
    start: f64,
    /// How long it takes to get, evenly, to so many a second.
    stages: Vec<(Duration, f64)>,
    /// Whether it goes on at the last rate.
    endless: bool,
}

impl Profile {
    /// Always the same rate.
    ///
    /// # Errors
    /// When it is not above 0.
    pub fn constant(rate: f64) -> Result<Self, String> {
        if rate.is_finite() && rate > 0.0 {
            return Ok(Self { start: rate, stages: Vec::new(), endless: true });
        }
        Err(format!("{rate} is no arrival rate: it is a number of tasks a second above 0"))
    }

    /// From a rate over stages of `(how long, up or down to)`.
    ///
    /// # Errors
    /// When a rate is below 0, or all are 0.
    pub fn stages(start: f64, stages: Vec<(Duration, f64)>) -> Result<Self, String> {
        let rates = || stages.iter().map(|(_, rate)| *rate).chain([start]);
        if rates().any(|rate| !rate.is_finite() || rate < 0.0) || rates().all(|rate| rate == 0.0) {
            return Err("the stages need rates of 0 or more tasks a second, and one above 0".to_owned());
        }
        Ok(Self { start, stages, endless: false })
    }

    /// How long it lasts; `None` without an end.
    pub fn length(&self) -> Option<Duration> {
        (!self.endless).then(|| self.stages.iter().map(|(length, _)| *length).sum())
    }

    /// When the n-th task is due, counted from 0; `None` after the last. The rate is a line over each stage, so the
    /// count is a parabola, which is solved for its time.
    pub fn due(&self, n: u64) -> Option<Duration> {
        let (mut begin, mut count, mut rate) = (0.0, 0.0, self.start);
        let n = n as f64;
        for (length, to) in &self.stages {
            let length = length.as_secs_f64();
            let within = (rate + to) / 2.0 * length;
            if n < count + within {
                let (left, slope) = (n - count, (to - rate) / length);
                // slope/2 t^2 + rate t = left, in the form that stays exact when the slope is small.
                let root = (rate * rate + 2.0 * slope * left).max(0.0).sqrt();
                return Some(Duration::from_secs_f64(
                    begin + if left > 0.0 { 2.0 * left / (rate + root) } else { 0.0 },
                ));
            }
            (begin, count, rate) = (begin + length, count + within, *to);
        }
        self.endless.then(|| Duration::from_secs_f64(begin + (n - count) / rate))
    }
}

/// Arrivals of one thread that wait for users, and users that wait for arrivals.
#[derive(Debug)]
pub(super) struct Arrivals {
    classes: RefCell<Vec<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    due: VecDeque<Instant>,
    idle: Vec<(Rc<Cell<bool>>, Waker)>,
}

/// What became of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A free user takes it.
    ByIdle,
    /// It waits: everybody is busy.
    Waits,
    /// Too many wait.
    Dropped,
}

impl Arrivals {
    pub fn new(classes: usize) -> Self {
        Self { classes: RefCell::new((0..classes).map(|_| Queue::default()).collect()) }
    }

    /// The next arrival of a class.
    pub async fn next(&self, class: usize) -> Instant {
        let listed = Rc::new(Cell::new(false));
        poll_fn(|cx| {
            let queue = &mut self.classes.borrow_mut()[class];
            if let Some(due) = queue.due.pop_front() {
                // Listed and yet not woken: it must not be given an arrival that it does not wait for.
                if listed.replace(false) {
                    queue.idle.retain(|(other, _)| !Rc::ptr_eq(other, &listed));
                }
                return Poll::Ready(due);
            }
            if !listed.replace(true) {
                queue.idle.push((Rc::clone(&listed), cx.waker().clone()));
            }
            Poll::Pending
        })
        .await
    }

    /// One is due.
    pub fn push(&self, class: usize, due: Instant) -> Taken {
        let queue = &mut self.classes.borrow_mut()[class];
        if queue.due.len() >= BACKLOG {
            return Taken::Dropped;
        }
        queue.due.push_back(due);
        while let Some((listed, waker)) = queue.idle.pop() {
            listed.set(false);
            // Whoever stopped waiting has dropped its half.
            if Rc::strong_count(&listed) > 1 {
                waker.wake();
                return Taken::ByIdle;
            }
        }
        Taken::Waits
    }
}

/// A timer finer than the runtime's, which has steps of a millisecond.
#[derive(Debug)]
pub(super) struct Pacer(AsyncFd<OwnedFd>);

impl Pacer {
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the descriptor is owned by the `AsyncFd` from here on, as an `OwnedFd`: it is valid, answers with the
        // same number every time, and is closed only when both are dropped.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }.map_err(io::Error::from)?;
        Ok(Self(timer))
    }

    /// Waits until then.
    pub async fn until(&self, then: Instant) -> io::Result<()> {
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        timerfd_settime(
            self.0.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        )?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(self.0.get_ref(), &mut expirations) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(profile: &Profile, n: u64) -> Option<u128> {
        profile.due(n).map(|due| due.as_millis())
    }

    #[test]
    fn a_constant_rate() {
        let profile = Profile::constant(100.0).unwrap();
        assert_eq!((millis(&profile, 0), millis(&profile, 1), millis(&profile, 250)), (Some(0), Some(10), Some(2_500)));
        assert!(Profile::constant(0.0).is_err() && Profile::constant(f64::NAN).is_err());
    }

    #[test]
    fn stages_are_ramps() {
        // Up from 0 to 100 in 2 s: 100 tasks; then 1 s at 100; then down to 0 in 2 s: 100 more.
        let second = Duration::from_secs(1);
        let profile = Profile::stages(0.0, vec![(2 * second, 100.0), (second, 100.0), (2 * second, 0.0)]).unwrap();
        assert_eq!(profile.length(), Some(5 * second));
        assert_eq!(
            (millis(&profile, 0), millis(&profile, 25), millis(&profile, 100)),
            (Some(0), Some(1_000), Some(2_000))
        );
        assert_eq!((millis(&profile, 150), millis(&profile, 300)), (Some(2_500), None));
        let times: Vec<_> = (0..300).map(|n| profile.due(n).unwrap()).collect();
        assert!(times.is_sorted() && times[299] < 5 * second);
        // Down: as the way up, mirrored.
        assert_eq!(millis(&profile, 275), Some(4_000));
    }

    #[tokio::test(flavor = "local")]
    async fn arrivals_find_users_and_users_arrivals() {
        let arrivals = Rc::new(Arrivals::new(1));
        let now = Instant::now();
        assert_eq!(arrivals.push(0, now), Taken::Waits);
        assert_eq!(arrivals.next(0).await, now);
        let waiting = tokio::task::spawn_local({
            let arrivals = Rc::clone(&arrivals);
            async move { arrivals.next(0).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(arrivals.push(0, now), Taken::ByIdle);
        assert_eq!(waiting.await.unwrap(), now);
    }
}
