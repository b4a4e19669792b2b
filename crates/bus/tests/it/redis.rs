//! The bus over Redis: the suite on one node, and across two; then what Redis may do to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regatta_bus::redis::{Options, RedisTransport};
use regatta_bus::{Bus, BusHealth, Delivery, NodeListener, RelayBus, Subscriber, Topic};
use regatta_model::LaneKey;
use regatta_model::TaskId;
use regatta_model::ledger::{Effects, ProgressChange};
use regatta_model::task::Progress;
use regatta_services::{Proxy, Redis, RedisPlace, redis};
use uuid::Uuid;

use crate::conformance;
use crate::make::{events, lanes, line, log_event, task_event, task_topic};

/// More than any case publishes at once.
const WAITING: usize = 100_000;

/// A prefix that nothing else in a Redis has.
fn prefix() -> String {
    format!("test-{}", Uuid::now_v7())
}

fn node(url: &str, prefix: &str) -> RelayBus {
    let options = Options { prefix: prefix.to_owned(), check_every: Duration::from_millis(200), ..Options::default() };
    RelayBus::with_room(Arc::new(RedisTransport::start(url, options).unwrap()), WAITING)
}

/// Waits until what `from` says is heard at `to`, and takes what came of it away. Lane numbers below zero are the tests' own.
async fn until_heard(from: &dyn Bus, to: &dyn Bus) {
    let mut heard = to.nodes();
    let mut number = -1;
    loop {
        from.publish(lanes([number]));
        let news = tokio::time::timeout(Duration::from_millis(100), heard.next()).await;
        if news.is_ok_and(|news| news.lanes.iter().any(|lane| lane.0 < 0)) {
            break;
        }
        number -= 1;
    }
    // Those before it have come, or never will: one that is known to be the last.
    from.publish(lanes([i64::MIN]));
    while !heard.next().await.lanes.contains(&LaneKey(i64::MIN)) {}
}

/// Publishes at one node and listens at another.
struct Across {
    here: RelayBus,
    there: RelayBus,
    _redis: RedisPlace,
}

#[async_trait]
impl Bus for Across {
    fn kind(&self) -> &'static str {
        self.here.kind()
    }
    fn publish(&self, effects: Arc<Effects>) {
        self.here.publish(effects);
    }
    fn subscribe(&self, capacity: usize) -> Subscriber {
        self.there.subscribe(capacity)
    }
    fn nodes(&self) -> NodeListener {
        self.there.nodes()
    }
    async fn progress(&self, task: TaskId) -> Option<Progress> {
        self.there.progress(task).await
    }
    fn put_progress(&self, changes: &[ProgressChange]) {
        self.here.put_progress(changes);
    }
    fn watchers(&self, task: TaskId) -> usize {
        self.there.watchers(task)
    }
    async fn health(&self) -> BusHealth {
        self.there.health().await
    }
}

async fn across(test: &str) -> Option<Across> {
    let redis = redis(test)?;
    let prefix = prefix();
    let (here, there) = (node(&redis.url, &prefix), node(&redis.url, &prefix));
    until_heard(&here, &there).await;
    until_heard(&there, &here).await;
    Some(Across { here, there, _redis: redis })
}

/// The same pair, asked at the node that publishes, which hears itself from Redis too.
struct Own(Across);

#[async_trait]
impl Bus for Own {
    fn kind(&self) -> &'static str {
        self.0.here.kind()
    }
    fn publish(&self, effects: Arc<Effects>) {
        self.0.here.publish(effects);
    }
    fn subscribe(&self, capacity: usize) -> Subscriber {
        self.0.here.subscribe(capacity)
    }
    fn nodes(&self) -> NodeListener {
        self.0.here.nodes()
    }
    async fn progress(&self, task: TaskId) -> Option<Progress> {
        self.0.here.progress(task).await
    }
    fn put_progress(&self, changes: &[ProgressChange]) {
        self.0.here.put_progress(changes);
    }
    fn watchers(&self, task: TaskId) -> usize {
        self.0.here.watchers(task)
    }
    async fn health(&self) -> BusHealth {
        self.0.here.health().await
    }
}

conformance::suite_without_cache!(one_node, across("the bus over Redis, one node").await.map(Own));
conformance::suite_without_cache!(two_nodes, across("the bus over Redis, two nodes").await);

/// What comes next, without the words that something may have been lost.
async fn next(subscriber: &mut Subscriber) -> String {
    loop {
        match subscriber.next().await {
            Delivery::Resync => {}
            delivery => return line(&delivery),
        }
    }
}

