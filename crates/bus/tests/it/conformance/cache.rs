//! The progress cache: late writers never win.

use std::sync::Arc;

use regatta_bus::Bus;

use crate::make::{counters, deleted, task};

pub async fn newer_versions_stay(bus: Arc<dyn Bus>) {
    assert_eq!(bus.progress(task(1)).await, None);
    bus.put_progress(&[counters(1, 4), counters(2, 1)]);
    bus.put_progress(&[counters(1, 3)]);
    assert_eq!(bus.progress(task(1)).await, counters(1, 4).progress);
    bus.put_progress(&[counters(1, 5), counters(1, 6), counters(1, 2)]);
    assert_eq!(bus.progress(task(1)).await, counters(1, 6).progress);
    assert_eq!(bus.progress(task(2)).await, counters(2, 1).progress);
}

pub async fn what_was_deleted_stays_deleted(bus: Arc<dyn Bus>) {
    bus.put_progress(&[counters(1, 4)]);
    bus.put_progress(&[deleted(1)]);
    assert_eq!(bus.progress(task(1)).await, None);
    bus.put_progress(&[counters(1, 3), counters(1, 5)]);
    assert_eq!(bus.progress(task(1)).await, None);
    // Also when it was never here: a read of the store may be on its way in.
    bus.put_progress(&[deleted(2)]);
    bus.put_progress(&[counters(2, 1)]);
    assert_eq!(bus.progress(task(2)).await, None);
}

pub async fn any_order_of_late_writers_ends_at_the_newest(bus: Arc<dyn Bus>) {
    let writers: Vec<_> = (0..4u64)
        .map(|offset| {
            let bus = bus.clone();
            tokio::task::spawn_blocking(move || {
                // Each writer has its own order of the same thousand versions.
                for step in 0..1_000 {
                    bus.put_progress(&[counters(1, (step * 7 + offset * 250) % 1_000 + 1)]);
                }
            })
        })
        .collect();
    let mut last = 0;
    while !writers.iter().all(|writer| writer.is_finished()) {
        let version = bus.progress(task(1)).await.map_or(0, |progress| progress.version);
        assert!(version >= last, "the clock went back from {last} to {version}");
        last = version;
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(bus.progress(task(1)).await, counters(1, 1_000).progress);
}
