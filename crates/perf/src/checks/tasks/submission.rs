//! Many tasks are submitted at once.

use crate::checks::api::task::submit;
use crate::trial::{Outcome, Trial};

/// As many as the requirement says.
pub async fn concurrent(trial: &Trial) -> Outcome {
    trial.at_once(|_| async { submit(trial, &trial.world.task(), None).await }).await;
    Ok(())
}

/// More than twice as many.
pub async fn stress(trial: &Trial) -> Outcome {
    concurrent(trial).await
}
