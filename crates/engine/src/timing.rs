//! Where the time of one request went, collected along the way without passing anything through.

use std::cell::RefCell;
use std::future::Future;
use std::time::{Duration, Instant};

pub use regatta_store::delayed;
use regatta_store::{Timed, Timing};

/// The stages of a request that the engine knows of; a stage that was not used is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Waiting for the store's writer.
    pub queue: Option<Duration>,
    /// Waiting for a connection.
    pub pool: Option<Duration>,
    /// Statements.
    pub db: Option<Duration>,
    /// The commit.
    pub commit: Option<Duration>,
    /// The progress cache.
    pub cache: Option<Duration>,
}

tokio::task_local! {
    static STAGES: RefCell<Stages>;
}

/// Runs a request and collects its stages.
pub async fn collect<F: Future>(request: F) -> (F::Output, Stages) {
    STAGES
        .scope(RefCell::new(Stages::default()), async {
            let output = request.await;
            (output, STAGES.with(|stages| *stages.borrow()))
        })
        .await
}

fn add(stage: &mut Option<Duration>, time: Duration) {
    if !time.is_zero() {
        *stage = Some(stage.unwrap_or_default() + time);
    }
}

fn with(update: impl FnOnce(&mut Stages)) {
    // Outside a request, in a background loop, nobody collects.
    let _ = STAGES.try_with(|stages| update(&mut stages.borrow_mut()));
}

/// Books what a store's call took and hands its value on.
pub(crate) fn book<T>(timed: Timed<T>) -> T {
    let Timing { queue, pool, db, commit } = timed.timing;
    with(|stages| {
        add(&mut stages.queue, queue);
        add(&mut stages.pool, pool);
        add(&mut stages.db, db);
        add(&mut stages.commit, commit);
    });
    timed.value
}

/// Books what a look into the cache took.
pub(crate) fn book_cache(since: Instant) {
    delayed("cache");
    with(|stages| add(&mut stages.cache, since.elapsed().max(Duration::from_nanos(1))));
}
