//! Many workers register at once.

use regatta_client::api::worker::RegisteredStatus;

use crate::checks::api::worker::register;
use crate::trial::{Outcome, Trial};

/// As many as the requirement says.
pub async fn concurrent(trial: &Trial) -> Outcome {
    trial.at_once(|_| async { register(trial, &trial.world.worker(), RegisteredStatus::Registered).await }).await;
    Ok(())
}

/// Twice as many.
pub async fn stress(trial: &Trial) -> Outcome {
    concurrent(trial).await
}
