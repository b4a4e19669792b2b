//! Keeping and losing leases.

use regatta_model::command::*;
use regatta_model::*;

use crate::support::{Fixture, LEASE, registration};

async fn one_leased(f: &Fixture) -> (Registered, Assignment) {
    f.submit(&[("a", &[])]).await;
    let worker = f.register("m", 4).await;
    let given = f.claim(worker, 1).await.remove(0);
    (worker, given)
}

pub async fn a_lease_that_runs_out_is_given_again(f: Fixture) {
    let (worker, given) = one_leased(&f).await;
    assert_eq!(given.lease_length, LEASE);
    let swept = f.sweep().await;
    assert_eq!((swept.handled, swept.next_due), (0, Some(f.now() + LEASE)));
    f.pass(LEASE);
    let swept = f.sweep().await;
    assert_eq!((swept.handled, swept.next_due), (1, None));
    let row = f.row(given.lease.subtask).await;
    assert_eq!((row.state.status(), row.losses, row.failures), (SubtaskStatus::Queued, 1, 0));
    let again = f.claim(worker, 1).await.remove(0);
    assert!(again.attempt == 2 && again.lease.epoch > given.lease.epoch);
    assert!(matches!(f.complete(given.lease, "{}").await, Reported::Stale(StaleLease::Superseded)));
    assert!(matches!(f.complete(again.lease, "{}").await, Reported::Accepted { .. }));
    assert_eq!(f.store.last_sweep().await.unwrap(), Some(f.now()));
    f.pass(Span::seconds(1));
    f.sweep().await;
    assert_eq!(f.store.last_sweep().await.unwrap(), Some(f.now()), "to the moment, not as it was last noted");
}

pub async fn a_heartbeat_renews_what_it_names(f: Fixture) {
    let (worker, given) = one_leased(&f).await;
    for _ in 0..5 {
        f.pass(Span::seconds(60));
        assert_eq!(f.heartbeat(worker.worker, Some(vec![given.lease])).await, Heard::Yes);
        assert_eq!(f.sweep().await.handled, 0);
    }
    assert_eq!(f.row(given.lease.subtask).await.lease_expires_at, Some(f.now() + LEASE));
    // An older agent names nothing, and everything is renewed.
    f.pass(Span::seconds(60));
    f.heartbeat(worker.worker, None).await;
    assert_eq!(f.row(given.lease.subtask).await.lease_expires_at, Some(f.now() + LEASE));
    assert_eq!(f.heartbeat(WorkerId(uuid::Uuid::nil()), None).await, Heard::Unknown);
}

pub async fn what_two_heartbeats_leave_out_goes_back(f: Fixture) {
    let (worker, given) = one_leased(&f).await;
    f.heartbeat(worker.worker, Some(Vec::new())).await;
    assert_eq!(f.row(given.lease.subtask).await.state.status(), SubtaskStatus::InProgress);
    f.heartbeat(worker.worker, Some(Vec::new())).await;
    assert_eq!(f.row(given.lease.subtask).await.state.status(), SubtaskStatus::Queued);
    f.events().await;
    let told = f.sink.told.lock();
    let stops = told.iter().any(|told| match told {
        crate::support::Told::Committed(effects) => effects.stops.iter().any(|stop| stop.lease == given.lease),
        crate::support::Told::Progressed(_) => false,
    });
    assert!(stops, "its worker is told to stop");
}

pub async fn a_worker_that_resumes_keeps_what_it_runs(f: Fixture) {
    let (worker, given) = one_leased(&f).await;
    f.submit(&[("b", &[])]).await;
    let forgotten = f.claim(worker, 1).await.remove(0);
    f.pass(Span::seconds(10));
    let resume = Resume {
        worker: worker.worker,
        session: worker.session,
        connected_at: f.now(),
        running: vec![given.lease, Lease { epoch: 1, ..given.lease }],
        lease: LEASE,
    };
    let resumed = f.run(resume.clone()).await.unwrap();
    assert_eq!((resumed.kept, resumed.dropped), (vec![given.lease], vec![Lease { epoch: 1, ..given.lease }]));
    assert_eq!(f.row(forgotten.lease.subtask).await.state.status(), SubtaskStatus::Queued);
    assert_eq!(f.run(Resume { session: worker.session - 1, ..resume }).await, None);
}

