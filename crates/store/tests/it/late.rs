//! What is done long after it was said: by then it may no longer be so.

use std::time::Duration;

use regatta_model::command::*;
use regatta_model::subtask::State;
use regatta_model::*;
use regatta_store::StoreExt;

use crate::properties::Gated;
use crate::support::{BEGIN, Fixture, Gate, heartbeat, new_task};

/// A lease so short that nobody waits long for what is too late for it.
const SHORT: Span = Span::millis(600);

/// A claim whose commit takes long, and heartbeats of its worker, said twice for want of an answer, that come to their turn
/// behind it: they cannot name a lease that the worker did not have.
async fn behind_a_claim(Gated { store, gate, .. }: &Gated) {
    let f = Fixture::over(store.clone(), BEGIN);
    let worker = f.register("a machine", 2).await;
    f.run(Submit { tasks: vec![new_task(&[("a", &[])])], idempotency: None }).await;
    Gate::settle(&**store).await;
    gate.shut();
    let given = f.claim(worker, 1).await.remove(0);
    let said = |running| Heartbeat { lease: SHORT, ..heartbeat(worker.worker, Some(running)) };
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (store, said) = (store.clone(), said(Vec::new()));
            tokio::spawn(async move { store.run(BEGIN, said).await.unwrap().value })
        })
        .collect();
    while store.health().await.queued < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    for heard in waiting {
        assert_eq!(heard.await.unwrap(), Heard::Yes);
    }
    let row = f.row(given.lease.subtask).await;
    assert_eq!((row.state, row.missed), (State::Leased, 0), "its worker runs it");
    assert!(matches!(f.complete(given.lease, "{}").await, Reported::Accepted { .. }));
}

#[tokio::test]
async fn heartbeats_that_waited_behind_a_claim_take_nothing_away_on_sqlite() {
    behind_a_claim(&Gated::sqlite()).await;
}

#[tokio::test]
async fn heartbeats_that_waited_behind_a_claim_take_nothing_away_on_postgres() {
    let Some(gated) = Gated::postgres().await else { return };
    behind_a_claim(&gated).await;
}
