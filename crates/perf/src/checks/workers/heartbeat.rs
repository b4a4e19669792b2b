//! Many workers say at once that they live.

use crate::checks::api::worker::beat;
use crate::fixtures::run_concurrent;
use crate::trial::{Outcome, Trial};

/// Each so often.
const BEATS: usize = 5;

/// Each once.
pub async fn concurrent(trial: &Trial) -> Outcome {
    let workers = trial.world.register(trial.number()).await?;
    run_concurrent(workers.into_iter().map(|worker| beat(trial, worker))).await;
    Ok(())
}

/// Each several times, one heartbeat after the other.
pub async fn sustained(trial: &Trial) -> Outcome {
    let workers = trial.world.register(trial.number()).await?;
    let beating = workers.into_iter().map(|worker| async move {
        for _ in 0..BEATS {
            beat(trial, worker).await;
        }
    });
    run_concurrent(beating).await;
    Ok(())
}