pub async fn a_worker_that_registers_again_keeps_what_it_runs(f: Fixture) {
    let (_, given) = one_leased(&f).await;
    f.pass(Span::seconds(80));
    let again = f.run(registration("m", 4, Some(vec![given.lease]))).await.unwrap();
    assert!(again.known);
    assert_eq!(f.row(given.lease.subtask).await.lease_expires_at, Some(f.now() + LEASE));
    assert_eq!(f.row(given.lease.subtask).await.holder.unwrap().session, again.session);
    f.run(registration("m", 4, None)).await.unwrap();
    assert_eq!(f.row(given.lease.subtask).await.state.status(), SubtaskStatus::Queued, "it runs nothing any more");
}

pub async fn a_subtask_lost_too_often_fails(f: Fixture) {
    let id = f.submit(&[("a", &[]), ("b", &["a"])]).await;
    for _ in 0..=retry::MAX_LOSSES {
        let worker = f.register("m", 1).await;
        assert_eq!(f.claim(worker, 1).await.len(), 1, "ten lost leases are allowed");
        f.pass(LEASE);
        f.sweep().await;
    }
    let row = f.task(id).await;
    assert_eq!((row.status, row.failed, row.cancelled), (TaskStatus::Failed, 1, 1));
    assert!(row.error.unwrap().contains("lost_too_often"));
}

pub async fn a_rest_of_the_fleet_extends_all_leases(f: Fixture) {
    let (_, given) = one_leased(&f).await;
    f.pass(Span::seconds(600));
    f.run(ExtendLeases { by: Span::seconds(600) }).await;
    assert_eq!(f.sweep().await.handled, 0);
    f.pass(LEASE);
    assert_eq!(f.sweep().await.handled, 1);
    assert_eq!(f.row(given.lease.subtask).await.state.status(), SubtaskStatus::Queued);
}

pub async fn a_timeout_during_a_rest_waits_for_the_worker(f: Fixture) {
    let (worker, given) = one_leased(&f).await;
    let deadline = f.row(given.lease.subtask).await.deadline().unwrap();
    let rest = Span((deadline - f.now()).0 + Span::seconds(600).0);
    f.pass(rest);
    f.run(ExtendLeases { by: rest }).await;
    assert_eq!(f.sweep().await.handled, 0);
    f.heartbeat(worker.worker, Some(vec![given.lease])).await;
    f.run(registration("m", 4, Some(vec![given.lease]))).await.unwrap();
    assert_eq!(f.sweep().await.handled, 0, "its result may be on its way");
    assert_eq!(f.row(given.lease.subtask).await.state.status(), SubtaskStatus::InProgress);
    // None came, however often the lease was renewed.
    for _ in 0..4 {
        f.pass(Span::seconds(30));
        f.heartbeat(worker.worker, Some(vec![given.lease])).await;
        f.sweep().await;
    }
    let detail = f.store.subtask(given.lease.subtask).await.unwrap().value.unwrap();
    assert_eq!(detail.attempts[0].outcome, AttemptOutcome::TimedOut);
}

pub async fn a_timeout_ends_what_is_renewed(f: Fixture) {
    let (worker, given) = one_leased(&f).await;
    let deadline = f.row(given.lease.subtask).await.deadline().unwrap();
    while f.now() < deadline {
        f.heartbeat(worker.worker, Some(vec![given.lease])).await;
        f.pass(Span::seconds(60));
    }
    f.sweep().await;
    let detail = f.store.subtask(given.lease.subtask).await.unwrap().value.unwrap();
    assert_eq!(detail.attempts[0].outcome, AttemptOutcome::TimedOut);
    assert_eq!((detail.row.failures, detail.row.state.status()), (1, SubtaskStatus::Queued));
}
