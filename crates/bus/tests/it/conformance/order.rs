//! Order: each subscriber sees what it subscribed to as it was published.

use std::sync::Arc;

use regatta_bus::{Bus, Topic};

use crate::make::{events, line, log_event, removed, take, task_event, task_topic, worker_row, workers};

pub async fn events_come_in_the_order_of_publishing(bus: Arc<dyn Bus>) {
    let mut one = bus.subscribe(1_000);
    one.add(task_topic(1));
    one.add(Topic::Workers);
    let mut expected = Vec::new();
    for round in 0..50 {
        bus.publish(events([log_event(1, 3 * round + 1), log_event(2, round + 1), task_event(1, 3 * round + 2)]));
        bus.publish(workers([worker_row(1, round as u32)]));
        bus.publish(events([log_event(1, 3 * round + 3)]));
        expected.extend([
            format!("log 1.{}", 3 * round + 1),
            format!("task 1.{}", 3 * round + 2),
            format!("worker 1.{round}"),
            format!("log 1.{}", 3 * round + 3),
        ]);
    }
    bus.publish(removed([1]));
    expected.push("removed 1".into());
    assert_eq!(take(&mut one, expected.len()).await, expected);
}

pub async fn a_waiting_subscriber_is_woken(bus: Arc<dyn Bus>) {
    let mut one = bus.subscribe(8);
    one.add(Topic::Tasks);
    for seq in 1..=100 {
        let waiting = tokio::spawn(async move {
            let delivery = one.next().await;
            (one, line(&delivery))
        });
        tokio::task::yield_now().await;
        bus.publish(events([task_event(1, seq)]));
        let (back, got) = waiting.await.unwrap();
        assert_eq!(got, format!("task 1.{seq}"));
        one = back;
    }
}

pub async fn a_cancelled_wait_loses_nothing(bus: Arc<dyn Bus>) {
    let mut one = bus.subscribe(1_000);
    one.add(Topic::Tasks);
    let mut got = Vec::new();
    for seq in 1..=300 {
        // Polls the wait at least once and gives it up, as a `select!` does when a frame comes from the client.
        tokio::select! {
            biased;
            delivery = one.next() => got.push(line(&delivery)),
            () = tokio::task::yield_now() => {}
        }
        bus.publish(events([task_event(1, seq)]));
    }
    got.extend(take(&mut one, 300 - got.len()).await);
    let expected: Vec<_> = (1..=300).map(|seq| format!("task 1.{seq}")).collect();
    assert_eq!(got, expected);
}
