//! Fan-out: one notice, made once, for all who want it.

use std::sync::Arc;

use bytes::Bytes;
use regatta_bus::{Bus, Delivery, Notice, Topic};

use crate::make::{body_line, events, log_event, take, task, task_event, task_topic};

pub async fn everyone_shares_one_notice(bus: Arc<dyn Bus>) {
    let mut all: Vec<_> = (0..50)
        .map(|number| {
            let mut subscriber = bus.subscribe(8);
            subscriber.add(if number % 2 == 0 { Topic::Tasks } else { task_topic(1) });
            subscriber
        })
        .collect();
    bus.publish(events([task_event(1, 7)]));
    let mut first: Option<(Arc<Notice>, Bytes)> = None;
    for subscriber in &mut all {
        let Delivery::Notice(notice) = subscriber.next().await else { panic!("nothing was lost") };
        assert_eq!(body_line(&notice.body), "task 1.7");
        let frame = notice.frame(async { body_line(&notice.body).into() }).await;
        match &first {
            None => first = Some((notice, frame)),
            Some((same, text)) => {
                assert!(Arc::ptr_eq(same, &notice));
                assert_eq!(text.as_ptr(), frame.as_ptr());
            }
        }
    }
}

pub async fn several_matching_topics_deliver_once(bus: Arc<dyn Bus>) {
    let mut one = bus.subscribe(8);
    assert!(one.add(task_topic(1)));
    assert!(one.add(Topic::Tasks));
    assert!(!one.add(Topic::Tasks));
    let _other = {
        let mut other = bus.subscribe(8);
        other.add(Topic::Tasks);
        other
    };
    bus.publish(events([task_event(1, 1), log_event(1, 2), task_event(2, 1)]));
    assert_eq!(take(&mut one, 3).await, ["task 1.1", "log 1.2", "task 2.1"]);
    assert!(one.remove(task_topic(1)));
    bus.publish(events([task_event(1, 3), log_event(1, 4), task_event(1, 5)]));
    assert_eq!(take(&mut one, 2).await, ["task 1.3", "task 1.5"]);
}

pub async fn watchers_are_counted(bus: Arc<dyn Bus>) {
    let watch = || {
        let mut subscriber = bus.subscribe(8);
        subscriber.add(task_topic(1));
        subscriber
    };
    assert_eq!(bus.watchers(task(1)), 0);
    let (mut one, two) = (watch(), watch());
    let mut list = bus.subscribe(8);
    list.add(Topic::Tasks);
    list.add(task_topic(2));
    let mut waits = bus.subscribe(8).uncounted();
    waits.add(task_topic(1));
    assert_eq!((bus.watchers(task(1)), bus.watchers(task(2))), (2, 1));
    one.remove(task_topic(1));
    assert!(!one.remove(task_topic(1)));
    assert_eq!(bus.watchers(task(1)), 1);
    drop(two);
    drop(list);
    assert_eq!((bus.watchers(task(1)), bus.watchers(task(2))), (0, 0));
}
