//! A thread of users: its own runtime, users, connections, buffer and meter. Nothing is shared with other threads on the
//! way of a request; once a second it hands over what it measured.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval_at};

use super::arrivals::{Arrivals, Pacer, Profile, Taken};
use super::controller::Message;
use super::meter::Meter;
use super::schedule::Schedule;
use super::user::{Control, Leash, live};
use crate::http::exchange::{self, Buffer};
use crate::http::fault::Fault;
use crate::http::tls;
use crate::scenario::plan::{Plan, RequestName};

/// How often a thread looks whether it runs what is due in time.
const LAG_EVERY: Duration = Duration::from_millis(20);
/// The runtime's timer has steps of this size: so late is punctual.
const TIMER: Duration = Duration::from_millis(2);

/// What a thread is told.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// New users: class and number.
    Spawn(Vec<(usize, u64)>),
    /// These users stop after their task.
    Release(Vec<u64>),
    /// All users stop.
    StopAll(Leash),
    /// What was measured so far does not count; what comes belongs to this epoch.
    Reset(u64),
}

/// What a thread hands over.
#[derive(Debug)]
pub(super) struct Report {
    /// Which thread.
    pub shard: usize,
    /// Which second of the run; seconds of a thread come in order.
    pub second: u64,
    /// After so many resets.
    pub epoch: u64,
    /// What was measured.
    pub meter: Meter,
    /// Users now, by class.
    pub users: Vec<u64>,
    /// The share of a core it used.
    pub cpu: f64,
    /// Nothing follows.
    pub last: bool,
}

/// Ids of requests, over all threads; asked only for a name that a user has not used before.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Vec<RequestName>>);

impl Names {
    pub fn new(known: &[RequestName]) -> Self {
        Self(Mutex::new(known.to_vec()))
    }

    pub fn id(&self, name: &RequestName) -> usize {
        let mut names = self.0.lock();
        names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        })
    }

    pub fn name(&self, id: usize) -> Option<RequestName> {
        self.0.lock().get(id).cloned()
    }
}

/// What the users of a thread share.
#[derive(Debug)]
pub(super) struct Shard {
    pub plan: Arc<Plan>,
    pub addresses: Arc<[SocketAddr]>,
    pub names: Arc<Names>,
    pub buffer: Buffer,
    pub meter: RefCell<Meter>,
    pub arrivals: Option<Arrivals>,
    users: RefCell<HashMap<u64, Rc<Control>>>,
    counts: RefCell<Vec<u64>>,
    leash: Cell<Leash>,
    /// Made when it is first needed, unless the server itself speaks TLS.
    tls: OnceCell<Result<Arc<ClientConfig>, String>>,
    /// Whether requests are sent over HTTP/2, and what secures these connections.
    pub http2: bool,
    tls_http2: OnceCell<Arc<ClientConfig>>,
}

/// What a thread is started with.
pub(super) struct Start {
    pub index: usize,
    pub threads: usize,
    pub plan: Arc<Plan>,
    pub addresses: Arc<[SocketAddr]>,
    pub names: Arc<Names>,
    /// When the run begins: the same for all threads.
    pub begin: Instant,
    pub commands: UnboundedReceiver<Command>,
    pub reports: Sender<Message>,
    /// When the server speaks TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether requests are sent over HTTP/2.
    pub http2: bool,
    /// The open model, and how many users this thread may have.
    pub arrivals: Option<(Profile, usize)>,
}

impl Shard {
    /// What secures connections that speak HTTP/2, or HTTP/1.1.
    pub fn tls(&self, http2: bool) -> Result<&Arc<ClientConfig>, Fault> {
        let config = self.tls.get_or_init(|| tls::config(None)).as_ref().map_err(|why| Fault::Tls(why.clone()))?;
        Ok(if http2 { self.tls_http2.get_or_init(|| tls::for_http2(config)) } else { config })
    }

    /// A user has ended.
    pub fn gone(&self, class: usize, number: u64) {
        self.users.borrow_mut().remove(&number);
        let mut counts = self.counts.borrow_mut();
        counts[class] = counts[class].saturating_sub(1);
    }

    fn spawn(self: &Rc<Self>, class: usize, number: u64) {
        if self.leash.get() > Leash::Free {
            return;
        }
        let control = Control::new();
        self.users.borrow_mut().insert(number, Rc::clone(&control));
        self.counts.borrow_mut()[class] += 1;
        tokio::task::spawn_local(live(Rc::clone(self), class, number, control));
    }

    fn stop_all(&self, leash: Leash) {
        self.leash.set(self.leash.get().max(leash));
        // Who stops takes itself out, but not before it runs again.
        self.users.borrow().values().for_each(|control| control.shorten(leash));
    }

