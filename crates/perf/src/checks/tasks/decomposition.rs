//! Many tasks are decomposed.

use crate::checks::api::task::decompose;
use crate::fixtures::run_concurrent;
use crate::trial::{Outcome, Trial};

/// At once.
pub async fn concurrent(trial: &Trial) -> Outcome {
    let tasks = trial.world.submit((0..trial.number()).map(|_| trial.world.waiting_task())).await?;
    run_concurrent(tasks.into_iter().map(|task| decompose(trial, task))).await;
    Ok(())
}

/// One after the other.
pub async fn sequential(trial: &Trial) -> Outcome {
    let tasks = trial.world.submit((0..trial.number()).map(|_| trial.world.waiting_task())).await?;
    for task in tasks {
        decompose(trial, task).await;
    }
    Ok(())
}
