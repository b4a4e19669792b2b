//! Users: the trait for those written in Rust, and the life of any of them from spawn to stop.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::client::Client;
use super::script::{Part, ScriptUser};
use super::shard::Shard;
use crate::scenario::plan::Behaviour;
use crate::scenario::wait::Wait;

/// What a user's method answers. Users live on one thread, so nothing in it needs to be `Send`.
pub type Step<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A class of users in Rust.
///
/// ```
/// use regatta_load::engine::client::Client;
/// use regatta_load::engine::user::{Step, User, UserClass};
///
/// struct Reader;
/// impl User for Reader {
///     fn task<'a>(&'a mut self, client: &'a mut Client) -> Step<'a> {
///         Box::pin(async move {
///             // What fails is counted already.
///             let _ = client.get("/items").await;
///         })
///     }
/// }
///
/// #[derive(Debug)]
/// struct Readers;
/// impl UserClass for Readers {
///     fn user(&self, _number: u64) -> Box<dyn User> {
///         Box::new(Reader)
///     }
/// }
/// ```
pub trait UserClass: fmt::Debug + Send + Sync {
    /// A new user; numbers begin at 1.
    fn user(&self, number: u64) -> Box<dyn User>;
}

/// A user in Rust.
pub trait User {
    /// First.
    fn on_start<'a>(&'a mut self, _client: &'a mut Client) -> Step<'a> {
        Box::pin(std::future::ready(()))
    }

    /// Again and again.
    fn task<'a>(&'a mut self, client: &'a mut Client) -> Step<'a>;

    /// Last, also when the run is stopped.
    fn on_stop<'a>(&'a mut self, _client: &'a mut Client) -> Step<'a> {
        Box::pin(std::future::ready(()))
    }
}

/// Cleaning up may take so long.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// How far a user may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leash {
    Free,
    /// To the end of its task.
    AfterTask,
    /// No further, but it cleans up.
    Now,
    /// No further at all.
    Gone,
}

/// What stops a user.
#[derive(Debug)]
pub(super) struct Control {
    leash: Cell<Leash>,
    waker: RefCell<Option<Waker>>,
}

impl Control {
    pub fn new() -> Rc<Self> {
        Rc::new(Self { leash: Cell::new(Leash::Free), waker: RefCell::new(None) })
    }

    /// Shortens the leash; it never gets longer.
    pub fn shorten(&self, leash: Leash) {
        if leash > self.leash.get() {
            self.leash.set(leash);
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Runs `work` unless and until the leash is this short; `None` when it was cut off.
    async fn until<T>(&self, leash: Leash, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| {
            if self.leash.get() >= leash {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// Either kind.
enum Either {
    Script(ScriptUser),
    Rust(Box<dyn User>),
}

impl Either {
    async fn run(&mut self, client: &mut Client, part: Part) {
        match self {
            Self::Script(user) => user.run(client, part).await,
            Self::Rust(user) => match part {
                Part::OnStart => user.on_start(client).await,
                Part::Task => user.task(client).await,
                Part::OnStop => user.on_stop(client).await,
            },
        }
    }
}

/// Takes a user out of those that are there, however it ends: a run waits for all of them.
struct Present {
    shard: Rc<Shard>,
    class: usize,
    number: u64,
    ended: bool,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.shard.gone(self.class, self.number);
        // The panic itself is told on standard error; here it must not be missed in the reports. Whoever is dropped
        // with its whole thread is in no report any more.
        if !self.ended
            && let Ok(mut meter) = self.shard.meter.try_borrow_mut()
        {
            let class = &self.shard.plan.classes[self.class].name;
            meter.exception("a user has panicked, and is gone".to_owned(), class.clone());
        }
    }
}

/// The life of a user.
pub(super) async fn live(shard: Rc<Shard>, class: usize, number: u64, control: Rc<Control>) {
    let mut present = Present { shard: Rc::clone(&shard), class, number, ended: false };
    let mut client = Client::new(Rc::clone(&shard), number);
    let wait = shard.plan.classes[class].wait;
    let mut user = match &shard.plan.classes[class].behaviour {
        Behaviour::Rust(rust) => Either::Rust(rust.user(number)),
        Behaviour::Script(_) => Either::Script(ScriptUser::new(Rc::clone(&shard), class)),
    };
    {
        let work = pin!(async {
            user.run(&mut client, Part::OnStart).await;
            let most = shard.plan.limits.iterations.unwrap_or(u64::MAX);
            while control.leash.get() == Leash::Free && client.iteration < most {
                if let Some(arrivals) = &shard.arrivals {
                    let Some(intended) =
                        control.until(Leash::AfterTask, pin!(client.attend(pin!(arrivals.next(class))))).await
                    else {
                        break;
                    };
                    client.intended = Some(intended);
                }
                client.iteration += 1;
                let began = Instant::now();
                user.run(&mut client, Part::Task).await;
                client.intended = None;
                shard.meter.borrow_mut().iterations += 1;
                if shard.arrivals.is_some() {
                    continue;
                }
                let pause = wait.after(began.elapsed());
                if !pause.is_zero() {
                    if control
                        .until(Leash::AfterTask, pin!(client.attend(pin!(tokio::time::sleep(pause)))))
                        .await
                        .is_none()
                    {
                        break;
                    }
                } else if wait != Wait::None {
                    // Late already: others may still go first.
                    tokio::task::yield_now().await;
                }
            }
        });
        control.until(Leash::Now, work).await;
    }
    client.intended = None;
    let clean_up = pin!(tokio::time::timeout(CLEAN_UP, user.run(&mut client, Part::OnStop)));
    let _ = control.until(Leash::Gone, clean_up).await;
    present.ended = true;
}
