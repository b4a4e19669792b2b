//! Many tasks are asked for at once.

use crate::checks::api::task::{ask_progress, get};
use crate::fixtures::run_concurrent;
use crate::trial::{Outcome, Trial};

/// The whole of each.
pub async fn concurrent(trial: &Trial) -> Outcome {
    let tasks = trial.world.submit_many(trial.number()).await?;
    run_concurrent(tasks.into_iter().map(|task| get(trial, task))).await;
    Ok(())
}

/// How far each is, from the cache.
pub async fn concurrent_progress(trial: &Trial) -> Outcome {
    let tasks = trial.world.submit_many(trial.number()).await?;
    run_concurrent(tasks.into_iter().map(|task| ask_progress(trial, task))).await;
    Ok(())
}
