//! Topics: who gets what, and until when.

use std::sync::Arc;

use regatta_bus::{Bus, Topic};

use crate::make::{
    events, log_event, removed, subtask_event, take, task_event, task_topic, worker_row, worker_topic, workers,
};

pub async fn each_kind_goes_where_it_belongs(bus: Arc<dyn Bus>) {
    let mut list = bus.subscribe(8);
    list.add(Topic::Tasks);
    let mut one = bus.subscribe(8);
    one.add(task_topic(1));
    let mut fleet = bus.subscribe(8);
    fleet.add(Topic::Workers);
    let mut nothing = bus.subscribe(8);
    bus.publish(events([subtask_event(1, 1), log_event(1, 2), task_event(2, 1), task_event(1, 3)]));
    bus.publish(workers([worker_row(1, 0)]));
    bus.publish(events([task_event(1, 4)]));
    assert_eq!(take(&mut list, 3).await, ["task 2.1", "task 1.3", "task 1.4"]);
    assert_eq!(take(&mut one, 4).await, ["subtask 1.1", "log 1.2", "task 1.3", "task 1.4"]);
    assert_eq!(take(&mut fleet, 1).await, ["worker 1.0"]);
    assert!(fleet.try_next().is_none());
    assert!(nothing.try_next().is_none());
}

pub async fn workers_go_to_the_list_and_to_their_own(bus: Arc<dyn Bus>) {
    let mut fleet = bus.subscribe(8);
    fleet.add(Topic::Workers);
    let mut second = bus.subscribe(8);
    second.add(worker_topic(2));
    let mut both = bus.subscribe(8);
    both.add(Topic::Workers);
    both.add(worker_topic(2));
    bus.publish(workers([worker_row(1, 1), worker_row(2, 5)]));
    bus.publish(removed([1]));
    bus.publish(removed([2]));
    assert_eq!(take(&mut fleet, 4).await, ["worker 1.1", "worker 2.5", "removed 1", "removed 2"]);
    assert_eq!(take(&mut second, 2).await, ["worker 2.5", "removed 2"]);
    assert_eq!(take(&mut both, 4).await, ["worker 1.1", "worker 2.5", "removed 1", "removed 2"]);
    assert!(both.try_next().is_none());
}

pub async fn nothing_comes_after_unsubscribing(bus: Arc<dyn Bus>) {
    let mut one = bus.subscribe(8);
    one.add(task_topic(1));
    one.add(task_topic(2));
    let mut witness = bus.subscribe(8);
    witness.add(task_topic(1));
    bus.publish(events([log_event(1, 1)]));
    assert_eq!(take(&mut witness, 1).await, ["log 1.1"]);
    // Also what is queued already: the client was told that it is unsubscribed.
    one.remove(task_topic(1));
    assert!(!one.has(task_topic(1)) && one.has(task_topic(2)));
    bus.publish(events([log_event(1, 2), task_event(1, 3), log_event(2, 1)]));
    assert_eq!(take(&mut one, 1).await, ["log 2.1"]);
    // And a topic can be taken up again.
    one.add(task_topic(1));
    bus.publish(events([log_event(1, 4)]));
    assert_eq!(take(&mut one, 1).await, ["log 1.4"]);
}

pub async fn what_another_topic_asked_for_stays_queued(bus: Arc<dyn Bus>) {
    let mut one = bus.subscribe(8);
    one.add(task_topic(1));
    one.add(Topic::Tasks);
    let mut witness = bus.subscribe(8);
    witness.add(task_topic(1));
    bus.publish(events([log_event(1, 1), task_event(1, 2), log_event(1, 3), task_event(1, 4)]));
    take(&mut witness, 4).await;
    one.remove(task_topic(1));
    assert_eq!(take(&mut one, 2).await, ["task 1.2", "task 1.4"]);
    assert!(one.try_next().is_none());
}

pub async fn health_answers(bus: Arc<dyn Bus>) {
    let health = bus.health().await;
    assert!(health.connected && health.latency.is_some());
    assert!(["embedded", "redis"].contains(&bus.kind()));
}
