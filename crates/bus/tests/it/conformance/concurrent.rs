//! Many publishers and subscribers at once: each event exactly once, or counted as missed.

use std::collections::HashMap;
use std::sync::Arc;

use regatta_bus::{Body, Bus, Delivery, Subscriber, Topic};

use crate::make::{events, log_event, task_event, task_topic};

const PUBLISHERS: u64 = 4;
const EACH: u64 = 5_000;

/// What one subscriber got until `total` events were delivered or counted.
async fn account(mut subscriber: Subscriber, total: u64, pause_every: u64) -> (Subscriber, u64, u64) {
    let (mut got, mut missed) = (0, 0);
    let mut last: HashMap<i64, u64> = HashMap::new();
    while got + missed < total {
        match subscriber.next().await {
            Delivery::Notice(notice) => {
                let Body::Event(event) = &notice.body else { panic!("only events were published") };
                let before = last.insert(event.task.key.0, event.seq).unwrap_or(0);
                assert!(event.seq > before, "{} after {before} of task {}", event.seq, event.task.key.0);
                got += 1;
            }
            Delivery::Lagged(count) => missed += count,
            Delivery::Resync => panic!("nothing was interrupted"),
        }
        if (got + missed) % pause_every == 0 {
            tokio::task::yield_now().await;
        }
    }
    (subscriber, got, missed)
}

pub async fn each_event_once_or_counted(bus: Arc<dyn Bus>) {
    // Publisher p tells of task p: task events at odd numbers, log lines at even ones.
    let of_tasks = PUBLISHERS * EACH / 2;
    let mut accounts = Vec::new();
    for (capacity, pause_every) in [(1, 1), (2, 3), (16, 1), (256, 64), (100_000, 1_000)] {
        let mut list = bus.subscribe(capacity);
        list.add(Topic::Tasks);
        accounts.push((capacity, of_tasks, tokio::spawn(account(list, of_tasks, pause_every))));

        let mut everything = bus.subscribe(capacity);
        everything.add(Topic::Tasks);
        (0..PUBLISHERS).for_each(|number| _ = everything.add(task_topic(number)));
        let total = PUBLISHERS * EACH;
        accounts.push((capacity, total, tokio::spawn(account(everything, total, pause_every))));

        let mut one = bus.subscribe(capacity);
        one.add(task_topic(1));
        accounts.push((capacity, EACH, tokio::spawn(account(one, EACH, pause_every))));
    }
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let bus = bus.clone();
            std::thread::spawn(move || {
                for seq in (1..=EACH).step_by(2) {
                    bus.publish(events([task_event(number, seq), log_event(number, seq + 1)]));
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().unwrap();
    }
    let mut subscribers = Vec::new();
    for (capacity, total, account) in accounts {
        let (subscriber, got, missed) = account.await.unwrap();
        assert_eq!(got + missed, total, "capacity {capacity}");
        assert!(got > 0);
        if capacity as u64 > total {
            assert_eq!(missed, 0, "there was room for all");
        }
        subscribers.push(subscriber);
    }
    // Nothing comes twice: the next thing that each sees is the next thing that is published.
    bus.publish(events([task_event(1, EACH + 1)]));
    for mut subscriber in subscribers {
        let Delivery::Notice(notice) = subscriber.next().await else { panic!("nothing more was missed") };
        let Body::Event(event) = &notice.body else { panic!("an event") };
        assert_eq!((event.task.key.0, event.seq), (1, EACH + 1));
    }
}

pub async fn coming_and_going_while_others_publish(bus: Arc<dyn Bus>) {
    let publisher = {
        let bus = bus.clone();
        std::thread::spawn(move || {
            for seq in 1..=20_000 {
                bus.publish(events([task_event(1, seq)]));
            }
        })
    };
    // From the first that a newcomer sees on it sees all, without a hole and without doubles, until it leaves.
    let mut visits = 0;
    while !publisher.is_finished() || visits == 0 {
        let mut visitor = bus.subscribe(100_000);
        visitor.add(if visits % 2 == 0 { Topic::Tasks } else { task_topic(1) });
        visitor.add(Topic::Workers);
        let mut last = None;
        for _ in 0..50 {
            let Some(delivery) = visitor.try_next() else {
                tokio::task::yield_now().await;
                continue;
            };
            let Delivery::Notice(notice) = delivery else { panic!("there was room for all") };
            let Body::Event(event) = &notice.body else { panic!("an event") };
            if let Some(last) = last {
                assert_eq!(event.seq, last + 1);
            }
            last = Some(event.seq);
        }
        visits += 1;
    }
    publisher.join().unwrap();
    assert_eq!(bus.watchers(crate::make::task(1)), 0);
}
