//! Nodes: what an engine must react to arrives coalesced and complete.

use std::collections::BTreeSet;
use std::sync::Arc;

use regatta_bus::{Bus, NodeListener, NodeNews};
use regatta_model::LaneKey;

use crate::make::{effects, events, lanes, removed, stop, stops, task_event, worker, worker_row, workers};

/// Gathers news until lane 0 comes, which tests publish last.
async fn until_lane_0(node: &mut NodeListener) -> NodeNews {
    let mut all = node.next().await;
    while !all.lanes.contains(&LaneKey(0)) {
        let more = node.next().await;
        all.lanes.extend(more.lanes);
        all.stops.extend(more.stops);
        all.workers.retain(|row| !more.workers.iter().any(|new| new.id == row.id) && !more.removed.contains(&row.id));
        all.workers.extend(more.workers);
        all.removed.extend(more.removed);
    }
    all
}

pub async fn news_is_coalesced(bus: Arc<dyn Bus>) {
    let mut node = bus.nodes();
    for round in 0..100 {
        bus.publish(lanes([1, 2 + round % 3]));
        bus.publish(workers([worker_row(1, round as u32), worker_row(2, 2 * round as u32)]));
        bus.publish(events([task_event(1, round as u64 + 1)]));
    }
    bus.publish(stops([stop(1, 1), stop(2, 2)]));
    bus.publish(stops([stop(1, 3)]));
    bus.publish(lanes([0]));
    let news = until_lane_0(&mut node).await;
    assert_eq!(news.lanes, BTreeSet::from([0, 1, 2, 3, 4].map(LaneKey)));
    assert_eq!(news.stops, [stop(1, 1), stop(2, 2), stop(1, 3)]);
    assert_eq!(news.workers, [worker_row(1, 99), worker_row(2, 198)]);
    assert_eq!(news.removed, []);
    assert_eq!(node.try_next(), None);
}

pub async fn every_node_hears_everything(bus: Arc<dyn Bus>) {
    let mut nodes = [bus.nodes(), bus.nodes(), bus.nodes()];
    drop(bus.nodes());
    bus.publish(effects(|effects| {
        effects.lanes.extend([LaneKey(0), LaneKey(7)]);
        effects.stops.push(stop(1, 1));
        effects.workers.push(worker_row(1, 1));
        effects.removed_workers.push(worker(2));
    }));
    for node in &mut nodes {
        let news = until_lane_0(node).await;
        assert_eq!(news.lanes, BTreeSet::from([LaneKey(0), LaneKey(7)]));
        assert_eq!(news.stops, [stop(1, 1)]);
        assert_eq!(news.workers, [worker_row(1, 1)]);
        assert_eq!(news.removed, [worker(2)]);
    }
}

pub async fn a_removed_worker_does_not_come_back(bus: Arc<dyn Bus>) {
    let mut node = bus.nodes();
    bus.publish(workers([worker_row(1, 1), worker_row(2, 1)]));
    bus.publish(removed([1]));
    bus.publish(lanes([0]));
    let news = until_lane_0(&mut node).await;
    assert_eq!(news.workers, [worker_row(2, 1)]);
    assert_eq!(news.removed, [worker(1)]);
}

pub async fn a_waiting_node_is_woken(bus: Arc<dyn Bus>) {
    let mut node = bus.nodes();
    for round in 1..=100 {
        let waiting = tokio::spawn(async move {
            let news = node.next().await;
            (node, news)
        });
        tokio::task::yield_now().await;
        bus.publish(lanes([round]));
        let (back, news) = waiting.await.unwrap();
        assert_eq!(news.lanes, BTreeSet::from([LaneKey(round)]));
        node = back;
    }
}