    fn obey(self: &Rc<Self>, command: Command, epoch: &mut u64) {
        match command {
            Command::Spawn(users) => users.into_iter().for_each(|(class, number)| self.spawn(class, number)),
            Command::Release(numbers) => {
                let users = self.users.borrow();
                numbers.iter().filter_map(|number| users.get(number)).for_each(|user| user.shorten(Leash::AfterTask));
            }
            Command::StopAll(leash) => self.stop_all(leash),
            Command::Reset(to) => {
                *epoch = to;
                self.meter.borrow_mut().take();
            }
        }
    }
}

/// The whole life of a thread. A thread that cannot start says so in its last report.
pub(super) fn run(start: Start) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(main(start))
}

async fn main(mut start: Start) -> std::io::Result<()> {
    let classes = start.plan.classes.len();
    let shard = Rc::new(Shard {
        plan: start.plan,
        addresses: start.addresses,
        names: start.names,
        buffer: exchange::buffer(),
        meter: RefCell::new(Meter::default()),
        arrivals: start.arrivals.is_some().then(|| Arrivals::new(classes)),
        users: RefCell::new(HashMap::new()),
        counts: RefCell::new(vec![0; classes]),
        leash: Cell::new(Leash::Free),
        tls: start.tls.map_or_else(OnceCell::new, |connector| OnceCell::from(Ok(connector))),
        http2: start.http2,
        tls_http2: OnceCell::new(),
    });
    if let Some((profile, most)) = start.arrivals {
        let pacer = Pacer::new()?;
        let share = (start.index as u64, start.threads as u64);
        tokio::task::spawn_local(pace(Rc::clone(&shard), pacer, profile, most, start.begin, share));
    }
    tokio::task::spawn_local(watch_lag(Rc::clone(&shard)));

    let second = Duration::from_secs(1);
    let mut ticks = interval_at(tokio::time::Instant::from_std(start.begin + second), second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    // Users that stop are looked for more often than once a second.
    let mut stopping = tokio::time::interval(Duration::from_millis(5));
    stopping.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut number, mut epoch) = (0, 0);
    let mut clock = (Instant::now(), cpu_time());
    loop {
        let last = tokio::select! {
            command = start.commands.recv() => {
                match command {
                    Some(command) => shard.obey(command, &mut epoch),
                    // Whoever led us is gone.
                    None => shard.stop_all(Leash::Gone),
                }
                continue;
            }
            _ = ticks.tick() => false,
            _ = stopping.tick(), if shard.leash.get() > Leash::Free => {
                if !shard.users.borrow().is_empty() {
                    continue;
                }
                true
            }
        };
        let now = (Instant::now(), cpu_time());
        let wall = now.0.duration_since(clock.0).as_secs_f64();
        let cpu = if wall > 0.0 { now.1.saturating_sub(clock.1).as_secs_f64() / wall } else { 0.0 };
        clock = now;
        let meter = shard.meter.borrow_mut().take();
        let users = shard.counts.borrow().clone();
        let report = Report { shard: start.index, second: number, epoch, meter, users, cpu, last };
        number += 1;
        let heard = start.reports.send(Message::Report(Box::new(report))).is_ok();
        if last || !heard {
            return Ok(());
        }
    }
}

/// Starts what is due, in this thread's share of the arrivals.
async fn pace(
    shard: Rc<Shard>,
    pacer: Pacer,
    profile: Profile,
    most: usize,
    begin: Instant,
    (index, threads): (u64, u64),
) {
    let Some(arrivals) = &shard.arrivals else { return };
    let mut classes = Schedule::new(shard.plan.classes.iter().map(|class| class.weight));
    // All threads walk through the same order of classes.
    for _ in 0..index {
        classes.next();
    }
    let mut arrival = index;
    let mut users = 0;
    while let Some(due) = profile.due(arrival) {
        let due = begin + due;
        if pacer.until(due).await.is_err() || shard.leash.get() > Leash::Free {
            return;
        }
        shard.meter.borrow_mut().lateness.record(Instant::now().saturating_duration_since(due));
        let class = classes.next();
        match arrivals.push(class, due) {
            Taken::ByIdle => {}
            Taken::Waits if shard.users.borrow().len() < most => {
                shard.spawn(class, index + 1 + users * threads);
                users += 1;
            }
            Taken::Waits => {}
            Taken::Dropped => shard.meter.borrow_mut().dropped += 1,
        }
        arrival += threads;
        (1..threads).for_each(|_| {
            classes.next();
        });
        // Several may be due at once: users go in between.
        if arrival.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
}

/// Measures how late this thread runs what is due.
async fn watch_lag(shard: Rc<Shard>) {
    loop {
        let due = Instant::now() + LAG_EVERY;
        tokio::time::sleep_until(tokio::time::Instant::from_std(due)).await;
        let late = Instant::now().saturating_duration_since(due).saturating_sub(TIMER);
        shard.meter.borrow_mut().lag.record(late);
    }
}

/// What this thread has used of a core.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