/// Until the bus says that it works, or that it does not.
async fn until_connected(bus: &dyn Bus, connected: bool) {
    while bus.health().await.connected != connected {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Breaks it and heals it; `loses` where what is said meanwhile cannot come through late.
async fn breaks_and_heals(
    here: &RelayBus,
    there: &RelayBus,
    loses: bool,
    break_it: impl AsyncFnOnce(),
    heal: impl AsyncFnOnce(),
) {
    let mut own = here.subscribe(10_000);
    own.add(task_topic(1));
    let mut other = there.subscribe(10_000);
    other.add(task_topic(1));
    let mut news = there.nodes();
    break_it().await;
    until_connected(here, false).await;
    // Nobody waits for Redis: a node's own watchers hear at once.
    for seq in 1..=100 {
        here.publish(events([log_event(1, seq)]));
        assert_eq!(next(&mut own).await, format!("log 1.{seq}"));
    }
    heal().await;
    until_connected(here, true).await;
    until_connected(there, true).await;
    until_heard(here, there).await;
    here.publish(events([task_event(1, 101)]));
    // The others hear all of it, or are told to read again, watchers and engines.
    let (mut last, mut told) = (0, false);
    while last < 101 {
        match other.next().await {
            Delivery::Resync => told = true,
            delivery => {
                let seq = line(&delivery).rsplit_once('.').unwrap().1.parse().unwrap();
                assert!(told || seq == last + 1, "{seq} after {last}");
                last = seq;
            }
        }
    }
    assert!(told || !loses, "everything was lost");
    if told {
        while !news.next().await.resync {}
    }
    // Its own watchers heard it once.
    assert_eq!(next(&mut own).await, "task 1.101");
    here.publish(events([task_event(1, 102)]));
    assert_eq!(next(&mut own).await, "task 1.102");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_empty() {
    let Some(redis) = Redis::start("a Redis that is killed") else { return };
    let redis = std::cell::RefCell::new(redis);
    let url = redis.borrow().url();
    let (here, there) = (node(&url, "regatta"), node(&url, "regatta"));
    until_heard(&here, &there).await;
    let (stop, resume) = (|| redis.borrow_mut().stop(), || redis.borrow_mut().resume());
    breaks_and_heals(&here, &there, true, async || stop(), async || resume()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_not_answer() {
    let Some(redis) = Redis::start("a Redis that does not answer") else { return };
    let url = redis.url();
    let (here, there) = (node(&url, "regatta"), node(&url, "regatta"));
    until_heard(&here, &there).await;
    breaks_and_heals(&here, &there, false, async || redis.freeze(), async || redis.thaw()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_redis() {
    let Some(redis) = Redis::start("a node that is cut off") else { return };
    for partition in [true, false] {
        let proxy = Proxy::to(redis.port());
        let prefix = prefix();
        let (here, there) = (node(&redis.url_at(proxy.port()), &prefix), node(&redis.url(), &prefix));
        until_heard(&here, &there).await;
        let cut = async || if partition { proxy.partition() } else { proxy.refuse() };
        breaks_and_heals(&here, &there, false, cut, async || proxy.heal()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_there_when_redis_is_not_yet() {
    let Some(mut redis) = Redis::start("a Redis that comes late") else { return };
    redis.stop();
    let (here, there) = (node(&redis.url(), "regatta"), node(&redis.url(), "regatta"));
    assert!(!here.health().await.connected);
    let mut own = here.subscribe(8);
    own.add(Topic::Tasks);
    here.publish(events([task_event(1, 1)]));
    assert_eq!(next(&mut own).await, "task 1.1");
    redis.resume();
    until_heard(&here, &there).await;
    assert!(here.health().await.connected && here.health().await.latency.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_redis_does_not_grow() {
    let Some(redis) = Redis::start("what is in Redis") else { return };
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut ask = client.get_multiplexed_async_connection().await.unwrap();
    let options = |prefix: &str| Options {
        prefix: prefix.to_owned(),
        check_every: Duration::from_millis(100),
        present_for: Duration::from_millis(400),
    };
    let start = |prefix| RelayBus::over(Arc::new(RedisTransport::start(&redis.url(), options(prefix)).unwrap()));
    let (here, there) = (start("regatta"), start("regatta"));
    until_heard(&here, &there).await;
    let mut keys = async || -> Vec<String> { ::redis::cmd("KEYS").arg("*").query_async(&mut ask).await.unwrap() };
    while keys().await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for task in 0..1_000 {
        here.publish(events([task_event(task, 1), log_event(task, 2), task_event(task, 3)]));
        here.put_progress(&[crate::make::counters(task, 3)]);
    }
    until_heard(&here, &there).await;
    let kept = keys().await;
    assert!(kept.len() == 2 && kept.iter().all(|key| key.starts_with("regatta:node:")), "{kept:?}");
    // A node that is gone takes its key with it, a little later; one that is up stays.
    drop(here);
    while keys().await.len() > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(keys().await.len(), 1);
    let clients: String = ::redis::cmd("CLIENT").arg("LIST").query_async(&mut ask).await.unwrap();
    // Two of the node, and ours.
    assert!(clients.lines().count() <= 3, "{clients}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn platforms_on_one_redis_hear_only_themselves() {
    let Some(redis) = Redis::start("platforms on one Redis") else { return };
    let (one, other) = (node(&redis.url(), "one"), node(&redis.url(), "other"));
    let (one_too, other_too) = (node(&redis.url(), "one"), node(&redis.url(), "other"));
    until_heard(&one, &one_too).await;
    until_heard(&other, &other_too).await;
    let mut heard = other.nodes();
    one.publish(lanes([7]));
    until_heard(&one, &one_too).await;
    other_too.publish(lanes([8]));
    assert_eq!(heard.next().await.lanes.into_iter().collect::<Vec<_>>(), [LaneKey(8)]);
}

#[tokio::test]
async fn a_wrong_password_is_no_connection_and_is_not_told() {
    let Some(redis) = Redis::start("a wrong password") else { return };
    let url = format!("redis://:wrong-secret@127.0.0.1:{}", redis.port());
    let bus = node(&url, "regatta");
    assert!(!bus.health().await.connected);
    let error = regatta_bus::redis::check("http://:wrong-secret@h").unwrap_err();
    assert!(!error.contains("wrong-secret"), "{error}");
}
