//! Tokens, and what they bind.

use std::sync::Arc;

use regatta_model::command::*;
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::words::TokenRole;
use regatta_model::worker::Profile;
use regatta_model::*;

use crate::support::{Fixture, fresh_uuid, registration, report};

/// A token that no other call gave.
pub fn token(f: &Fixture, role: TokenRole) -> TokenRow {
    let id = fresh_uuid();
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(id.as_bytes());
    TokenRow {
        id: TokenId(id),
        hash: TokenHash(hash),
        role,
        name: "ci \"é\"".into(),
        created_at: f.now(),
        revoked_at: None,
    }
}

/// A registration under a token.
pub fn owned(machine: &str, owner: TokenId, take_over: TakeOver) -> Register {
    let mut register = registration(machine, 1, Some(Vec::new()));
    register.registration.profile =
        Arc::new(Profile { owner: Some(owner), ..(*register.registration.profile).clone() });
    Register { take_over, ..register }
}

pub async fn a_token_counts_until_it_is_revoked(f: Fixture) {
    let (first, second) = (token(&f, TokenRole::User), token(&f, TokenRole::Viewer));
    assert!(f.store.tokens().await.unwrap().is_empty());
    for token in [&first, &second] {
        f.store.add_token(token.clone()).await.unwrap();
    }
    assert_eq!(f.store.tokens().await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(f.store.token(second.hash).await.unwrap(), Some(second.clone()));
    assert_eq!(f.store.token(TokenHash([9; 32])).await.unwrap(), None);
    // Neither an id nor a secret twice.
    assert!(f.store.add_token(TokenRow { hash: TokenHash([1; 32]), ..first.clone() }).await.is_err());
    assert!(f.store.add_token(TokenRow { id: TokenId(fresh_uuid()), ..first.clone() }).await.is_err());

    f.pass(Span::seconds(1));
    assert!(f.store.revoke_token(first.id, f.now()).await.unwrap());
    let revoked_at = Some(f.now());
    f.pass(Span::seconds(1));
    assert!(!f.store.revoke_token(first.id, f.now()).await.unwrap());
    assert!(!f.store.revoke_token(TokenId(fresh_uuid()), f.now()).await.unwrap());
    assert_eq!(f.store.token(first.hash).await.unwrap(), Some(TokenRow { revoked_at, ..first.clone() }));
    assert_eq!(f.store.tokens().await.unwrap(), [TokenRow { revoked_at, ..first }, second]);
}

pub async fn a_worker_is_taken_over_only_by_who_may(f: Fixture) {
    let (mine, other) = (TokenId(fresh_uuid()), TokenId(fresh_uuid()));
    let nobodys = f.register("m", 1).await;
    let taken = f.run(owned("m", mine, TakeOver::Own)).await.unwrap();
    assert_eq!(taken.worker, nobodys.worker);
    assert_eq!(f.run(owned("m", mine, TakeOver::Own)).await.unwrap().session, taken.session + 1);

    let refused = f.run(owned("m", other, TakeOver::Own)).await;
    assert_eq!(refused, Err(OwnedBy(mine)));
    assert_eq!(f.run(owned("m", other, TakeOver::From(other))).await, Err(OwnedBy(mine)));
    let row = async || f.store.worker(nobodys.worker, f.now()).await.unwrap().value.unwrap().row;
    let unchanged = row().await;
    assert_eq!((unchanged.session, unchanged.profile.owner), (taken.session + 1, Some(mine)));

    assert!(f.run(owned("m", other, TakeOver::From(mine))).await.is_ok());
    assert_eq!(row().await.profile.owner, Some(other));
    // Without credentials, or as a user: anything, and it is nobody's from there on.
    assert!(f.register("m", 1).await.known);
    assert_eq!(row().await.profile.owner, None);
}

pub async fn a_bound_token_speaks_only_for_its_own_workers(f: Fixture) {
    let (mine, other) = (TokenId(fresh_uuid()), TokenId(fresh_uuid()));
    let id = f.submit(&[("a", &[]), ("b", &[])]).await;
    let worker = f.run(owned("m", mine, TakeOver::Own)).await.unwrap();
    f.run(owned("n", other, TakeOver::Own)).await.unwrap();
    let given = f.claim(worker, 1).await.remove(0);
    let subtask = given.lease.subtask;
    let queued = if subtask == id.subtask(0) { id.subtask(1) } else { id.subtask(0) };

    let bound = |token, report| Report { bound: Some(token), ..report };
    let theirs = f.run(bound(other, report(given.lease, Ok(()), "{}"))).await;
    assert_eq!(theirs, Reported::Stale(StaleLease::OtherWorker));
    let progress = |token| SetProgress {
        subtask,
        lease: Some(given.lease),
        by: None,
        bound: Some(token),
        progress: 50,
        message: Some("half".into()),
    };
    assert_eq!(f.run(progress(other)).await, ProgressSet::Stale(StaleLease::OtherWorker));
    let line = |token, subtask| AppendLog {
        subtask,
        lease: None,
        worker: None,
        bound: Some(token),
        level: LogLevel::Info,
        message: "a line".into(),
        metadata: None,
    };
    assert_eq!(f.run(line(other, subtask)).await, Logged::NotHolder);
    assert_eq!(f.run(line(mine, queued)).await, Logged::NotHolder);

    assert_eq!(f.run(progress(mine)).await, ProgressSet::Accepted);
    assert!(matches!(f.run(line(mine, subtask)).await, Logged::Kept { stale: false, .. }));
    let done = f.run(bound(mine, report(given.lease, Ok(()), "{}"))).await;
    assert!(matches!(done, Reported::Accepted { .. }), "{done:?}");
    assert!(matches!(f.run(bound(mine, report(given.lease, Ok(()), "{}"))).await, Reported::Repeated { .. }));
    // What completed is told again only to who completed it.
    assert!(matches!(f.run(bound(other, report(given.lease, Ok(()), "{}"))).await, Reported::Stale(_)));
    assert!(matches!(f.run(line(mine, subtask)).await, Logged::Kept { .. }));
}
