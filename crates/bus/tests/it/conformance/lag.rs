//! Lag: a subscriber that is too slow loses the oldest, is told how much, and slows nobody.

use std::sync::Arc;

use regatta_bus::{Bus, Topic};

use crate::make::{events, take, task_event};

/// Publishes numbers one by one, waiting for `witness` to see each, so that a bus that delivers late has too.
async fn publish(bus: &Arc<dyn Bus>, witness: &mut regatta_bus::Subscriber, numbers: std::ops::RangeInclusive<u64>) {
    for seq in numbers {
        bus.publish(events([task_event(1, seq)]));
        assert_eq!(take(witness, 1).await, [format!("task 1.{seq}")]);
    }
}

pub async fn a_full_queue_is_counted_and_goes_on_from_the_newest(bus: Arc<dyn Bus>) {
    let mut slow = bus.subscribe(4);
    slow.add(Topic::Tasks);
    let mut witness = bus.subscribe(4);
    witness.add(Topic::Tasks);

    publish(&bus, &mut witness, 1..=4).await;
    assert_eq!(take(&mut slow, 4).await, ["task 1.1", "task 1.2", "task 1.3", "task 1.4"]);

    publish(&bus, &mut witness, 5..=9).await;
    assert_eq!(take(&mut slow, 2).await, ["lagged 4", "task 1.9"]);

    // What is missed in two overflows before the first is told is told once.
    publish(&bus, &mut witness, 10..=20).await;
    assert_eq!(take(&mut slow, 4).await, ["lagged 8", "task 1.18", "task 1.19", "task 1.20"]);

    // What was told is not told again.
    publish(&bus, &mut witness, 21..=21).await;
    assert_eq!(take(&mut slow, 1).await, ["task 1.21"]);
}

pub async fn a_slow_subscriber_harms_no_other(bus: Arc<dyn Bus>) {
    let mut slow = bus.subscribe(1);
    slow.add(Topic::Tasks);
    let mut quick = bus.subscribe(10_000);
    quick.add(Topic::Tasks);
    for seq in 1..=10_000 {
        bus.publish(events([task_event(1, seq)]));
    }
    let expected: Vec<_> = (1..=10_000).map(|seq| format!("task 1.{seq}")).collect();
    assert_eq!(take(&mut quick, 10_000).await, expected);
    assert_eq!(take(&mut slow, 2).await, ["lagged 9999", "task 1.10000"]);
}
